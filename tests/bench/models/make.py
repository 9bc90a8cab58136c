#!/usr/bin/env python3
"""Make models of real shape with random weights, to measure with; nothing of them is committed.

    pip install -r requirements.txt
    make.py FOLDER            vit-b-448 and siglip-b-384
    make.py FOLDER --small    the same graphs with two thin layers, only to see that all works

vit-b-448: a ViT-B/16 tagger, 448×448 in NHWC, 10,861 outputs. siglip-b-384: an image tower like
SigLIP-B/16's, 384×384 in NCHW, a vector of 768. Weights are drawn so that activations keep their
size from layer to layer and outputs depend on the picture. IR version 8, opset 17.
"""

import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PATCH = 16
LABELS = 10_861


class Graph:
    """Nodes and weights, each under a name of its own."""

    def __init__(self, seed):
        self.dice = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def add(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values):
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def random(self, *shape, scale):
        return self.constant((self.dice.standard_normal(shape) * scale).astype(np.float32))

    def zeros(self, *shape):
        return self.constant(np.zeros(shape, np.float32))

    def linear(self, x, inside, outside):
        product = self.add("MatMul", x, self.random(inside, outside, scale=inside**-0.5))
        return self.add("Add", product, self.zeros(outside))

    def norm(self, x, width):
        ones = self.constant(np.ones(width, np.float32))
        return self.add("LayerNormalization", x, ones, self.zeros(width), axis=-1, epsilon=1e-6)

    def gelu(self, x):
        half = self.add("Mul", x, self.constant(np.float32(0.5)))
        error = self.add("Erf", self.add("Mul", x, self.constant(np.float32(2**-0.5))))
        return self.add("Mul", half, self.add("Add", error, self.constant(np.float32(1))))

    def shaped(self, x, *shape):
        return self.add("Reshape", x, self.constant(np.array(shape, np.int64)))


def attention(graph, x, tokens, width, heads):
    size = width // heads
    parts = []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        split = graph.shaped(graph.linear(x, width, width), 0, tokens, heads, size)
        parts.append(graph.add("Transpose", split, perm=order))
    query = graph.add("Mul", parts[0], graph.constant(np.float32(size**-0.5)))
    weights = graph.add("Softmax", graph.add("MatMul", query, parts[1]), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", weights, parts[2]), perm=[0, 2, 1, 3])
    return graph.linear(graph.shaped(mixed, 0, tokens, width), width, width)


def tower(graph, pixels, side, layers, width):
    """Pixels in NCHW to the mean of the tokens, [N, width]."""
    tokens = (side // PATCH) ** 2
    kernel = graph.random(width, 3, PATCH, PATCH, scale=(3 * PATCH * PATCH) ** -0.5)
    patches = graph.add("Conv", pixels, kernel, kernel_shape=[PATCH] * 2, strides=[PATCH] * 2)
    x = graph.add("Transpose", graph.shaped(patches, 0, width, tokens), perm=[0, 2, 1])
    x = graph.add("Add", x, graph.random(1, tokens, width, scale=0.02))
    for _ in range(layers):
        x = graph.add("Add", x, attention(graph, graph.norm(x, width), tokens, width, width // 64))
        hidden = graph.gelu(graph.linear(graph.norm(x, width), width, 4 * width))
        x = graph.add("Add", x, graph.linear(hidden, 4 * width, width))
    mean = graph.add("ReduceMean", graph.norm(x, width), axes=[1], keepdims=0)
    # A mean over many tokens is small; this brings its values back to about 1.
    return graph.norm(mean, width)


def save(folder, graph, layout, side, output, outputs, toml):
    folder.mkdir(parents=True, exist_ok=True)
    shape = ["N", side, side, 3] if layout == "nhwc" else ["N", 3, side, side]
    graph.nodes[-1].output[0] = output
    value = helper.make_tensor_value_info
    body = helper.make_graph(graph.nodes, folder.name, [value("pixels", TensorProto.FLOAT, shape)],
                             [value(output, TensorProto.FLOAT, ["N", outputs])], graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.toml").write_text(toml)


def vit(folder, layers, width):
    side, graph = 448, Graph(1)
    # Bytes in BGR to about −1 to 1, as the published taggers' graphs do it inside.
    scaled = graph.add("Mul", "pixels", graph.constant(np.float32(1 / 127.5)))
    scaled = graph.add("Sub", scaled, graph.constant(np.float32(1)))
    pixels = graph.add("Transpose", scaled, perm=[0, 3, 1, 2])
    logits = graph.linear(tower(graph, pixels, side, layers, width), width, LABELS)
    graph.add("Sigmoid", graph.add("Sub", logits, graph.constant(np.float32(2.5))))
    save(folder, graph, "nhwc", side, "confidences", LABELS, f'''format = 1
name = "{folder.name}"
kind = "tag"

[input]
layout = "nhwc"
width = {side}
height = {side}
channels = "bgr"
range = "byte"
fit = "pad"
filter = "bicubic"

[labels]
file = "labels.csv"
format = "csv"

[batch]
max = 32
''')
    lines = ["name,category", *(f"label_{number},general" for number in range(LABELS))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def siglip(folder, layers, width):
    side, graph = 384, Graph(2)
    graph.linear(tower(graph, "pixels", side, layers, width), width, width)
    save(folder, graph, "nchw", side, "vector", width, f'''format = 1
name = "{folder.name}"
kind = "embed"

[input]
layout = "nchw"
width = {side}
height = {side}
channels = "rgb"
range = "unit"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
fit = "squash"
filter = "bicubic"

[output]
activation = "l2"
dimensions = {width}

[batch]
max = 32
''')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--small", action="store_true")
    flags = parser.parse_args()
    layers, width = (2, 128) if flags.small else (12, 768)
    vit(flags.folder / "vit-b-448", layers, width)
    siglip(flags.folder / "siglip-b-384", layers, width)


if __name__ == "__main__":
    main()
