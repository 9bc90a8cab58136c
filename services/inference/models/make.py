#!/usr/bin/env python3
"""Make the built-in models: real graphs of a few kilobytes that need no training.

    pip install -r requirements.txt
    make.py             write the models beside this file
    make.py --check     fail if the files in place are not what would be written

The layout embedder is in layout.py. The palette tagger computes colour and tone tags from the pixels. Each tag is a *margin*: how far a
measured quantity lies beyond its threshold, in units of a "clear case"; the confidence is
sigmoid(MARGIN_GAIN × margin). So 0.5 is the threshold, 0.95 a clear case, and several conditions
are joined by the smallest margin (and) or the largest (or).
"""

import argparse
import hashlib
import pathlib
import sys

from graph import Graph, Value, all_of, any_of, concat
from layout import layout_embedder

HERE = pathlib.Path(__file__).resolve().parent
SIDE = 64
# The coarse grid for gradients has so many cells on each side.
CELLS = 16
EPSILON = 1e-6
MARGIN_GAIN = 3.0

# Hue in degrees at which one colour name gives way to the next, around the circle.
HUES = [("red", 345.0, 15.0), ("orange", 15.0, 44.0), ("yellow", 44.0, 68.0), ("green", 68.0, 160.0),
        ("aqua", 160.0, 198.0), ("blue", 198.0, 252.0), ("purple", 252.0, 294.0),
        ("pink", 294.0, 345.0)]  # fmt: skip
COLORS = ["red", "orange", "yellow", "green", "aqua", "blue", "purple", "pink", "brown"]
SOFT = 6.0


class Pixels:
    """What is known of each pixel: [N,1,H,W] or one channel for each colour name."""

    def __init__(self, rgb):
        red, green, blue = (rgb.channel(i) for i in range(3))
        self.rgb = rgb
        self.top = rgb.max_channels()
        self.low = rgb.min_channels()
        self.chroma = self.top - self.low
        self.luma = red * 0.299 + green * 0.587 + blue * 0.114
        self.colored = self.chroma.ramp(0.07, 0.17)
        self.hue = self._hue(red, green, blue)
        # Hue as a point on a circle, weighted by chroma: these can be averaged.
        self.across = red - (green + blue) * 0.5
        self.up = (green - blue) * 0.8660254
        self.names = self._names()

    def _hue(self, red, green, blue):
        chroma = self.chroma + EPSILON
        from_red = (green - blue) / chroma
        from_red = (from_red + 6.0).where(from_red, (0.0 - from_red).at_least(EPSILON))
        from_green = (blue - red) / chroma + 2.0
        from_blue = (red - green) / chroma + 4.0
        rest = from_green.where(from_blue, green.at_least(blue))
        largest_red = red.at_least(self.top)
        return from_red.where(rest, largest_red) * 60.0

    def _names(self):
        """Membership in each colour name; they add up to `colored`, or less for pale skin."""
        beyond = {edge: self.hue.ramp(edge - SOFT, edge + SOFT) for _, _, edge in HUES}
        named = {}
        for name, start, end in HUES:
            if start > end:
                named[name] = 1.0 - beyond[end] + beyond[start]
            else:
                named[name] = beyond[start] - beyond[end]
        pale = self.low.ramp(0.40, 0.55)
        dim = self.top.ramp(0.72, 0.58)
        # Light red is pink; orange is brown when dim, and skin (no colour name) when pale.
        named["pink"] = named["pink"] + named["red"] * pale
        named["red"] = named["red"] * (1.0 - pale)
        named["brown"] = named["orange"] * dim
        named["orange"] = named["orange"] * (1.0 - dim) * (1.0 - pale)
        return concat([named[name] for name in COLORS]) * self.colored


class Ring:
    """The left, right and upper edge: background, if there is any. The lower edge is left out,
    where figures are usually cut off."""

    WIDTH = 4

    def __init__(self, pixels, plain):
        self.parts = [(0, 0, self.WIDTH, SIDE), (self.WIDTH, 0, 48, self.WIDTH), (self.WIDTH, SIDE - self.WIDTH, 48, SIDE)]  # fmt: skip
        self.names = self.share(pixels.names * plain)
        grey = 1.0 - pixels.colored
        self.white = self.share(pixels.low.ramp(0.82, 0.92) * plain)
        self.black = self.share(pixels.top.ramp(0.16, 0.08) * plain)
        grey = grey * pixels.luma.ramp(0.10, 0.20) * pixels.luma.ramp(0.92, 0.82)
        self.grey = self.share(grey * plain)

    def share(self, value):
        """Mean over the ring."""
        total = None
        weight = 0
        for top, left, bottom, right in self.parts:
            size = (bottom - top) * (right - left)
            part = value.area(top, left, bottom, right).mean() * float(size)
            total = part if total is None else total + part
            weight += size
        return total * (1.0 / weight)


