"""A network as an ONNX graph (extra ``onnx``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastbp.layers.activations as act
from fastbp.data.columns import Category, Labels, Number
from fastbp.export.c import float_layers
from fastbp.export.table import Table
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.network import Network
from fastbp.version import __version__

#: what every graph is written in: read by ONNX Runtime from 1.13 on
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8

# one operator and its attributes; those with settings of their own are in _activation
_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "softmax": ("Softmax", {"axis": 1}),
    "selu": ("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exp": ("Exp", {}),
    "sine": ("Sin", {}),
}
_CLIPS = {"relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}


class _Graph:
    """Nodes and constants, whose names are those of no column."""

    def __init__(self, onnx: Any, taken: Sequence[str]) -> None:
        self.onnx = onnx
        self.names = set(taken)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def name(self, wanted: str) -> str:
        """A name for a node: `wanted`, or something like it that is not taken yet."""
        name, count = wanted, 1
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def constant(self, value: ArrayLike, dtype: Any = np.float32, name: str = "constant") -> str:
        name = self.name(name)
        array = np.asarray(value, dtype)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def add(
        self, operator: str, *inputs: str, name: str = "", domain: str = "", **rest: Any
    ) -> str:
        """Add a node, and give the name of its output."""
        output = name or self.name(operator.lower())
        self.nodes.append(
            self.onnx.helper.make_node(operator, inputs, [output], domain=domain, **rest)
        )
        return output


def to_onnx(network: Network, *, table: Table | None = None) -> Any:
    """A network as an ONNX model, checked; needs the extra ``onnx``.

    The graph is of opset 17, of ai.onnx.ml 3 where there is a table, IR version 8, in float32. A
    network takes ``input``, float32 (n, n_inputs). With a `table` there is one input a column,
    (n, 1), under the column's name: numbers are float64, NaN where missing; text is strings, empty
    where missing; booleans are booleans.

    With several softmax outputs the graph gives ``label``, (n,), and ``probabilities``, float32
    (n, k); with one sigmoid output the same for two classes, the second where it is above
    `Network.class_threshold`, or 0.5 where that is None; else ``output``, float32 (n, n_outputs),
    or float64 (n, 1) in the target's own units. Labels are the table's, or the classes' numbers as
    int64. A name that is a column's gets a number appended.

    Parameters
    ----------
    network : Network
        Left as it is.
    table : Table or None
        What is to be done with raw columns. A missing number that is not taken makes the outputs
        NaN; a category that is not taken is an error where the graph is run. An empty string is
        such a category, unless `missing` is "mean".

    Returns
    -------
    onnx.ModelProto
        To be written by ``onnx.save``.

    Raises
    ------
    ModuleNotFoundError
        There is no onnx.
    TypeError, ValueError
        An activation is a person's own, a number doesn't fit float32, or the table is no fit.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import export
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    >>> [node.op_type for node in export.to_onnx(net).graph.node]
    ['MatMul', 'Add', 'Tanh', 'MatMul', 'Add', 'Identity']
    """
    import onnx

    for layer in network.layers:
        name = act.name_of(layer.activation)
        if name not in ACTIVATIONS:
            raise ValueError(f"{layer.activation!r} has no ONNX graph: it is not fastbp's own")
    if table is not None:
        table.check(network)
    graph = _Graph(onnx, [column.name for column in table.columns] if table else [])
    inputs, a = _inputs(graph, network, table)
    for index, (layer, (w, b)) in enumerate(
        zip(network.layers, float_layers(network), strict=True)
    ):
        a = graph.add("MatMul", a, graph.constant(w, name=f"W{index}"))
        if layer.bias:
            a = graph.add("Add", a, graph.constant(b, name=f"b{index}"))
        a = _activation(graph, layer.activation, a)
    outputs = _outputs(graph, network, table, a)
    helper = onnx.helper
    imports = [helper.make_opsetid("", OPSET)]
    if any(node.domain for node in graph.nodes):
        imports.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "fastbp", inputs, outputs, graph.constants),
        opset_imports=imports,
        ir_version=IR_VERSION,
        producer_name="fastbp",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _activation(graph: _Graph, activation: Any, z: str) -> str:
    name = act.name_of(activation)
    if name == "linear":
        return z
    if name in _OPERATORS:
        operator, attributes = _OPERATORS[name]
        return graph.add(operator, z, **attributes)
    if name == "leaky_relu":
        return graph.add("LeakyRelu", z, alpha=act.parameters_of(activation)[0])
    if name == "elu":
        return graph.add("Elu", z, alpha=act.parameters_of(activation)[0])
    if name in _CLIPS:
        return graph.add("Clip", z, *(graph.constant(bound) for bound in _CLIPS[name]))
    return graph.add("Mul", z, _factor(graph, name, z))


def _factor(graph: _Graph, name: str, z: str) -> str:
    """Add the nodes of what gelu and its relatives multiply z with."""
    if name == "silu":
        return graph.add("Sigmoid", z)
    if name == "mish":
        return graph.add("Tanh", graph.add("Softplus", z))
    if name == "gelu":
        t = graph.add("Erf", graph.add("Mul", z, graph.constant(np.sqrt(0.5))))
    elif name == "gelu_tanh":
        square = graph.add("Mul", graph.add("Mul", z, z), graph.constant(0.044715))
        inner = graph.add("Mul", z, graph.add("Add", square, graph.constant(1.0)))
        t = graph.add("Tanh", graph.add("Mul", inner, graph.constant(np.sqrt(2 / np.pi))))
    else:
        raise ValueError(f"activation {name!r} has no ONNX graph: nobody has written its nodes")
    half = graph.constant(0.5)
    return graph.add("Mul", graph.add("Add", t, graph.constant(1.0)), half)


def _inputs(graph: _Graph, network: Network, table: Table | None) -> tuple[list[Any], str]:
    """The inputs of the graph, and the name of the network's own, which are made from them."""
    kinds = graph.onnx.TensorProto
    info = graph.onnx.helper.make_tensor_value_info
    if table is None:
        name = graph.name("input")
        return [info(name, kinds.FLOAT, ["n", network.n_inputs])], name
    inputs, parts = [], []
    for column in table.columns:
        if isinstance(column, Number):
            kind = kinds.DOUBLE
            parts.append(_standardised(graph, column, table.missing))
        else:
            kind = kinds.BOOL if column.boolean else kinds.STRING
            parts.append(_one_hot(graph, column, table))
        inputs.append(info(column.name, kind, ["n", 1]))
    return inputs, graph.add("Concat", *parts, axis=1)


