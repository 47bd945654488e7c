#!/usr/bin/env python3
"""PyTorch and torchvision on the work of `ocelli bench-loader`: images from JPEG files to batches on the GPU.

A case is a line of JSON, in images per second:

    decode    torchvision.io.decode_jpeg(device="cuda") on files that lie in the host's memory: decoding alone, nothing read
              from a disk and nothing augmented. About a thousand files, from all over the directory, in each of several
              rounds, the same for each size of batch; the best round, after one that warms up.
    pipeline  torch.utils.data.DataLoader: worker processes read, decode with Pillow and augment (random crop, flip,
              normalisation); batches are pinned, copied to the GPU and dropped. A set is gone through again and again.

    loader.py DIRECTORY [--generate] [--work decode pipeline] [--batch 64 256 512] [--workers 4 16] [--seconds 10]
    ocelli bench-loader DIRECTORY --only loader --batch 64,256 --workers 4,16 --json

DIRECTORY holds a folder of JPEG files for each class. With --generate it is made first: 512 files of 500 x 375 pixels in 8
classes, noise whose spectrum falls as that of photographs does, quality 90 and 4:2:0, 97 KB each on average.

Needs NumPy and Pillow to generate (`--work` without a name does that alone), and PyTorch, torchvision and a GPU for the rest
(`--device cpu` tries the pipeline itself).
"""
import argparse
import io
import json
import pathlib
import sys
import time
from concurrent.futures import ProcessPoolExecutor

ROUNDS = 7
WARM_UP = 6  # batches
DECODED = 1024  # files in a round of decoding, at most, or about as many
IMAGES, CLASSES, WIDTH, HEIGHT, QUALITY = 512, 8, 500, 375, 90
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def generated(number):
    """A JPEG file of coloured noise, always the same for a number."""
    import numpy
    from PIL import Image

    random = numpy.random.default_rng(number)
    down, across = numpy.fft.fftfreq(HEIGHT)[:, None], numpy.fft.rfftfreq(WIDTH)[None, :]
    frequency = numpy.hypot(down, across)
    frequency[0, 0] = 1.0  # the mean is set below
    # The power of photographs falls with the square of the frequency; a little more, so that files get their usual size.
    noise = numpy.fft.rfft2(random.standard_normal((3, HEIGHT, WIDTH))) / frequency**1.2
    pixels = numpy.fft.irfft2(noise, s=(HEIGHT, WIDTH))
    pixels = 120 + 55 * (pixels - pixels.mean()) / pixels.std()
    image = Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8).transpose(1, 2, 0).copy())
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()


def generate(directory):
    """Writes the files, as many to each class. Their mean size in bytes."""
    total = 0
    with ProcessPoolExecutor() as processes:
        for number, contents in enumerate(processes.map(generated, range(IMAGES), chunksize=8)):
            folder = directory / f"class{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:05}.jpg").write_bytes(contents)
            total += len(contents)
    return total / IMAGES


def jpegs(directory):
    """The files in the folders of a directory."""
    files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        sys.exit(f"there are no JPEG files in {directory}: name another directory, or make one with --generate")
    return files


def decode(options, batch):
    """Decoding alone."""
    import torch
    from torchvision.io import decode_jpeg

    files = jpegs(options.directory)
    files = files[:: -(-len(files) // DECODED)]
    encoded = [torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in files]
    # All files the same number of times, whatever the size of batch: they may differ. The last batch may be smaller.
    order = encoded * max(1, round(DECODED / len(files)))
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]

    def once():
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for images in batches:
            decode_jpeg(images, device="cuda")
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    once()
    best = min(once() for _ in range(ROUNDS))
    return {"batch": batch, "images_per_s": sum(map(len, batches)) / best}


class Again:
    """A set so many times over."""

    def __init__(self, images, times):
        self.images, self.times = images, times

    def __len__(self):
        return self.times * len(self.images)

    def __getitem__(self, index):
        return self.images[index % len(self.images)]


def pipeline(options, batch, workers):
    """Reading, decoding, augmentation and the copy."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    augmentation = v2.Compose(
        [
            v2.RandomResizedCrop(options.size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, DEVIATION),
        ]
    )
    images = ImageFolder(str(options.directory), augmentation)
    cuda = options.device == "cuda"
    # So large that no epoch ends: workers would start anew.
    times = -(-1024 * batch // len(images))
    loader = DataLoader(
        Again(images, times),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=cuda,
        prefetch_factor=4 if workers else None,
        drop_last=True,
    )

    def synchronize():
        if cuda:
            torch.cuda.synchronize()

    count, begin = 0, None
    for number, (pixels, _) in enumerate(loader):
        pixels.to(options.device, non_blocking=True)
        if begin is None:
            if number + 1 >= WARM_UP:
                synchronize()
                begin = time.perf_counter()
            continue
        count += len(pixels)
        if time.perf_counter() - begin >= options.seconds:
            break
    synchronize()
    elapsed = time.perf_counter() - begin
    return {"batch": batch, "workers": workers, "images_per_s": count / elapsed}


def cases(options):
    """What is measured: a name, its settings, and what measures it."""
    if "decode" in options.work:
        for batch in options.batch:
            yield "decode", {"batch": batch}, lambda batch=batch: decode(options, batch)
    if "pipeline" in options.work:
        for batch in options.batch:
            for workers in options.workers:
                settings = {"batch": batch, "workers": workers}
                yield "pipeline", settings, lambda settings=settings: pipeline(options, **settings)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--generate", action="store_true", help="make the files first")
    parser.add_argument("--work", nargs="*", default=["decode", "pipeline"], choices=["decode", "pipeline"])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--size", type=int, default=224, help="rows and columns of an augmented image")
    parser.add_argument("--seconds", type=float, default=10, help="how long a pipeline is measured")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    identity = {"bench": "loader", "by": "pytorch"}
    if options.generate:
        size = generate(options.directory)
        print(json.dumps(identity | {"work": "generate", "images": IMAGES, "mean_bytes": round(size)}), flush=True)
    if not options.work:
        return
    import torch
    import torchvision

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU")
    if options.device == "cpu" and "decode" in options.work:
        sys.exit("only a GPU decodes: --work pipeline")
    failed = False
    for work, settings, measure in cases(options):
        line = identity | {"work": work} | settings
        try:
            line |= measure()
        except Exception as error:  # what PyTorch cannot do here is a result, too
            failed = True
            line["error"] = f"{type(error).__name__}: {error}"[:500]
        print(json.dumps(line), flush=True)
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps(identity | {"gpu": gpu, "versions": versions}))
    sys.exit(failed)


if __name__ == "__main__":
    main()