def beyond(value, threshold, clear):
    """The margin of `value` over `threshold`: 1 at `clear` (which may lie below)."""
    return (value - threshold) * (1.0 / (clear - threshold))


def palette(graph, rgb):
    """All tags with their margins, in the order of the outputs."""
    pixels = Pixels(rgb)
    tags = {}

    # Over the whole picture, [N,1] each ([N,9] for colour names).
    colored = pixels.colored.mean()
    chroma = pixels.chroma.mean()
    names = pixels.names.mean()
    named = names.sum_channels() + EPSILON
    shares = names / named
    largest_share = shares.max_channels()
    # How many colour names share the picture evenly; 1 if one has it all.
    hues = 1.0 / ((shares * shares).sum_channels() + EPSILON)
    has_names = beyond(names.sum_channels(), 0.20, 0.35)
    luma = pixels.luma.mean()
    spread = ((pixels.luma * pixels.luma).mean() - luma * luma).clip(0.0, 1.0).sqrt()
    dark = pixels.luma.ramp(0.30, 0.18).mean()
    bright = pixels.luma.ramp(0.70, 0.85).mean()
    chroma_of_colored = (pixels.chroma * pixels.colored).mean() / (colored + EPSILON)

    # How much the hues of the picture agree: 1 if all are one, 0 if they cancel out.
    across, up = pixels.across.mean(), pixels.up.mean()
    weight = (pixels.across * pixels.across + pixels.up * pixels.up + EPSILON * EPSILON).sqrt().mean()
    agreement = (across * across + up * up).sqrt() / (weight + EPSILON)
    # Degrees are not averaged; 30° (orange) has across = 0.866, up = 0.5.
    sepia_hue = (across * 0.84339 + up * 0.53730) / (weight + EPSILON)

    # Fine structure: how far a pixel is from the average around it, by luma and colour.
    detail = (rgb - rgb.blur(3)).abs().max_channels()
    smooth = detail.ramp(0.05, 0.02)
    # The same over a wider window: a plain ground, where a gradient or a soft blur is only smooth.
    plain = (rgb - rgb.blur(9)).abs().max_channels().ramp(0.04, 0.02)
    ring = Ring(pixels, plain)
    smooth_ring = beyond(ring.share(smooth), 0.75, 0.95)

    grey = all_of(beyond(chroma, 0.030, 0.015), beyond(colored, 0.03, 0.01))
    one_hue = all_of(beyond(agreement, 0.94, 0.985), beyond(colored, 0.10, 0.30))
    sepia = all_of(
        beyond(agreement, 0.94, 0.985),
        beyond(sepia_hue, 0.92, 0.96),
        beyond(colored, 0.35, 0.60),
        beyond(chroma, 0.42, 0.34),
        beyond(spread, 0.05, 0.12),
    )
    tags["monochrome"] = any_of(grey, one_hue, sepia)
    tags["greyscale"] = grey
    tags["sepia"] = sepia
    tags["spot_color"] = all_of(
        beyond(colored, 0.005, 0.02),
        beyond(colored, 0.30, 0.20),
        beyond(chroma_of_colored, 0.30, 0.45),
        beyond(largest_share, 0.70, 0.90),
        beyond((1.0 - pixels.colored).mean(), 0.65, 0.78),
    )
    tags["limited_palette"] = all_of(
        beyond(hues, 1.25, 1.6),
        beyond(hues, 2.8, 2.3),
        has_names,
        beyond(agreement, 0.97, 0.90),
    )
    tags["colorful"] = all_of(
        beyond(hues, 3.6, 4.8), has_names, beyond(colored, 0.40, 0.60), beyond(chroma, 0.20, 0.32)
    )
    tags["muted_color"] = all_of(
        beyond(chroma, 0.05, 0.08),
        beyond(chroma_of_colored, 0.27, 0.20),
        beyond(luma, 0.78, 0.68),
        beyond(colored, 0.20, 0.40),
    )
    tags["pale_color"] = all_of(
        beyond(luma, 0.72, 0.80), beyond(chroma, 0.03, 0.07), beyond(chroma_of_colored, 0.36, 0.28)
    )
    # Pure blue has next to no luma and yet is not dark, hence the brightest channel too.
    tags["dark"] = all_of(
        beyond(luma, 0.26, 0.16), beyond(pixels.top.mean(), 0.55, 0.42), beyond(bright, 0.12, 0.04)
    )
    tags["high_contrast"] = all_of(
        beyond(spread, 0.29, 0.38), beyond(dark, 0.15, 0.25), beyond(bright, 0.15, 0.25)
    )

    for index, color in enumerate(COLORS):
        share, area = shares.channel(index), names.channel(index)
        tags[f"{color}_theme"] = all_of(beyond(share, 0.70, 0.88), beyond(area, 0.30, 0.50))

    change = gradient_margins(rgb, detail)
    tags["gradient"] = change["picture"]
    white = beyond(ring.white, 0.62, 0.80)
    black = beyond(ring.black, 0.62, 0.80)
    grey_ring = beyond(ring.grey, 0.62, 0.80)
    colors = {c: beyond(ring.names.channel(i), 0.62, 0.80) for i, c in enumerate(COLORS)}
    tags["simple_background"] = any_of(
        white, black, grey_ring, *colors.values(), all_of(change["ring"], smooth_ring)
    )
    tags["gradient_background"] = all_of(change["ring"], smooth_ring)
    tags["white_background"] = white
    tags["black_background"] = black
    tags["grey_background"] = grey_ring
    for color, margin in colors.items():
        tags[f"{color}_background"] = margin
    return tags


