#!/usr/bin/env python3
"""Draws how long an epoch of MNIST takes, here and in PyTorch: plot.py PYTORCH.jsonl OCELLI.jsonl > mnist.svg

The lines are those that compare.sh leaves. PyTorch's f32 is drawn beside ours in tf32, as its convolutions round to it."""
import json
import statistics
import sys

BAR, GAP, LEFT, SCALE = 16, 10, 110, 1000


def lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.startswith("{")]


theirs = {(l["batch"], l["type"]): l["median_s"] for l in lines(sys.argv[1]) if l.get("mode") == "graph"}
ours = {(l["batch"], l["type"]): statistics.median(l["seconds_per_epoch"][1:]) for l in lines(sys.argv[2])}
y, drawn = 34, []
for batch in (64, 512):
    for kind in ("fp16", "bf16", "tf32"):
        pair = [("PyTorch, CUDA graph", "#9aa3ad", theirs[batch, "f32" if kind == "tf32" else kind]), ("Ocelli", "#d9480f", ours[batch, kind])]
        drawn.append(f'<text x="{LEFT - 8}" y="{y + BAR + 4}" text-anchor="end">batch {batch}, {kind}</text>')
        for name, colour, seconds in pair:
            width = seconds * SCALE
            drawn.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"><title>{name}</title></rect>')
            drawn.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{seconds:.3f} s</text>')
            y += BAR + 1
        y += GAP
width = LEFT + max(theirs.values()) * SCALE + 70
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y + 4}" font-family="sans-serif" font-size="12">')
print('<rect width="100%" height="100%" fill="white"/>')
print('<text x="8" y="18" font-size="14">One epoch of MNIST on one H200: <tspan fill="#6b7580">PyTorch (CUDA graph)</tspan> and <tspan fill="#d9480f">Ocelli</tspan></text>')
print("\n".join(drawn))
print("</svg>")
