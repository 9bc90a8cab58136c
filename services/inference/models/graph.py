"""A little language over ONNX: expressions on values that write the graph's nodes.

Only what make.py needs. Names are numbered in the order of writing and nothing depends on time,
machine or hash order, so the same program writes the same bytes.
"""

import numpy
from onnx import TensorProto, checker, helper, numpy_helper

# The newest that every supported ONNX Runtime (1.24 and later) reads.
IR_VERSION = 10
OPSET = 21


class Graph:
    """Collects nodes and constants."""

    def __init__(self, name):
        self.name = name
        self.nodes = []
        self.constants = {}

    def constant(self, value, dtype=numpy.float32):
        array = numpy.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def node(self, operator, *inputs, **attributes):
        names = [i.name if isinstance(i, Value) else self.constant(i) for i in inputs]
        return self.raw(operator, names, **attributes)

    def raw(self, operator, names, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return Value(self, output)

    def model(self, inputs, outputs):
        """The finished model; inputs and outputs are (name, shape), outputs exist as nodes."""
        info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [info(*each) for each in inputs],
            [info(*each) for each in outputs],
            initializer=list(self.constants.values()),
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="kumobooru"
        )
        model.ir_version = IR_VERSION
        checker.check_model(model, full_check=True)
        return model


class Value:
    """A tensor of the graph; the usual operators write nodes."""

    def __init__(self, graph, name):
        self.graph = graph
        self.name = name

    def __add__(self, other):
        return self.graph.node("Add", self, other)

    def __sub__(self, other):
        return self.graph.node("Sub", self, other)

    def __rsub__(self, other):
        return self.graph.node("Sub", other, self)

    def __mul__(self, other):
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other):
        return self.graph.node("Div", self, other)

    def __rtruediv__(self, other):
        return self.graph.node("Div", other, self)

    __radd__ = __add__
    __rmul__ = __mul__

    def abs(self):
        return self.graph.node("Abs", self)

    def sqrt(self):
        return self.graph.node("Sqrt", self)

    def sigmoid(self):
        return self.graph.node("Sigmoid", self)

    def clip(self, low, high):
        return self.graph.node("Clip", self, low, high)

    def channel(self, index):
        """One channel of [N,C,H,W], kept as [N,1,H,W] (or of [N,C] as [N,1])."""
        names = [self.name] + [
            self.graph.constant([number], numpy.int64) for number in (index, index + 1, 1)
        ]
        return self.graph.raw("Slice", names)

    def area(self, top, left, bottom, right):
        """A window of [N,C,H,W]; negative ends count from the far side as in Python."""
        bounds = ([top, left], [bottom, right], [2, 3])
        return self.graph.raw(
            "Slice", [self.name] + [self.graph.constant(b, numpy.int64) for b in bounds]
        )

    def mean(self):
        """[N,C,H,W] → [N,C]."""
        return self._reduce("ReduceMean", [2, 3], 0)

    def sum_channels(self):
        """[N,C,…] → [N,1,…]."""
        return self._reduce("ReduceSum", [1], 1)

    def sum_squares(self):
        """[N,n] → [N,1]."""
        return self._reduce("ReduceSumSquare", [1], 1)

    def mean_row(self):
        """[N,n] → [N,1]."""
        return self._reduce("ReduceMean", [1], 1)

    def max_channels(self):
        return self._reduce("ReduceMax", [1], 1)

    def min_channels(self):
        return self._reduce("ReduceMin", [1], 1)

    def _reduce(self, operator, axes, keep):
        names = [self.name, self.graph.constant(axes, numpy.int64)]
        return self.graph.raw(operator, names, keepdims=keep)

    def where(self, other, condition):
        """`self` where the condition holds, `other` elsewhere."""
        return self.graph.raw("Where", [condition.name, self.name, other.name])

    def at_least(self, other):
        return self.graph.node("GreaterOrEqual", self, other)

    def ramp(self, low, high):
        """0 up to `low`, 1 from `high`, straight between; falling if low > high."""
        return ((self - low) * (1.0 / (high - low))).clip(0.0, 1.0)

    def pool(self, size):
        """Averages over size × size windows that do not overlap."""
        return self.graph.raw(
            "AveragePool", [self.name], kernel_shape=[size, size], strides=[size, size]
        )

    def flatten(self):
        """[N,C,H,W] → [N,n]."""
        return self.graph.raw("Flatten", [self.name], axis=1)

    def gather(self, places):
        """These values of [N,n], in this order."""
        places = self.graph.constant(places, numpy.int64)
        return self.graph.raw("Gather", [self.name, places], axis=1)

    def convolve(self, kernels):
        """Kernels of [out,in,h,w], without padding."""
        return self.graph.node("Conv", self, kernels)

    def pad_edge(self, count):
        """So many pixels more on each side, as the ones at the border."""
        pads = self.graph.constant([0, 0, count, count] * 2, numpy.int64)
        return self.graph.raw("Pad", [self.name, pads], mode="edge")

    def blur(self, size):
        """Averages over size × size windows around each pixel."""
        half = size // 2
        return self.graph.raw(
            "AveragePool", [self.name], kernel_shape=[size, size], pads=[half] * 4
        )


def concat(values):
    graph = values[0].graph
    return graph.raw("Concat", [v.name for v in values], axis=1)


def all_of(*values):
    """The smallest: every condition must hold."""
    return values[0].graph.raw("Min", [v.name for v in values])


def any_of(*values):
    """The largest: one condition is enough."""
    return values[0].graph.raw("Max", [v.name for v in values])
