#!/usr/bin/env python3
"""Runs the bench `coco` of ocelli-annotations beside pycocotools and hotcoco, on the same files in one run, and prints
the ratios.

    coco.py [--program BENCH] [--directory DIR] [--quick]

Needs a Python with pycocotools, hotcoco and numpy. BENCH is the built bench (cargo builds it otherwise), DIR where its
files lie or will (target/ocelli-bench/coco). --quick leaves out pycocotools' evaluation, which takes minutes. Each of
them runs in a process of its own; ours are medians of three, hotcoco's too, pycocotools runs once. The twelve numbers
must be the same to the last bit; the run fails if they are not."""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOAD = """
import contextlib, io, json, sys, time
start = time.perf_counter()
from {module} import COCO
imported = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    COCO(sys.argv[1])
end = time.perf_counter()
import resource
print(json.dumps({{"seconds": end - imported, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}}))
"""
EVALUATE = """
import contextlib, io, json, sys, time
from {module} import COCO
{imports}
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(sys.argv[1])
    found = {load}
    loaded = time.perf_counter()
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    end = time.perf_counter()
    evaluation.summarize()
import resource
print(json.dumps({{"seconds": end - start, "load": loaded - start, "evaluate": end - loaded,
    "stats": [float(x) for x in evaluation.stats],
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}}))
"""
PEERS = {
    "pycocotools": {
        "module": "pycocotools.coco",
        "imports": "from pycocotools.cocoeval import COCOeval",
        "load": "truth.loadRes(sys.argv[2])",
    },
    "hotcoco": {"module": "hotcoco", "imports": "from hotcoco import COCOeval", "load": "truth.load_res(sys.argv[2])"},
}


def peer(script, *files):
    run = subprocess.run([sys.executable, "-c", script, *map(str, files)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def median(runs):
    middle = statistics.median_low([run["seconds"] for run in runs])
    return next(run for run in runs if run["seconds"] == middle)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program")
    parser.add_argument("--directory", type=Path, default=ROOT / "target/ocelli-bench/coco")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    program = [options.program] if options.program else ["cargo", "bench", "-q", "-p", "ocelli-annotations", "--bench", "coco", "--"]
    lines = subprocess.run([*program, "--directory", options.directory], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    ours = {line["case"]: line for line in map(json.loads, filter(lambda line: line.startswith("{"), lines.stdout.splitlines()))}
    for line in ours.values():
        print(json.dumps(line))
    train, val, found = (options.directory / name for name in ("train.json", "val.json", "detections.json"))
    loads, evaluations = {}, {}
    for name, facts in PEERS.items():
        slow = name == "pycocotools"
        runs = [peer(LOAD.format(**facts), train) for _ in range(1 if slow else 3)]
        loads[name] = median(runs)
        print(json.dumps({"peer": name, "case": "load", **loads[name]}))
        if not (slow and options.quick):
            runs = [peer(EVALUATE.format(**facts), val, found) for _ in range(1 if slow else 3)]
            evaluations[name] = median(runs)
            print(json.dumps({"peer": name, "case": "evaluate", **evaluations[name]}))

    def row(work, own, name, other):
        print(f"{work:34} {own['seconds']:8.3f} s {own['peak_mib']:6} MiB  {name:12} {other['seconds']:8.3f} s {other['peak_mib']:6} MiB  {other['seconds'] / own['seconds']:7.1f}x")

    print(f"\n{'':34} {'ours':>21}  {'peer':12} {'theirs':>21}  {'faster':>8}")
    for name, other in loads.items():
        row("train2017's instances, boxes", ours["import_boxes"], name, other)
        row("train2017's instances, with masks", ours["import_masks"], name, other)
        row("opened and read once imported", ours["read_epoch"], name, other)
    for name, other in evaluations.items():
        row("500,000 detections", ours["evaluate"], name, other)
    different = [name for name, other in evaluations.items() if other["stats"] != ours["evaluate"]["stats"]]
    if different:
        sys.exit(f"other numbers than {', '.join(different)}")


if __name__ == "__main__":
    main()
