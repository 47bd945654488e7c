"""Writes what torchvision or Pillow makes of a few small images, for tests/augment_golden.rs.

    python make.py torchvision    # writes torchvision.json; torch 2.11, torchvision 0.26, on the CPU
    python make.py pillow         # writes pillow.json: what Pillow has in common, and what libjpeg-turbo makes of JPEG's planes

Images are made by a rule that the test repeats. Sides are such that every plane has a multiple of 64 values: torch takes
other arithmetic for what is left over by its vectors, which may differ in the last bit.
"""

import io
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
# Width and height of the images.
SMALL, LARGE = (16, 12), (32, 24)


def image(width, height):
    """[height, width, 3], 8 bits; slopes with a pattern over them, every channel with other values."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * (5 + c) + y * (3 + 2 * c) + c * 59 + (x * y >> 2) * 3 + (x ^ y) % 16 * 9) % 256 // (1 + c % 2)).astype(np.uint8)


def operations():
    """Name, magnitude, size. Magnitudes are exact in single precision."""
    yield from (("AutoContrast", 0.0, LARGE), ("Equalize", 0.0, LARGE))
    for factor in (0.0, 0.0625, 0.375, 0.90625, 1.0, 1.28125, 1.984375):
        yield from ((name, factor, LARGE) for name in ("Brightness", "Contrast", "Saturation", "Sharpness"))
    yield from (("Hue", shift, SMALL) for shift in (-0.5, -0.25, -0.03125, 0.0, 0.0625, 0.21875, 0.5))
    yield from (("Posterize", float(bits), SMALL) for bits in range(1, 9))
    yield from (("Solarize", threshold, SMALL) for threshold in (0.0, 8.5, 100.0, 178.5, 255.0))
    for magnitude in (-0.99, -0.3, 0.09, 0.231):
        yield from ((name, magnitude, LARGE) for name in ("ShearX", "ShearY"))
    yield from ((name, float(pixels), SMALL) for name in ("TranslateX", "TranslateY") for pixels in (-7, -1, 0, 3, 20))
    yield from (("Rotate", degrees, LARGE) for degrees in (-135.0, -30.0, -9.0, 4.5, 13.5, 90.0, 121.5))


def resizes():
    """Source size, crop (left, top, width, height), size of the result, filter."""
    for name in ("bilinear", "bicubic"):
        yield (32, 24), (0, 0, 32, 24), (32, 24), name
        yield (32, 24), (0, 0, 32, 24), (16, 12), name
        yield (32, 24), (3, 2, 25, 19), (11, 14), name
        yield (32, 24), (5, 7, 9, 11), (24, 20), name
        yield (200, 100), (10, 0, 180, 97), (13, 17), name
        yield (90, 40), (1, 1, 80, 2), (20, 9), name
        yield (32, 24), (31, 23, 1, 1), (3, 2), name


def entry(pixels, **what):
    assert pixels.dtype == np.uint8
    return {**what, "result": np.ascontiguousarray(pixels).tobytes().hex()}


def torchvision_cases():
    import torch
    import torchvision
    from torchvision.transforms.v2 import InterpolationMode, RandAugment
    from torchvision.transforms.v2 import functional as F

    torch.set_num_threads(1)
    tensor = lambda size: torch.from_numpy(image(*size)).permute(2, 0, 1).contiguous()
    array = lambda pixels: pixels.permute(1, 2, 0).contiguous().numpy()
    policy = RandAugment()

    def operate(pixels, name, magnitude):
        match name:
            case "Brightness":
                return F.adjust_brightness(pixels, magnitude)
            case "Contrast":
                return F.adjust_contrast(pixels, magnitude)
            case "Saturation":
                return F.adjust_saturation(pixels, magnitude)
            case "Sharpness":
                return F.adjust_sharpness(pixels, magnitude)
            case "Hue":
                return F.adjust_hue(pixels, magnitude)
            case "Posterize":
                return F.posterize(pixels, int(magnitude))
            case "Solarize":
                return F.solarize(pixels, magnitude)
            case "AutoContrast":
                return F.autocontrast(pixels)
            case "Equalize":
                return F.equalize(pixels)
        # The maps are tested as the policies call them.
        return policy._apply_image_or_video_transform(pixels, name, magnitude, InterpolationMode.NEAREST, policy._fill)

    operated = [
        entry(array(operate(tensor(size), name, magnitude)), name=name, magnitude=magnitude, width=size[0], height=size[1])
        for name, magnitude, size in operations()
    ]
    filters = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
    resized = []
    for source, crop, size, name in resizes():
        left, top, width, height = crop
        pixels = F.resized_crop(tensor(source), top, left, height, width, [size[1], size[0]], filters[name], antialias=True)
        resized.append(entry(array(pixels), source=source, crop=crop, size=size, filter=name))
    middles = []
    for source, shorter, size in (((33, 25), 16, (16, 16)), ((25, 34), 20, (13, 20)), ((50, 37), 25, (22, 22))):
        pixels = F.resize(tensor(source), [shorter], InterpolationMode.BILINEAR, antialias=True)
        pixels = F.center_crop(pixels, [size[1], size[0]])
        middles.append(entry(array(pixels), source=source, shorter=shorter, size=size))
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    return {"versions": versions, "operations": operated, "resizes": resized, "middles": middles}


def pillow_cases():
    import PIL
    from PIL import Image, ImageOps, features

    whole = lambda size: Image.fromarray(image(*size))
    # Those that Pillow means the same by.
    shared = {
        "Equalize": lambda pixels, _: ImageOps.equalize(pixels),
        "Posterize": lambda pixels, bits: ImageOps.posterize(pixels, int(bits)),
        "Solarize": lambda pixels, threshold: ImageOps.solarize(pixels, threshold),
        "TranslateX": lambda pixels, right: pixels.transform(pixels.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, 0)),
        "TranslateY": lambda pixels, down: pixels.transform(pixels.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, -down)),
    }
    operated = [
        entry(np.asarray(shared[name](whole(size), magnitude)), name=name, magnitude=magnitude, width=size[0], height=size[1])
        for name, magnitude, size in operations()
        if name in shared
    ]
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = []
    for source, crop, size, name in resizes():
        left, top, width, height = crop
        part = whole(source).crop((left, top, left + width, top + height))
        resized.append(entry(np.asarray(part.resize(size, filters[name])), source=source, crop=crop, size=size, filter=name))
    versions = f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"
    return {"versions": versions, "operations": operated, "resizes": resized, "planes": list(jpeg_cases(Image))}


def jpeg_cases(Image):
    """Planes of JPEG images and what libjpeg-turbo makes of them.

    Nobody hands out the planes before they are scaled up. So the differences are constant in each of their blocks of 8 x 8:
    then every block's value is found in its middle, where nothing is interpolated.
    """
    random = np.random.default_rng(7)
    for name, number, across, down in (("S444", 0, 1, 1), ("S422", 1, 2, 1), ("S420", 2, 2, 2)):
        for width, height in ((37, 35), (4, 9), (6, 16)):
            blocks = lambda samples, times: samples.repeat(8 * times[1], 0).repeat(8 * times[0], 1)[:height, :width]
            counts = -(-height // (8 * down)), -(-width // (8 * across))
            luma = random.integers(0, 256, (height, width), np.uint8)
            differences = [random.integers(60, 196, counts, np.uint8) for _ in range(2)]
            planes = [luma] + [blocks(samples, (across, down)) for samples in differences]
            file = io.BytesIO()
            stored = Image.merge("YCbCr", [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes])
            stored.save(file, "JPEG", quality=100, subsampling=number)
            decoded = Image.open(io.BytesIO(file.getvalue()))
            decoded.draft("YCbCr", decoded.size)
            scaled = np.asarray(decoded)
            assert decoded.mode == "YCbCr"
            rows, columns = -(-height // down), -(-width // across)
            small = []
            for channel in (1, 2):
                # Any pixel of a block that is not at its border.
                found = np.zeros((rows, columns), np.uint8)
                for row in range(rows):
                    for column in range(columns):
                        y = min(row // 8 * 8 * down + 3 * down, height - 1)
                        x = min(column // 8 * 8 * across + 3 * across, width - 1)
                        found[row, column] = scaled[y, x, channel]
                small.append(found.tobytes().hex())
            rgb = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
            luma = np.ascontiguousarray(scaled[:, :, 0]).tobytes().hex()
            yield entry(rgb, subsampling=name, width=width, height=height, luma=luma, differences=small)


if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) == 2 else ""
    makers = {"torchvision": torchvision_cases, "pillow": pillow_cases}
    if which not in makers:
        sys.exit(__doc__)
    path = HERE / f"{which}.json"
    path.write_text(json.dumps(makers[which](), separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")
