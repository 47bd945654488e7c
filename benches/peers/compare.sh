#!/usr/bin/env bash
# Times this library and PyTorch on the same GPU in one run and prints the ratios (ours over theirs; below 1 ours is faster).
#
#   benches/peers/compare.sh [mnist] [convolution]
#
# Without a name both are compared. Programs that are built already are named by OCELLI_MNIST and
# OCELLI_BENCH_CONVOLUTION, else cargo builds them; PYTHON names a Python with PyTorch (python3). MNIST_DATA is a directory
# with MNIST's files (`generated` by default: digits drawn by the program, which take the same time). The lines of JSON
# that the ratios are made of stay in $OUT (target/ocelli-bench/peers).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
out=${OUT:-target/ocelli-bench/peers}
mkdir -p "$out"

compare_mnist() {
    local program=${OCELLI_MNIST:-target/release/examples/mnist} batch type
    [[ -n ${OCELLI_MNIST:-} ]] || cargo build --release --example mnist
    "$python" benches/peers/mnist.py | tee "$out/mnist-pytorch.jsonl"
    : >"$out/mnist-ocelli.jsonl"
    for batch in 64 512; do
        for type in fp16 bf16 tf32 f32; do
            "$program" --json --epochs 4 --batch "$batch" --type "$type" --data "${MNIST_DATA:-generated}" | tail -n 1 |
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
    if [[ -n ${OCELLI_BENCH_CONVOLUTION:-} ]]; then
        "$OCELLI_BENCH_CONVOLUTION" --bench
    else
        cargo bench --bench convolution
    fi | tee "$out/convolution.log"
    grep '^{' "$out/convolution.log" >"$out/convolution-ocelli.jsonl"
    echo
    echo "A: PyTorch, B: this library"
    "$python" benches/compare.py "$out"/convolution-{pytorch,ocelli}.jsonl
}

(($#)) || set -- mnist convolution
for name; do
    case $name in
        mnist | convolution) "compare_$name" ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
done