def _standardised(graph: _Graph, column: Number, missing: str) -> str:
    centred = graph.add("Sub", column.name, graph.constant(column.mean, np.float64))
    z = graph.add("Div", centred, graph.constant(column.scale, np.float64))
    if missing == "mean":
        z = graph.add("Where", graph.add("IsNaN", z), graph.constant(0.0, np.float64), z)
    return graph.add("Cast", z, to=graph.onnx.TensorProto.FLOAT)


def _one_hot(graph: _Graph, column: Category, table: Table) -> str:
    known = list(column.categories)
    if column.boolean:
        ids = graph.add("Cast", column.name, to=graph.onnx.TensorProto.INT64)
        numbers = [int(value == "true") for value in known]
    else:
        numbers = list(range(len(known)))
        keys, values = list(known), list(numbers)
        if table.missing == "mean" and "" not in known:
            keys, values = [*keys, ""], [*values, known.index(column.fill)]
        ids = graph.add(
            "LabelEncoder",
            column.name,
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_int64s=values,
            default_int64=-1,
        )
    hot = graph.add(
        "OneHotEncoder",
        ids,
        domain="ai.onnx.ml",
        cats_int64s=numbers,
        zeros=int(table.unseen == "zero"),
    )
    return graph.add("Flatten", hot, axis=1)


def _below(cut: float) -> np.float32:
    """The greatest float32 that is no greater: the same float32 values are above both."""
    with np.errstate(over="ignore"):
        found = np.float32(cut)
    return found if float(found) <= cut else np.nextafter(found, np.float32(-np.inf))


def _outputs(graph: _Graph, network: Network, table: Table | None, a: str) -> list[Any]:
    kinds = graph.onnx.TensorProto
    info = graph.onnx.helper.make_tensor_value_info
    last = act.name_of(network.layers[-1].activation)
    target = table.target if table else None
    if isinstance(target, Number):
        scaled = graph.add(
            "Mul",
            graph.add("Cast", a, to=kinds.DOUBLE),
            graph.constant(target.scale, np.float64),
        )
        name = graph.name("output")
        graph.add("Add", scaled, graph.constant(target.mean, np.float64), name=name)
        return [info(name, kinds.DOUBLE, ["n", 1])]
    pair = last == "sigmoid" and network.n_outputs == 1
    softmax = last == "softmax" and network.n_outputs > 1
    if target is None and not softmax and not pair:
        name = graph.name("output")
        graph.add("Identity", a, name=name)
        return [info(name, kinds.FLOAT, ["n", network.n_outputs])]
    single = a
    if pair:
        other = graph.add("Sub", graph.constant(1.0), a)
        # the first of two halves wins, and 0.5 is not above 0.5
        a = graph.add("Concat", other, a, axis=1)
    k = 2 if pair else network.n_outputs
    probabilities, label = graph.name("probabilities"), graph.name("label")
    graph.add("Identity", a, name=probabilities)
    if pair and (cut := network.class_threshold) not in (None, 0.5):
        above = graph.add("Greater", single, graph.constant(_below(cut)))
        best = graph.add(
            "Squeeze", graph.add("Cast", above, to=kinds.INT64), graph.constant([1], np.int64)
        )
    else:
        best = graph.add("ArgMax", a, axis=1, keepdims=0)
    kind = kinds.INT64
    if isinstance(target, Labels):
        labels = np.array(target.labels, object if isinstance(target.labels[0], str) else None)
        kind = {"O": kinds.STRING, "b": kinds.BOOL}.get(labels.dtype.kind, kinds.INT64)
        graph.add("Gather", graph.constant(labels, labels.dtype, "labels"), best, name=label)
    else:
        graph.add("Identity", best, name=label)
    return [info(label, kind, ["n"]), info(probabilities, kinds.FLOAT, ["n", k])]
