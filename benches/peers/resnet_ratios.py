#!/usr/bin/env python3
"""Runs benches/resnet.rs and resnet.py on the same GPU, case after case in turn, and prints the ratios.

    resnet_ratios.py PROGRAM OUT [FILTER ...]

PROGRAM is the built benchmark, OUT the directory for the lines of JSON: resnet-ocelli.jsonl, resnet-pytorch.jsonl and
resnet-ratios.json. A filter is a part of a case's name, such as `train/resnet50/fp16/256/reduce-overhead`; all of them
must be in it. BUDGET is how many seconds it may all take (none: no end); cases come in order of importance, and those
that will not fit are left out and named. Every case is a process of its own with empty caches, PyTorch's and ours, so
that the first steps are cold; ours is then run again with filled ones, and that run is the one that is timed.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = Path(__file__).resolve().with_name("resnet.py")
# Work, model, type, batch, PyTorch's mode. The first ones are where PyTorch is at its best.
FIRST = [
    ("train", "resnet50", "fp16", 256, "reduce-overhead"),
    ("train", "resnet50", "fp16", 64, "reduce-overhead"),
    ("train", "resnet50", "bf16", 256, "default"),
    ("train", "resnet50", "tf32", 256, "eager"),
    ("infer", "resnet50", "fp16", 1, "max-autotune"),
    ("infer", "resnet50", "fp16", 256, "max-autotune"),
]
MODES = {
    "train": ["eager", "graph", "default", "reduce-overhead", "max-autotune"],
    "infer": ["eager", "graph", "default", "reduce-overhead", "max-autotune", "max-autotune-freezing"],
}
BATCHES = {"train": [256, 64], "infer": [1, 256]}
# Seconds to plan with for a case of a kind before one has been run, on the safe side.
ALLOWANCE = {"eager": 45, "graph": 45, "default": 90, "reduce-overhead": 90, "ours": 60}
AUTOTUNE_ALLOWANCE = {"train": 240, "infer": 120}


def all_cases():
    """The most important ones, then every mode of ResNet-50, then the other networks as they are run best."""
    models = "resnet18 resnet34 resnet101 resnet152 resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2"
    rest = [
        (work, "resnet50", kind, batch, mode)
        for kind in ["fp16", "bf16", "tf32", "f32"]
        for work in ["train", "infer"]
        for batch in BATCHES[work]
        for mode in MODES[work]
    ]
    others = [
        (work, model, "fp16", batch, mode)
        for model in models.split()
        for work, batch, mode in [("train", 64, "reduce-overhead"), ("infer", 1, "max-autotune")]
    ]
    return list(dict.fromkeys(FIRST + rest + others))


def name_of(case):
    return "/".join(map(str, case))


class Budget:
    """Seconds that are left, and how long things took."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds if seconds else None
        self.taken = {}

    def left(self):
        return self.end - time.monotonic() if self.end else None

    def expected(self, kind):
        work, _, mode = kind.rpartition(" ")
        return self.taken.get(kind) or ALLOWANCE.get(mode) or AUTOTUNE_ALLOWANCE[work]

    def fits(self, kinds):
        return self.end is None or sum(map(self.expected, kinds)) <= self.left()

    def run(self, kind, command, environment):
        """The lines of JSON that a program prints."""
        begin = time.monotonic()
        left = self.left()
        try:
            done = subprocess.run(
                command,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                text=True,
                timeout=None if left is None else max(left, 1),
            )
            output, failure = done.stdout, done.returncode and f"exit status {done.returncode}"
        except subprocess.TimeoutExpired as expired:
            output, failure = expired.stdout or "", "it did not end within the budget"
            output = output.decode() if isinstance(output, bytes) else output
        self.taken[kind] = max(self.taken.get(kind, 0), time.monotonic() - begin)
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return lines, failure


def result(lines, failure):
    """The line of the one case that was run."""
    for line in lines:
        if "work" in line:
            return line
    return {"error": failure or "it printed no result"}


