#!/usr/bin/env python3
"""PyTorch on the network of its own MNIST example: seconds per epoch of training, 60,000 images already on the GPU.

Each combination of batch, element type (16-bit types by autocast) and mode (eager, or the whole step in a CUDA graph) is
one line of JSON. The images are random numbers, which take the same time as digits; fp16 has no loss scaling, in PyTorch's
favour. Needs PyTorch with CUDA and a GPU.

    mnist.py [--batch 64 512] [--type fp16 bf16 f32] [--mode graph eager] [--epochs 3]
"""
import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn

from common import captured

IMAGES = 60_000
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


def network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    ).cuda()


def seconds_per_epoch(images, labels, batch, dtype, mode, epochs):
    net, loss_of = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, fused=True)
    x, y = images[:batch].clone(), labels[:batch].clone()

    def step():
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        # In a graph the gradients keep their place in memory.
        optimizer.zero_grad(set_to_none=mode == "eager")

    run = captured(step) if mode == "graph" else step

    def epoch():
        order = torch.randperm(IMAGES, device="cuda")
        for start in range(0, IMAGES - batch + 1, batch):
            chosen = order[start : start + batch]
            torch.index_select(images, 0, chosen, out=x)
            torch.index_select(labels, 0, chosen, out=y)
            run()

    seconds = []
    for _ in range(epochs + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        epoch()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]  # the first one warms up


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batch", type=int, nargs="+", default=[64, 512])
    options.add_argument("--type", nargs="+", default=list(TYPES), choices=TYPES)
    options.add_argument("--mode", nargs="+", default=["graph", "eager"], choices=["graph", "eager"])
    options.add_argument("--epochs", type=int, default=3)
    options = options.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU")
    torch.backends.cudnn.benchmark = True
    images = torch.rand(IMAGES, 1, 28, 28, device="cuda")
    labels = torch.randint(0, 10, (IMAGES,), device="cuda")
    for batch in options.batch:
        for name in options.type:
            for mode in options.mode:
                seconds = seconds_per_epoch(images, labels, batch, TYPES[name], mode, options.epochs)
                line = {"bench": "mnist", "batch": batch, "type": name, "mode": mode, "seconds_per_epoch": seconds}
                print(json.dumps(line | {"median_s": statistics.median(seconds)}), flush=True)
    print(json.dumps({"bench": "mnist", "gpu": torch.cuda.get_device_name(), "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()
