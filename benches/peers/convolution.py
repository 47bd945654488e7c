#!/usr/bin/env python3
"""PyTorch's conv2d and its gradients over the table of benches/convolution.rs: ResNet-50 at batch 256, fp16, channels
last, cudnn.benchmark. One line of JSON a case, the median GPU time by events; operands are rotated past the L2 cache.

Needs PyTorch with CUDA and a GPU.
"""
import json
import re
import statistics
import sys
from pathlib import Path

import torch

BATCH, SAMPLES, SAMPLE_MS = 256, 10, 30.0


def table():
    """The convolutions, read from the Rust benchmark's own table: [c, k, kernel, stride, size] and how often."""
    source = Path(__file__).resolve().parents[1] / "common" / "resnet50.rs"
    rows = re.findall(r"\(\[([\d, ]+)\], (\d+)\)", source.read_text())
    return [([int(n) for n in shape.split(",")], int(count)) for shape, count in rows]


def random_images(*shape):
    numbers = torch.rand(*shape, device="cuda", dtype=torch.float16) * 2 - 1
    return numbers.contiguous(memory_format=torch.channels_last)


def median_ms(launches):
    """Median over samples; a sample goes through the launches (each on other operands) as often as fills its time."""

    def sample(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(rounds):
            for launch in launches:
                launch()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / (rounds * len(launches))

    sample(3)  # cudnn.benchmark chooses an engine
    rounds = max(1, round(SAMPLE_MS / (sample(3) * len(launches))))
    return statistics.median(sample(rounds) for _ in range(SAMPLES))


def main():
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU")
    torch.backends.cudnn.benchmark = True
    sums = {}
    for (c, k, kernel, stride, size), count in table():
        padding, out = kernel // 2, size // stride
        bytes_moved = 2 * (BATCH * (size**2 * c + out**2 * k) + k * kernel**2 * c)
        sets = [
            (random_images(BATCH, c, size, size), random_images(k, c, kernel, kernel), random_images(BATCH, k, out, out))
            for _ in range(min(max((2 << 30) // bytes_moved, 1), 32))
        ]

        def forward(x, w, _):
            return lambda: torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)

        def gradient(x, w, dy, mask):
            settings = ([stride, stride], [padding, padding], [1, 1], False, [0, 0], 1, mask)
            return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, *settings)

        directions = {
            "forward": [forward(*operands) for operands in sets],
            "data gradient": [gradient(*operands, [True, False, False]) for operands in sets],
            "filter gradient": [gradient(*operands, [False, True, False]) for operands in sets],
        }
        if c == 4:  # nobody needs the gradient of the pictures
            del directions["data gradient"]
        for direction, launches in directions.items():
            ms = median_ms(launches)
            sums[direction] = sums.get(direction, 0) + count * ms
            tflops = 2 * BATCH * out**2 * k * kernel**2 * c / ms / 1e9
            line = {"bench": "convolution", "case": f"{c},{k},{kernel},{stride},{size}", "direction": direction}
            print(json.dumps(line | {"type": "f16", "count": count, "ms": ms, "tflops": tflops}), flush=True)
        del sets, directions
        torch.cuda.empty_cache()
    versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}
    summary = {"bench": "convolution", "sum_ms": sums, "gpu": torch.cuda.get_device_name(), "versions": versions}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