def gradient_margins(rgb, detail):
    """Steady change in a straight line: neighbouring cells of a coarse grid differ a little,
    everywhere, and in the same direction."""
    cells = rgb.pool(SIDE // CELLS)
    last = CELLS - 1
    here = cells.area(0, 0, last, last)
    down = cells.area(1, 0, CELLS, last) - here
    across = cells.area(0, 1, last, CELLS) - here
    far_down, far_across = down.abs().max_channels(), across.abs().max_channels()
    step = (far_down * far_down + far_across * far_across).sqrt()
    steady = step.ramp(0.008, 0.016) * step.ramp(0.22, 0.15)

    def agreement(mean):
        """1 if all steps point the same way, 0 if they cancel out."""
        one_way = mean(down).abs().sum_channels() + mean(across).abs().sum_channels()
        any_way = mean(down.abs()).sum_channels() + mean(across.abs()).sum_channels()
        return one_way / (any_way + EPSILON)

    def ring(value):
        windows = [(0, 0, 1, last), (1, 0, 12, 1), (1, last - 1, 12, last)]
        upper, left, right = (value.area(*window).mean() for window in windows)
        return (upper * 15.0 + left * 11.0 + right * 11.0) * (1.0 / 37.0)

    average = rgb.mean()
    variance = (rgb * rgb).mean() - average * average
    wide = beyond(variance.max_channels().clip(0.0, 1.0).sqrt(), 0.07, 0.12)
    return {
        "picture": all_of(
            wide,
            beyond(steady.mean(), 0.60, 0.80),
            beyond(agreement(Value.mean), 0.55, 0.75),
            beyond(detail.mean(), 0.022, 0.014),
        ),
        "ring": all_of(wide, beyond(ring(steady), 0.60, 0.80), beyond(agreement(ring), 0.55, 0.75)),
    }


def palette_tagger():
    graph = Graph("palette-tagger")
    rgb = graph.raw("Identity", ["pixels"])
    tags = palette(graph, rgb)
    margins = concat(list(tags.values()))
    graph.raw("Sigmoid", [(margins * MARGIN_GAIN).name])
    graph.nodes[-1].output[0] = "confidences"
    model = graph.model(
        [("pixels", ["N", 3, SIDE, SIDE])], [("confidences", ["N", len(tags)])]
    )
    labels = "name,category\n" + "".join(f"{tag},general\n" for tag in tags)
    return {"model.onnx": model.SerializeToString(deterministic=True), "labels.csv": labels.encode()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    wrong = 0
    models = {"palette-tagger": palette_tagger(), "layout-embedder": layout_embedder()}
    for folder, files in models.items():
        for name, data in files.items():
            path = HERE / folder / name
            if not arguments.check:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            same = path.is_file() and path.read_bytes() == data
            wrong += not same
            print(f"{folder}/{name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}{'' if same else ' DIFFERS'}")
    if wrong:
        print("make.py: the files in place are not what this script writes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
