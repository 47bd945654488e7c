#!/usr/bin/env python3
"""Runs loader.py and `ocelli bench-loader` on the same files and the same GPU, and prints the ratios.

    loader_ratios.py PROGRAM OUT [DIRECTORY ...]

PROGRAM is the built `ocelli`, OUT the directory for the lines of JSON: loader-pytorch.jsonl, loader-ocelli.jsonl and
loader-ratios.json. A DIRECTORY holds a folder of images for each class; instead of one, a .tar of images will do. Without
either, files are generated, as loader.py describes them. For each directory two ratios are printed: the loader (reading,
decoding, augmenting) over torchvision's decode_jpeg(device="cuda") alone at its best batch size, and training ResNet-50 in
fp16 on the loader's batches over training on a batch that lies on the GPU. SECONDS_EACH is how long each measurement takes
(5); OPTIONS are further options of `ocelli bench-loader`, all of them run after the plain ones, separated by semicolons
("--decoded-form rgb; --hardware-threads 2").
"""
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PEER = Path(__file__).resolve().with_name("loader.py")
BATCH, WORKERS = 256, "4,8,16"


def run(command, output):
    """The lines of JSON that a program prints, which are kept."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for line in lines:
        print(json.dumps(line), file=output, flush=True)
    if done.returncode:
        print(f"exit status {done.returncode}: {' '.join(map(str, command))}", file=sys.stderr, flush=True)
    return lines, done.returncode


def fastest(lines, **wanted):
    """The fastest measurement of some kind."""
    lines = [line for line in lines if line.get("images_per_s") and all(line.get(key) == wanted[key] for key in wanted)]
    return max(lines, key=lambda line: line["images_per_s"], default=None)


def ratio(ours, theirs):
    return ours["images_per_s"] / theirs["images_per_s"] if ours and theirs else None


def speed(line):
    return f"{line['images_per_s']:11.0f}" if line else "-".rjust(11)


def workers(line):
    return str(line["workers"]) if line else "-"


HEADER = (
    f"{'files':16} {'options':24} {'torchvision':>11} {'loader':>11} {'workers':>7} {'ratio':>6} "
    f"{'synthetic':>11} {'training':>11} {'workers':>7} {'share':>6} {'waited':>6}"
)


def figures(name, options, ours, decode):
    """What was measured with some options on a directory."""
    loader, both = fastest(ours, kind="loader"), fastest(ours, kind="both")
    synthetic = fastest(ours, kind="synthetic")
    return {
        "files": name,
        "options": options,
        "torchvision_decode": decode,
        "loader": loader,
        "loader_over_torchvision": ratio(loader, decode),
        "synthetic": synthetic,
        "training": both,
        "training_over_synthetic": ratio(both, synthetic),
    }


def row(case):
    loader, both = case["loader"], case["training"]
    over, share = case["loader_over_torchvision"], case["training_over_synthetic"]
    waited = both and both.get("gpu_waited_share")
    return " ".join(
        [
            f"{case['files']:16} {case['options'] or '-':24} {speed(case['torchvision_decode'])}",
            f"{speed(loader)} {workers(loader):>7} {f'{over:5.2f}x' if over else '-'.rjust(6)}",
            f"{speed(case['synthetic'])} {speed(both)} {workers(both):>7}",
            f"{f'{100 * share:4.1f} %' if share else '-'.rjust(6)}",
            f"{f'{100 * waited:4.1f} %' if waited is not None else '-'.rjust(6)}",
        ]
    )


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, out, *directories = sys.argv[1:]
    out, seconds = Path(out), os.environ.get("SECONDS_EACH") or "5"
    variants = [""] + [text.strip() for text in os.environ.get("OPTIONS", "").split(";") if text.strip()]
    cases, machine, failed = [], {}, False
    with (
        tempfile.TemporaryDirectory() as generated,
        tempfile.TemporaryDirectory() as unpacked,
        open(out / "loader-pytorch.jsonl", "w") as theirs_file,
        open(out / "loader-ocelli.jsonl", "w") as ours_file,
    ):
        if not directories:
            directories = [generated]
            _, status = run([sys.executable, PEER, generated, "--generate", "--work"], theirs_file)
            if status:
                sys.exit("the files could not be generated")
        print(HEADER, flush=True)
        for directory in directories:
            name = "generated" if directory == generated else Path(directory).name
            if directory.endswith(".tar"):
                try:
                    with tarfile.open(directory) as archive:
                        directory = f"{unpacked}/{len(cases)}"
                        archive.extractall(f"{directory}/all", filter="data")
                except (OSError, tarfile.TarError) as error:
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
                    failed = True
                    continue
            lines, status = run([sys.executable, PEER, directory, "--work", "decode"], theirs_file)
            failed |= status != 0
            decode = fastest(lines, work="decode")
            machine = next((line for line in lines if "versions" in line), machine)
            for options in variants:
                command = [program, "bench-loader", directory, "--json", "--batch", str(BATCH)]
                command += ["--seconds", seconds, *options.split()]
                if "--workers" not in command:
                    command += ["--workers", WORKERS]
                lines, status = run(command, ours_file)
                failed |= status != 0
                cases.append(figures(name, options, lines, decode))
                print(row(cases[-1]), flush=True)
    machine = {key: machine.get(key) for key in ("gpu", "versions")}
    (out / "loader-ratios.json").write_text(json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n")
    print(f"\n{out / 'loader-ratios.json'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
