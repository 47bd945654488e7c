#!/usr/bin/env python3
"""Draws loss and accuracy by epoch: plot-curve.py "TITLE" NAME=CURVE.csv [NAME=CURVE.csv]... > docs/cifar.svg

The files are those that `cargo run --release --example resnet -- .. --curve FILE` writes."""
import csv
import sys

WIDTH, HEIGHT, LEFT, TOP, GAP = 380, 240, 50, 56, 70
COLOURS = ["#d9480f", "#1c7ed6", "#2b8a3e", "#862e9c"]


def read(argument):
    name, _, path = argument.partition("=")
    with open(path, newline="") as file:
        return name, [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def panel(left, title, low, high, step, unit, columns):
    """One diagram: a line for each curve and column; the first column's are dashed."""
    epochs = max(row["epoch"] for _, rows in curves for row in rows)
    x = lambda epoch: left + (epoch - 1) / max(epochs - 1, 1) * WIDTH
    y = lambda value: TOP + HEIGHT - (min(max(value, low), high) - low) / (high - low) * HEIGHT
    yield f'<text x="{left}" y="{TOP - 10}">{title}</text>'
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        yield f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dee2e6"/>'
        yield f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}{unit}</text>'
    for epoch in sorted({1, *range(5, int(epochs) + 1, 5), int(epochs)}):
        yield f'<text x="{x(epoch):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{epoch}</text>'
    for (_, rows), colour in zip(curves, COLOURS):
        for column, dashes in zip(columns, ("5 4", "none")):
            scale = 100 if unit else 1
            points = " ".join(f"{x(row['epoch']):.1f},{y(scale * row[column]):.1f}" for row in rows)
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dashes}"/>'


title, curves = sys.argv[1], [read(argument) for argument in sys.argv[2:]]
numbers = [row for _, rows in curves for row in rows]
most = max(row[key] for row in numbers for key in ("train_loss", "test_loss"))
least = min(row[key] for row in numbers for key in ("train_accuracy", "test_top1"))
high, low = -(-most // 0.5) * 0.5, min(100 * least // 10 * 10, 90)
right = LEFT + WIDTH + GAP
legend = " ".join(
    f'<tspan fill="{colour}">{name}: {100 * rows[-1]["test_top1"]:.2f} %</tspan>' for (name, rows), colour in zip(curves, COLOURS)
)
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{right + WIDTH + 20}" height="{TOP + HEIGHT + 30}" font-family="sans-serif" font-size="12">')
print('<rect width="100%" height="100%" fill="white"/>')
print(f'<text x="8" y="20" font-size="14">{title}. Test accuracy in the end, {legend}</text>')
print("\n".join(panel(LEFT, "loss (dashed: training)", 0, high, 0.5, "", ("train_loss", "test_loss"))))
print("\n".join(panel(right, "accuracy (dashed: training)", low, 100, 10 if low < 90 else 2, " %", ("train_accuracy", "test_top1"))))
print("</svg>")
