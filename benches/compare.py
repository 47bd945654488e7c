#!/usr/bin/env python3
"""Compares two files of benchmark results, case by case: benches/compare.py A B prints B's time over A's.

The files are lines of JSON as `cargo bench` leaves them in target/ocelli-bench/<card>.jsonl, or as the scripts in
benches/peers print them; other lines are skipped. Below 1, B is faster.
"""
import json
import math
import sys
from collections import defaultdict


def read(path):
    """The cases of a file: their identity, and the line with the time."""
    cases = {}
    with open(path) as lines:
        for line in lines:
            try:
                case = json.loads(line)
            except ValueError:
                continue
            if isinstance(case, dict) and "ms" in case:
                cases[tuple(str(case.get(key, "")) for key in ("bench", "direction", "type", "case"))] = case
    return cases


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = (read(path) for path in sys.argv[1:])
    shared = [identity for identity in first if identity in second]
    if not shared:
        sys.exit("the files have no case in common")
    groups = defaultdict(list)
    print(f"{'bench':12} {'direction':16} {'type':5} {'case':34} {'A ms':>10} {'B ms':>10} {'B / A':>7}")
    for identity in shared:
        a, b = first[identity]["ms"], second[identity]["ms"]
        bench, direction, dtype, case = identity
        print(f"{bench:12} {direction:16} {dtype:5} {case:34} {a:10.4f} {b:10.4f} {b / a:7.3f}")
        groups[bench, direction].append((a, b, first[identity].get("count", 1)))
        groups[bench, "all"].append((a, b, first[identity].get("count", 1)))
    print("\nsums (each case as often as its network has it) and geometric means")
    for (bench, direction), times in groups.items():
        a, b = (sum(time[side] * time[2] for time in times) for side in (0, 1))
        mean = math.exp(sum(math.log(time[1] / time[0]) for time in times) / len(times))
        print(f"{bench:12} {direction:16} {a:10.3f} {b:10.3f} ms, sum {b / a:.3f}, mean {mean:.3f}")
    only = len(first) + len(second) - 2 * len(shared)
    if only:
        print(f"{only} cases are in one file alone")


if __name__ == "__main__":
    main()
