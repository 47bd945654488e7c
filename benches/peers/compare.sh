#!/usr/bin/env bash
# Times this library and PyTorch on the same GPU in one run and prints the ratios: of times, ours over theirs (below 1 ours
# is faster); for ResNets of speeds (above 1 ours is).
#
#   benches/peers/compare.sh [mnist] [convolution] [loader [DIRECTORY]...] [resnet [FILTER]...]
#
# Without a name all are compared. A directory is one of images in class folders, or a .tar of images (by default files are
# generated), and SECONDS_EACH and OPTIONS are what loader_ratios.py says. A filter is a part of a ResNet's case, such as
# train/resnet50/fp16/256/reduce-overhead; BUDGET=300 gives the ResNets 300 seconds: the most important cases come first,
# and what does not fit is left out.
# Programs that are built already are named by OCELLI_MNIST, OCELLI_BENCH_CONVOLUTION, OCELLI_BENCH_RESNET and
# OCELLI_PROGRAM, or lie in gpu-bundle/ (see scripts/bundle-gpu.sh) where there is no cargo, else cargo builds them; PYTHON
# names a Python with PyTorch and torchvision (python3). MNIST_DATA is a directory with MNIST's files (`generated` by
# default: digits drawn by the program, which take the same time). The lines of JSON that the ratios are made of stay in
# $OUT (target/ocelli-bench/peers).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
out=${OUT:-target/ocelli-bench/peers}
mkdir -p "$out"

# Prints where a program of the bundle is (examples/mnist); fails when cargo can build a newer one, or there is none.
bundled() {
    ! command -v cargo >/dev/null && [[ -f gpu-bundle/run.sh ]] || return 1
    gpu-bundle/run.sh --unpack >/dev/null && [[ -x gpu-bundle/files/$1 ]] && echo "gpu-bundle/files/$1"
}

# Prints where a benchmark is, which is built if need be.
benchmark() {
    bundled "benches/$1" && return
    cargo bench --bench "$1" --no-run --message-format=json-render-diagnostics |
        "$python" -c 'import json, sys
for line in map(json.loads, sys.stdin):
    if line.get("executable") and line["target"]["name"] == sys.argv[1]:
        print(line["executable"])' "$1"
}

compare_mnist() {
    local program=${OCELLI_MNIST:-} batch type
    if [[ -z $program ]] && ! program=$(bundled examples/mnist); then
        cargo build --release --example mnist
        program=target/release/examples/mnist
    fi
    "$python" benches/peers/mnist.py | tee "$out/mnist-pytorch.jsonl"
    : >"$out/mnist-ocelli.jsonl"
    for batch in 64 512; do
        for type in fp16 bf16 tf32 f32; do
            "$program" --json --epochs 4 --batch "$batch" --precision "$type" --data "${MNIST_DATA:-generated}" | tail -n 1 |
                sed "s/^{/{\"batch\": $batch, \"type\": \"$type\", /" | tee -a "$out/mnist-ocelli.jsonl"
        done
    done
    "$python" - "$out" <<'PYTHON'
import json, statistics, sys

def lines(name):
    with open(f"{sys.argv[1]}/mnist-{name}.jsonl") as file:
        return [json.loads(line) for line in file if line.startswith("{")]

# The first epoch warms up, for both.
ours = {(line["batch"], line["type"]): statistics.median(line["seconds_per_epoch"][1:]) for line in lines("ocelli")}
print(f"\n{'batch':>5} {'type':5} {'PyTorch':8} {'theirs s':>9} {'ours s':>9} {'ratio':>6}")
for line in lines("pytorch"):
    # PyTorch's f32 convolutions round to TensorFloat-32 unless told otherwise; ours do so when asked for tf32.
    for kind in ["tf32", "f32"] if line.get("type") == "f32" else [line.get("type")]:
        if "batch" not in line:
            continue
        theirs, own = line["median_s"], ours[line["batch"], kind]
        line["type"] = kind
        print(f"{line['batch']:5} {line['type']:5} {line['mode']:8} {theirs:9.4f} {own:9.4f} {own / theirs:6.2f}")
PYTHON
}

compare_convolution() {
    "$python" benches/peers/convolution.py | tee "$out/convolution-pytorch.jsonl"
    "${OCELLI_BENCH_CONVOLUTION:-$(benchmark convolution)}" --bench | tee "$out/convolution.log"
    grep '^{' "$out/convolution.log" >"$out/convolution-ocelli.jsonl"
    echo
    echo "A: PyTorch, B: this library"
    "$python" benches/compare.py "$out"/convolution-{pytorch,ocelli}.jsonl
}

compare_loader() {
    local program=${OCELLI_PROGRAM:-}
    if [[ -z $program ]] && ! program=$(bundled bin/ocelli); then
        cargo build --release -p ocelli-cli
        program=target/release/ocelli
    fi
    "$python" benches/peers/loader_ratios.py "$program" "$out" "$@"
}

compare_resnet() {
    local program=${OCELLI_BENCH_RESNET:-}
    [[ -n $program ]] || program=$(benchmark resnet)
    "$python" benches/peers/resnet_ratios.py "$program" "$out" "$@"
}

names="mnist convolution loader resnet"
# shellcheck disable=SC2086 # one argument a name
(($#)) || set -- $names
while (($#)); do
    name=$1
    shift
    case " $names " in
        *" $name "*) ;;
        *) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    arguments=()
    case $name in
        loader | resnet)
            while (($#)) && [[ " $names " != *" $1 "* ]]; do
                arguments+=("$1")
                shift
            done
            ;;
    esac
    "compare_$name" ${arguments[@]+"${arguments[@]}"}
done
