"""Writes samples.bin: pixels of photographs as Pillow decodes them, which does it by libjpeg-turbo.

python make.py imagenet-sample-500.tar, with Pillow 13.0 (libjpeg-turbo 3.2) in 2026.

Of every third of the archive's files, in the order of their names, 64 pixels: red, green and blue of each, one byte each,
file after file. Which pixels: a file's number in that order is the first state; each draw makes the state
(6364136223846793005 * state + 1442695040888963407) modulo 2^64 (Knuth, MMIX), and yields state >> 33. A pixel is in the column
of the first draw modulo the width, and the row of the second modulo the height.
"""

import sys
import tarfile
from pathlib import Path

from PIL import Image

EACH = 64


def places(number, width, height):
    state = number
    for _ in range(EACH):
        drawn = []
        for side in (width, height):
            state = (6364136223846793005 * state + 1442695040888963407) % 2**64
            drawn.append((state >> 33) % side)
        yield tuple(drawn)


with tarfile.open(sys.argv[1]) as archive:
    names = sorted(member.name for member in archive if member.isfile())
    samples = bytearray()
    for number in range(0, len(names), 3):
        image = Image.open(archive.extractfile(names[number])).convert("RGB")
        for place in places(number, *image.size):
            samples.extend(image.getpixel(place))
Path(__file__).with_name("samples.bin").write_bytes(samples)
