#!/usr/bin/env python3
"""Make the models that the tests load: a few hundred bytes each, one for each shape in which real
models are published, and one for each way of being broken.

    pip install -r ../../models/requirements.txt
    make.py             write the folders beside this file
    make.py --check     fail if what is in place differs

Outputs depend on the picture in a way that a test can compute: LABELS weighted sums of the mean of
each channel, with the tensor's own channel order and scale.
"""

import argparse
import pathlib
import sys

import numpy
from onnx import TensorProto, checker, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
LABELS = ["general", "sensitive", "questionable", "explicit", "1girl", "sky", "hatsune_miku"]
# Row = channel of the tensor, column = label.
WEIGHTS = numpy.array(
    [
        [0.0, 1.0, -1.0, 0.5, 2.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.5, 0.0, 2.0, 0.0],
        [1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 2.0],
    ],
    dtype=numpy.float32,
)


def model(shape, *, nhwc, scale, sigmoid, batch="N", poison=False, second=False, extra_input=False, mirrored=False):
    """A graph: mean over the picture → weights → maybe sigmoid."""
    weights = numpy.concatenate([WEIGHTS, -WEIGHTS], axis=1) if mirrored else WEIGHTS
    width = weights.shape[1]
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(numpy.array([1, 2] if nhwc else [2, 3], numpy.int64), "axes"),
        numpy_helper.from_array(numpy.array(scale, numpy.float32), "scale"),
        numpy_helper.from_array(weights, "weights"),
    ]
    last = "logits"
    if poison:
        # log of a negative number: NaN for every picture.
        constants.append(numpy_helper.from_array(numpy.array(-1.0, numpy.float32), "negative"))
        nodes += [
            helper.make_node("Abs", [last], ["size"]),
            helper.make_node("Sub", ["negative", "size"], ["below"]),
            helper.make_node("Log", ["below"], ["nan"]),
        ]
        last = "nan"
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", [last], ["confidences"]))
        last = "confidences"
    info = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    outputs = [info(last, [batch, width])]
    if second:
        nodes.append(helper.make_node("Neg", [last], ["initial"]))
        outputs.insert(0, info("initial", [batch, len(LABELS)]))
    inputs = [info("input", [batch, *shape])]
    if extra_input:
        inputs.append(info("mask", [batch, len(LABELS)]))
        nodes.append(helper.make_node("Mul", [last, "mask"], ["masked"]))
        outputs = [info("masked", [batch, len(LABELS)])]
    graph = helper.make_graph(nodes, "fixture", inputs, outputs, initializer=constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="kumobooru")
    made.ir_version = 8
    checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def selected_tags():
    rows = ["tag_id,name,category,count"]
    for index, label in enumerate(LABELS):
        number = 9 if index < 4 else 4 if label == "hatsune_miku" else 0
        rows.append(f"{index},{label},{number},{1000 - index}")
    return ("\n".join(rows) + "\n").encode()


def spec(name, *, layout, side, more_input, output="", kind="tag"):
    labels = '\n[labels]\nfile = "selected_tags.csv"\nformat = "selected_tags"\n' if kind == "tag" else ""
    return f"""format = 1
name = "{name}"
kind = "{kind}"

[input]
layout = "{layout}"
width = {side}
height = {side}
{more_input}
{output}{labels}
[thresholds]
general = 0.35
character = 0.85

[batch]
max = 8
""".encode()


WD = 'channels = "bgr"\nrange = "byte"\nfit = "pad"\nfilter = "bicubic"'
CLIP = 'range = "unit"\nmean = [0.48145466, 0.4578275, 0.40821073]\nstd = [0.26862954, 0.26130258, 0.27577711]\nfit = "crop"\ncrop_from = 40\nfilter = "bicubic"'
VECTOR = '[output]\nactivation = "l2"\ndimensions = 14\n'
PLAIN = 'range = "unit"\nfit = "squash"\nfilter = "bilinear"'


def folders():
    """Folder → files."""
    wd = model([448, 448, 3], nhwc=True, scale=1 / 255, sigmoid=True)
    nchw = dict(nhwc=False, scale=1.0)
    small = [3, 32, 32]
    sigmoid = '[output]\nactivation = "sigmoid"\n'
    refined = '[output]\nindex = 1\nactivation = "sigmoid"\n'
    tags = {"selected_tags.csv": selected_tags()}
    make = {
        "wd-like": (wd, spec("wd-like", layout="nhwc", side=448, more_input=WD)),
        "clip-like": (
            # A vector has at least 8 numbers, so it has each label's twice.
            model(small, sigmoid=False, mirrored=True, **nchw),
            spec("clip-like", layout="nchw", side=32, more_input=CLIP, output=VECTOR, kind="embed"),
        ),
        "logits": (model(small, sigmoid=False, **nchw), spec("logits", layout="nchw", side=32, more_input=PLAIN, output=sigmoid)),
        "fixed-batch": (
            model(small, sigmoid=True, batch=3, **nchw),
            spec("fixed-batch", layout="nchw", side=32, more_input=PLAIN),
        ),
        "two-outputs": (
            model(small, sigmoid=False, second=True, **nchw),
            spec("two-outputs", layout="nchw", side=32, more_input=PLAIN, output=refined),
        ),
        "two-inputs": (
            model(small, sigmoid=True, extra_input=True, **nchw),
            spec("two-inputs", layout="nchw", side=32, more_input=PLAIN),
        ),
        "nan": (
            model(small, sigmoid=False, poison=True, **nchw),
            spec("nan", layout="nchw", side=32, more_input=PLAIN),
        ),
    }
    for name, (onnx, toml) in make.items():
        files = {"model.onnx": onnx, "model.toml": toml}
        yield name, files if b'kind = "embed"' in toml else files | tags


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wrong = []
    for folder, files in folders():
        for name, data in files.items():
            path = HERE / folder / name
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            if not path.is_file() or path.read_bytes() != data:
                wrong.append(f"{folder}/{name}")
    for name in wrong:
        print(f"make.py: {name} is not what this script writes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
