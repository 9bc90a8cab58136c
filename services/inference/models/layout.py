"""The layout embedder: where which colours lie, and where edges run in which direction.

A vector has four parts. Each but the last is brought to its own length first, so that contrast and
saturation do not decide which part counts; what is fainter than the part's FAINT counts for less,
so that noise on a plain ground is not blown up to a picture.

  light   low frequencies of the luma (a cosine transform), without the average
  colour  low frequencies of two opponent channels: red against green, yellow against blue
  edges   on a grid of 8 × 8 cells: which way the edges run, as the mean of edge strength times
          (cos 2θ, sin 2θ), which is the first harmonic of a histogram of directions, and how much
          edge there is against the other cells
  tone    the average colour, and a constant: what is left to compare plain pictures by

Frequencies are multiplied by their distance from 0. Pictures have less in the high than in the low
(about 1/f), so this makes all of them count alike: without it, two pictures with a bright sky are
near twins, and with it unrelated pictures are near a right angle to each other, because every
number is as often positive as negative.
"""

import numpy

from graph import Graph, concat

SIDE = 64
CELLS = 8
# Cosine transform: so many frequencies in each direction, of which the lowest are kept.
FREQUENCIES = 12
LIGHT = 124
COLOUR = 32
# Weights of the parts; squared, their share in a cosine.
WEIGHTS = {"light": 1.0, "colour": 0.6, "edges": 0.7, "tone": 0.4, "constant": 0.05}
FAINT = {"light": 0.05, "colour": 0.05, "edges": 0.1}
# An edge counts half from this slope on, in luma (0 to 1) for each pixel.
SLOPE = 0.1
EPSILON = 1e-6

# Rows: luma; red against green; yellow against blue.
OPPONENT = [[0.299, 0.587, 0.114], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]]
# Slopes across and down, smoothed along the edge (Sobel).
SLOPES = [[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]]

DIMENSIONS = LIGHT + 2 * COLOUR + 3 * CELLS * CELLS + 3 + 1


def cosines():
    """The first rows of the cosine transform, scaled so that a transform is a mean."""
    k, x = numpy.mgrid[0:FREQUENCIES, 0:SIDE]
    rows = numpy.cos(numpy.pi * (x + 0.5) * k / SIDE) * numpy.sqrt(2.0)
    rows[0] = 1.0
    return rows / SIDE


def lowest(count):
    """The lowest frequencies but 0: their places in the flattened transform, and their distances
    from 0."""
    down, across = numpy.mgrid[0:FREQUENCIES, 0:FREQUENCIES]
    squares = (down * down + across * across).ravel()
    places = numpy.argsort(squares, kind="stable")[1 : count + 1]
    return places, numpy.sqrt(squares[places])


def scaled(value, part):
    """[N,n] at the part's weight in length, and shorter where it is faint."""
    length = (value.sum_squares() + FAINT[part] ** 2).sqrt()
    return value / length * WEIGHTS[part]


def frequencies(opponent):
    """Light and colour of the three opponent channels."""
    graph = opponent.graph
    rows = cosines()
    transform = graph.node("MatMul", graph.node("MatMul", rows, opponent), rows.T)

    def chosen(channel, count):
        places, distance = lowest(count)
        return transform.channel(channel).flatten().gather(places) * distance

    colour = concat([chosen(1, COLOUR), chosen(2, COLOUR)])
    return scaled(chosen(0, LIGHT), "light"), scaled(colour, "colour")


def edges(luma):
    """How strong the edges are, and which way they run, by cells."""
    graph = luma.graph
    # The border is continued, or every picture would have a frame of edges.
    slopes = luma.pad_edge(1).convolve(numpy.array(SLOPES)[:, None] / 8.0)
    across, down = slopes.channel(0), slopes.channel(1)
    squares = across * across + down * down + EPSILON
    slope = squares.sqrt()
    # Strong edges count alike, so that one hard line does not outweigh all the rest.
    strength = slope / (slope + SLOPE)
    share = strength / squares
    double_cosine = (across * across - down * down) * share
    double_sine = across * down * 2.0 * share
    cells = concat([double_cosine, double_sine, strength]).pool(SIDE // CELLS)
    amount = cells.channel(2).flatten()
    directions = [cells.channel(number).flatten() for number in (0, 1)]
    return scaled(concat([*directions, amount - amount.mean_row()]), "edges")


def layout_embedder():
    """Files of the model folder that this script writes."""
    graph = Graph("layout-embedder")
    pixels = graph.raw("Identity", ["pixels"])
    opponent = pixels.convolve(numpy.array(OPPONENT)[:, :, None, None])
    light, colour = frequencies(opponent)
    # Luma around mid grey; the opponent channels are around 0 as they are.
    tone = (opponent.mean() - [0.5, 0.0, 0.0]) * WEIGHTS["tone"]
    constant = tone.mean_row() * 0.0 + WEIGHTS["constant"]
    concat([light, colour, edges(opponent.channel(0)), tone, constant])
    graph.nodes[-1].output[0] = "vector"
    model = graph.model(
        [("pixels", ["N", 3, SIDE, SIDE])], [("vector", ["N", DIMENSIONS])]
    )
    return {"model.onnx": model.SerializeToString(deterministic=True)}
