#!/usr/bin/env python3
"""PyTorch on torchvision's ResNets: whole training steps and inference on synthetic images, the work of benches/resnet.rs.

A case is a line of JSON: the median time of a step over samples of many steps, images per second, peak memory, and the
seconds of the first step. Run a case in a process of its own (as compare.sh does) and those are true first steps; with
an empty TORCHINDUCTOR_CACHE_DIR and TRITON_CACHE_DIR, cold ones.

    resnet.py [--work train infer] [--model resnet50] [--type fp16 bf16 tf32 f32] [--batch 256 64] [--mode MODE ...]

Modes: eager; graph (the whole step in a CUDA graph); torch.compile's default, reduce-overhead and max-autotune; and for
inference max-autotune-freezing, which lets the compiler fold the weights. Everything a PyTorch user is told to do is done:
channels_last, autocast and a gradient scaler for fp16 (inference in 16-bit weights instead), fused SGD, cudnn.benchmark.

Images lie on the GPU: f32, channels_last, 3 channels for training, in the weights' type for inference. Training is SGD
(0.1, momentum 0.9, weight decay 5e-5) with label smoothing 0.1 on 1,000 classes.

Needs PyTorch and torchvision, and a GPU (`--device cpu --size 32` tries the script itself).
"""
import argparse
import json
import statistics
import sys
import time

STARTED = time.perf_counter()

import torch
import torchvision

from common import captured

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "tf32": torch.float32, "f32": torch.float32}
COMPILED = ["default", "reduce-overhead", "max-autotune"]
MODES = {"train": ["eager", "graph", *COMPILED], "infer": ["eager", "graph", *COMPILED, "max-autotune-freezing"]}
SAMPLES, CLASSES = 10, 1000


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compiled(function, mode):
    """The function as torch.compile makes it in this mode."""
    if mode == "max-autotune-freezing":
        import torch._inductor.config as inductor

        inductor.freezing = True
        mode = "max-autotune"
    return torch.compile(function, mode=mode)


def training_step(options, model, images, labels, dtype, mode):
    """A whole step: forward, backward, update."""
    device = options.device
    fused = device == "cuda"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-5, fused=fused)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)

    def forward(x, y):
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            return loss_of(model(x), y)

    if mode in COMPILED:
        forward = compiled(forward, mode)

    def step():
        loss = forward(images, labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        # In a graph the gradients keep their place in memory.
        optimizer.zero_grad(set_to_none=mode != "graph")
        return loss

    return step


def measure(step, mode, batch):
    """Seconds of the first step since it was asked for and since the start, and the median milliseconds of a step."""
    begin = time.perf_counter()
    step()
    synchronize()
    end = time.perf_counter()
    first, since_start = end - begin, end - STARTED
    run = captured(step) if mode == "graph" else step

    def sample(steps):
        synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            run()
        synchronize()
        return 1e3 * (time.perf_counter() - begin) / steps

    sample(15)  # torch.compile's CUDA graphs record in the first steps, cudnn.benchmark chooses
    steps = max(3, min(200, round(250 / sample(5))))
    milliseconds = statistics.median(sample(steps) for _ in range(SAMPLES))
    return {
        "ms": milliseconds,
        "images_per_s": 1e3 * batch / milliseconds,
        "first_step_s": first,
        "start_to_first_step_s": since_start,
    }


def case(options, work, name, kind, batch, mode):
    """One line of results."""
    dtype = TYPES[kind]
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        backend.allow_tf32 = kind == "tf32"
    torch._dynamo.reset()
    cuda = options.device == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = getattr(torchvision.models, name)().to(options.device, memory_format=torch.channels_last)
    images = torch.randn(batch, 3, options.size, options.size, device=options.device)
    images = images.contiguous(memory_format=torch.channels_last)
    if work == "train":
        labels = torch.randint(0, CLASSES, (batch,), device=options.device)
        figures = measure(training_step(options, model, images, labels, dtype, mode), mode, batch)
    else:
        model, images = model.eval().to(dtype), images.to(dtype)
        forward = compiled(model, mode) if mode not in ("eager", "graph") else model
        with torch.inference_mode() if "freezing" not in mode else torch.no_grad():
            figures = measure(lambda: forward(images), mode, batch)
    if cuda:
        figures["peak_bytes"] = torch.cuda.max_memory_allocated()
        figures["reserved_bytes"] = torch.cuda.max_memory_reserved()
    identity = {"bench": "resnet", "by": "pytorch", "work": work, "model": name, "type": kind, "batch": batch, "mode": mode}
    return identity | figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", default=["train", "infer"], choices=["train", "infer"])
    parser.add_argument("--model", nargs="+", default=["resnet50"])
    parser.add_argument("--type", nargs="+", default=list(TYPES), choices=TYPES)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 64])
    parser.add_argument("--mode", nargs="+", help="those of the work that are named; all by default")
    parser.add_argument("--size", type=int, default=224, help="rows and columns of an image")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU")
    torch.backends.cudnn.benchmark = True
    cases = [
        (work, name, kind, batch, mode)
        for work in options.work
        for name in options.model
        for kind in options.type
        for batch in options.batch
        for mode in MODES[work]
        if not options.mode or mode in options.mode
    ]
    failed = False
    for work, name, kind, batch, mode in cases:
        try:
            line = case(options, work, name, kind, batch, mode)
        except Exception as error:  # a mode that PyTorch cannot run here is a result, too
            failed = True
            line = {"bench": "resnet", "by": "pytorch", "work": work, "model": name, "type": kind, "batch": batch, "mode": mode}
            line["error"] = f"{type(error).__name__}: {error}"[:500]
        print(json.dumps(line), flush=True)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    if options.device == "cuda":
        versions["cudnn"] = torch.backends.cudnn.version()
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    print(json.dumps({"bench": "resnet", "by": "pytorch", "gpu": gpu, "versions": versions}))
    sys.exit(failed)


if __name__ == "__main__":
    main()