def ratio(ours, theirs, key):
    """Ours over theirs."""
    return ours[key] / theirs[key] if ours.get(key) and theirs.get(key) else None


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, out, *filters = sys.argv[1:]
    out = Path(out)
    cases = [case for case in all_cases() if all(part in name_of(case) for part in filters)]
    if not cases:
        sys.exit("no case bears this name")
    budget = Budget(float(os.environ.get("BUDGET") or 0))
    pairs, left_out, machines, cold = [], [], {}, {}
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as caches:
        caches = Path(caches)
        files = {side: open(out / f"resnet-{side}.jsonl", "w") for side in ("pytorch", "ocelli")}
        for case in cases:
            work, model, kind, batch, mode = case
            if not budget.fits([f"{work} {mode}", f"{work} ours"]):
                left_out.append(name_of(case))
                continue
            print(f"{name_of(case)} ...", file=sys.stderr, flush=True)
            inductor = caches / "pytorch" / name_of(case)
            (inductor / "inductor").mkdir(parents=True)
            peer = [sys.executable, str(PEER), "--work", work, "--model", model, "--type", kind]
            peer += ["--batch", str(batch), "--mode", mode]
            their_caches = {
                "TORCHINDUCTOR_CACHE_DIR": str(inductor / "inductor"),
                "TRITON_CACHE_DIR": str(inductor / "triton"),
            }
            ours_cache = caches / "ocelli" / name_of(case[:-1])
            ours_cache.mkdir(parents=True, exist_ok=True)
            ours = [program, "--bench", name_of(case[:-1]), "--exact", "--cache", str(ours_cache)]
            sides = {}
            for side, took, command, environment in [
                ("pytorch", f"{work} {mode}", peer, their_caches),
                ("ocelli", f"{work} ours", ours, {}),
            ]:
                lines, failure = budget.run(took, command, environment)
                sides[side] = result(lines, failure)
                for line in lines:
                    print(json.dumps(line), file=files[side], flush=True)
                    if "versions" in line:
                        machines[side] = {"gpu": line.get("gpu"), "versions": line["versions"]}
            # Our caches are cold once: the later modes of the same work are compared with the same first step.
            first = cold.setdefault(case[:-1], sides["ocelli"].get("cold_first_step_s"))
            if first:
                sides["ocelli"]["cold_first_step_s"] = first
            pairs.append((case, sides["ocelli"], sides["pytorch"]))
            print(row(*pairs[-1]), flush=True)
    report(out, pairs, left_out, machines)


def figures(case, ours, theirs):
    """The ratios of a case; of speed ours over theirs, more is better; of the others less is."""
    speed = ratio(ours, theirs, "images_per_s")
    return {
        "case": name_of(case),
        "ocelli": ours,
        "pytorch": theirs,
        "speed": speed,
        "memory": ratio(ours, theirs, "peak_bytes"),
        # Theirs is cold, as ours is in this ratio.
        "first_step": ours["cold_first_step_s"] / theirs["start_to_first_step_s"]
        if ours.get("cold_first_step_s") and theirs.get("start_to_first_step_s")
        else None,
    }


HEADER = (
    f"{'case':48} {'PyTorch ms':>10} {'ours ms':>10} {'PyTorch img/s':>13} {'ours img/s':>11} {'speed':>6} "
    f"{'GiB':>6} {'ours':>6} {'first s':>7} {'cold':>6} {'warm':>6}"
)


def row(case, ours, theirs):
    def number(line, key, width, digits, scale=1.0):
        return f"{line[key] * scale:{width}.{digits}f}" if line.get(key) is not None else "-".rjust(width)

    gib = 1 / 2**30
    speed = ratio(ours, theirs, "images_per_s")
    text = " ".join(
        [
            f"{name_of(case):48}",
            number(theirs, "ms", 10, 3),
            number(ours, "ms", 10, 3),
            number(theirs, "images_per_s", 13, 0),
            number(ours, "images_per_s", 11, 0),
            f"{speed:5.2f}x" if speed else "-".rjust(6),
            number(theirs, "peak_bytes", 6, 2, gib),
            number(ours, "peak_bytes", 6, 2, gib),
            number(theirs, "start_to_first_step_s", 7, 1),
            number(ours, "cold_first_step_s", 6, 2),
            number(ours, "warm_first_step_s", 6, 2),
        ]
    )
    errors = [f"\n    {side}: {line['error']}" for side, line in [("PyTorch", theirs), ("ours", ours)] if "error" in line]
    return text + "".join(errors)


def report(out, pairs, left_out, machines):
    best = {}
    for case, ours, theirs in pairs:
        if ours.get("ms") and theirs.get("ms"):
            known = best.get(case[:-1])
            # The fastest of PyTorch's modes, with our time beside it.
            if known is None or theirs["ms"] < known[2]["ms"]:
                best[case[:-1]] = (case, ours, theirs)
    if best:
        print("\nPyTorch's fastest mode of those that were run")
        for case, ours, theirs in best.values():
            print(row(case, ours, theirs))
    if left_out:
        print(f"\n{len(left_out)} cases did not fit into the budget: {', '.join(left_out[:8])}{' ...' if len(left_out) > 8 else ''}")
    summary = {"machines": machines, "cases": [figures(*pair) for pair in pairs], "left_out": left_out}
    (out / "resnet-ratios.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"\n{out / 'resnet-ratios.json'}")
    if any("error" in line for _, ours, theirs in pairs for line in (ours, theirs)):
        sys.exit(1)


if __name__ == "__main__":
    main()
