"""Writes the JPEG files beside it: kinds that the tests' own encoder cannot make.

python make.py, with Pillow 13.0 (libjpeg-turbo 3.2) in 2026. All are pictures of the same waves, 61 x 43 pixels.
"""

from math import pi, sin
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent


def wave(position, period, phase):
    return sin(2 * pi * position / period + phase)


def value(x, y, channel):
    return round(128 + 30 * (wave(x, 61, channel) + wave(y, 43, 2 * channel)))


def picture(width, height, channels):
    image = Image.new("RGB" if channels == 3 else "CMYK", (width, height))
    image.putdata([tuple(value(x, y, c) for c in range(channels)) for y in range(height) for x in range(width)])
    return image


def save(name, image, **options):
    image.save(HERE / name, "JPEG", quality=92, **options)


colours = picture(61, 43, 3)
save("progressive.jpg", colours, progressive=True, subsampling="4:4:4")
save("progressive-grey.jpg", colours.convert("L"), progressive=True)
save("restart.jpg", colours, subsampling="4:4:4", restart_marker_blocks=3)
save("s420.jpg", colours, subsampling="4:2:0")
save("s422.jpg", colours, subsampling="4:2:2")
save("cmyk.jpg", picture(61, 43, 4))
# The same samples, said to be YCCK: Adobe's segment ends in the transform, 0 or 2.
cmyk = (HERE / "cmyk.jpg").read_bytes()
transform = cmyk.index(b"\xff\xee") + 4 + 11
assert cmyk[transform] == 0
(HERE / "ycck.jpg").write_bytes(cmyk[:transform] + b"\x02" + cmyk[transform + 1 :])
# Its samples are red, green and blue themselves.
save("rgb.jpg", colours, keep_rgb=True)
# One colour in all pixels: what becomes of it does not depend on how colour differences are scaled up.
save("plain-s420.jpg", Image.new("RGB", (64, 32), (180, 90, 60)), subsampling="4:2:0")

# What they are in red, green and blue.
for name in ["cmyk", "ycck", "rgb"]:
    Image.open(HERE / f"{name}.jpg").convert("RGB").save(HERE / f"{name}.png")
