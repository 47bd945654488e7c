#!/usr/bin/env python3
"""PyTorch on the work of examples/classify.rs: a ResNet of torchvision names the likeliest classes of image files.

The weights are random, by a seed, and so are the statistics of the batch normalisations, so that a weight in the wrong
place shows. They are written to a safetensors file, with which the example gives the same answers:

    classify.py --save random.safetensors dog.jpg cat.png
    cargo run --release --example classify -- --weights random.safetensors dog.jpg cat.png

Images are scaled to a shorter side of 256 and cut to 224 x 224 pixels by torchvision's transforms on Pillow's images. Each
type's answers begin with its name: f32 without TensorFloat-32, then fp16 weights and images. The softmax is f32 in both.

    classify.py [--model resnet50] [--seed 1] [--weights FILE | --save FILE] [--labels FILE] [--type f32 fp16] [--top 5]
                [--batch 64] [--json] FILE...

With --weights such a file is read instead. --json prints a line for each type and image, with the example's keys and the
type's; compare those of one type with the example's `--json --precision f32` or `f16`. Images that cannot be read are named,
and the others classified. Needs PyTorch, torchvision and safetensors, and a GPU (`--device cpu` tries the script itself).
"""
import argparse
import json
import re
import sys

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import transforms

TYPES = {"f32": torch.float32, "fp16": torch.float16}
PREPARE = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def randomise(model, seed):
    """Random weights and statistics that keep activations moderate, and a last layer that is neither sure nor at a loss."""
    generator = torch.Generator().manual_seed(seed)

    def around(tensor, centre, width):
        tensor.copy_(centre + width * (2 * torch.rand(tensor.shape, generator=generator) - 1))

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            around(module.weight, 1.0, 0.2)
            around(module.bias, 0.0, 0.2)
            around(module.running_mean, 0.0, 0.2)
            around(module.running_var, 1.0, 0.5)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            # Variance 1 over the number of inputs: a sum varies as much as they do.
            around(module.weight, 0.0, (3 / module.weight[0].numel()) ** 0.5)
    around(model.fc.bias, 0.0, 0.1)
    # Coarse noise is somewhat like photographs. A deviation of 3 gives the likeliest of 1,000 classes around 20 %.
    noise = torch.randn(8, 3, 14, 14, generator=generator)
    logits = model(torch.nn.functional.interpolate(noise, size=(224, 224), mode="bilinear"))
    model.fc.weight.mul_(3 / logits.std())


def network(options):
    """The network of these weights, or of random ones, which are saved if asked for."""
    if options.weights:
        state = load_file(options.weights)
        classes = state["fc.weight"].shape[0]
        model = getattr(torchvision.models, options.model)(num_classes=classes)
        # Ocelli's files do not have the count of batches, which nothing computes with.
        missing, surplus = model.load_state_dict(state, strict=False)
        wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + surplus
        if wrong:
            sys.exit(f"the weights in {options.weights} are not {options.model}'s: {', '.join(wrong)}")
        return model.eval()
    model = getattr(torchvision.models, options.model)().eval()
    randomise(model, options.seed)
    if options.save:
        save_file(model.state_dict(), options.save)
    return model


def read_labels(path, classes):
    """A name a line; a WordNet identifier before it is left out."""
    if not path:
        return [f"class {number}" for number in range(classes)]
    with open(path, encoding="utf-8") as file:
        lines = file.read().rstrip().splitlines()
    if len(lines) != classes:
        sys.exit(f"the network has {classes} classes, and {path} has {len(lines)} lines: it should have one a class")
    return [re.sub(r"^n\d{8}\s+", "", line.strip()) for line in lines]


def read_images(files):
    """The files that can be read and their images, prepared; the others are named."""
    read, images = [], []
    for file in files:
        try:
            with Image.open(file) as image:
                images.append(PREPARE(image.convert("RGB")))
            read.append(file)
        except Exception as error:  # whatever a decoder may say
            print(f"{file} cannot be read: {error}", file=sys.stderr)
    return read, images


def probabilities(model, images, dtype, device, batch):
    """A row of probabilities for each image."""
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        backend.allow_tf32 = False
    model = model.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    rows = []
    for part in torch.stack(images).split(batch):
        part = part.to(device=device, dtype=dtype, memory_format=torch.channels_last)
        rows.append(model(part).float().softmax(1).cpu())
    return torch.cat(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--seed", type=int, default=1)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", help="read these weights instead of making random ones")
    source.add_argument("--save", help="write the random weights to this file")
    parser.add_argument("--labels")
    parser.add_argument("--type", nargs="+", default=list(TYPES), choices=TYPES)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this script needs an NVIDIA GPU")
    torch.set_grad_enabled(False)
    model = network(options)
    classes = model.fc.out_features
    names = read_labels(options.labels, classes)
    files, images = read_images(options.files)
    # From the widest type to the narrowest, since the model's own weights are cast.
    for kind in sorted(options.type, key=list(TYPES).index):
        if not images:
            break
        rows = probabilities(model, images, TYPES[kind], options.device, options.batch)
        if not options.json:
            print(f"== {kind}")
        for file, row in zip(files, rows):
            values, indices = row.topk(min(options.top, classes))
            guesses = list(zip(indices.tolist(), values.tolist()))
            if options.json:
                keys = [{"class": c, "name": names[c], "probability": p} for c, p in guesses]
                print(json.dumps({"by": "pytorch", "type": kind, "file": file, "guesses": keys}))
            else:
                print(file, *(f"{names[c]} {100 * p:.2f}%" for c, p in guesses), sep="\n")
    sys.exit(len(files) < len(options.files))


if __name__ == "__main__":
    main()
