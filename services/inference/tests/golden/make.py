#!/usr/bin/env python3
"""Make the golden tensors: what Pillow, with which models are trained, makes of a few pictures.

    pip install pillow==11.3.0 numpy
    make.py             write the .f32 files (little-endian, C order) and samples beside this file

Pillow 13 takes the columns of tall pictures first, which moves a few pixels on hard edges by up to
7 of 255; every version before it, and so everything that was trained until then, takes rows first.

The pictures themselves are a formula that the Rust test repeats, so only the results are kept.
Each case does what the reference code of its model family does, in that code's own order.
"""

import pathlib

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
SIDE = 24


def picture(width, height):
    """Hard edges, slopes and noise; the same integers as in the Rust test."""
    pixels = numpy.zeros((height, width, 3), dtype=numpy.uint8)
    state = 12345
    for y in range(height):
        for x in range(width):
            state = (state * 1103515245 + 12345) % (1 << 31)
            noise = (state >> 16) % 64
            check = 150 if (x // 7 + y // 5) % 2 else 0
            pixels[y, x] = (check + noise, (x * 255 // width + noise) % 256, 255 - (y * 190 // height + noise))
    return Image.fromarray(pixels)


def on_square(image, color):
    side = max(image.size)
    square = Image.new("RGB", (side, side), color)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def wd(image):
    """White square, bicubic, BGR, 0–255, NHWC."""
    image = on_square(image, (255, 255, 255)).resize((SIDE, SIDE), Image.BICUBIC)
    return numpy.asarray(image, dtype=numpy.float32)[:, :, ::-1]


def camie(image):
    """Lanczos to fit inside, padded, ImageNet mean and std, NCHW."""
    width, height = image.size
    if width >= height:
        size = (SIDE, int(SIDE * height / width))
    else:
        size = (int(SIDE * width / height), SIDE)
    square = Image.new("RGB", (SIDE, SIDE), (124, 116, 104))
    square.paste(image.resize(size, Image.LANCZOS), ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return normalised(square, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def siglip(image):
    """Squashed, bilinear, 0.5/0.5, NCHW."""
    return normalised(image.resize((SIDE, SIDE), Image.BILINEAR), (0.5,) * 3, (0.5,) * 3)


def clip(image):
    """Shortest side to 30 with bicubic, middle 24, CLIP mean and std, NCHW."""
    width, height = image.size
    short = 30
    size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    image = image.resize(size, Image.BICUBIC)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    image = image.crop((left, top, left + SIDE, top + SIDE))
    return normalised(image, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def palette(image):
    """Squashed, averaged, 0–1, NCHW."""
    return normalised(image.resize((SIDE, SIDE), Image.BOX), (0.0,) * 3, (1.0,) * 3)


def normalised(image, mean, std):
    pixels = numpy.asarray(image, dtype=numpy.float32) / numpy.float32(255)
    pixels = (pixels - numpy.array(mean, numpy.float32)) / numpy.array(std, numpy.float32)
    return pixels.transpose(2, 0, 1)


def sample():
    """A smooth picture, which JPEG keeps nearly as it is: red grows to the right, blue downwards."""
    across, down = numpy.meshgrid(numpy.arange(96) * 2, numpy.arange(64) * 3)
    return Image.fromarray(numpy.stack([across, across * 0 + 80, down], axis=2).astype(numpy.uint8))


def main():
    sample().save(HERE / "sample.jpg", quality=90)
    sample().convert("L").save(HERE / "grey.jpg", quality=90)
    sample().save(HERE / "progressive.jpg", quality=90, progressive=True)
    for recipe in (wd, camie, siglip, clip, palette):
        # BOX takes a pixel or leaves it; these sizes have none whose middle lies on the border.
        even = recipe is palette
        for name, size in (("wide", (104, 64) if even else (97, 61)), ("tall", (56, 128) if even else (53, 130))):
            tensor = numpy.ascontiguousarray(recipe(picture(*size)), dtype="<f4")
            (HERE / f"{recipe.__name__}-{name}.f32").write_bytes(tensor.tobytes())


if __name__ == "__main__":
    main()
