"""A network as one C99 header: static arrays, no allocation, nothing needed but math.h."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.layers.activations as act
from fastbp.export.c_entry import decimal, entry, head, layer_call
from fastbp.export.c_math import KNOWN, functions
from fastbp.export.table import Table
from fastbp.network import Network

Array = NDArray[Any]

_SAMPLES = 1000

_DENSE = """\
static inline void @dense(const float *w, const float *b, size_t step, size_t n_in, size_t n_out,
                          const float *a, float *z) {
    size_t j, k;
    for (j = 0; j < n_out; j++) {
        z[j] = b[j * step];
    }
    for (k = 0; k < n_in; k++) {
        for (j = 0; j < n_out; j++) {
            z[j] += a[k] * w[k * n_out + j];
        }
    }
}"""

_DENSE_INT8 = """\
static inline void @dense(const signed char *w, const float *scale, const float *b, size_t step,
                          size_t n_in, size_t n_out, const float *a, float *z) {
    size_t j, k;
    for (j = 0; j < n_out; j++) {
        z[j] = 0.0f;
    }
    for (k = 0; k < n_in; k++) {
        for (j = 0; j < n_out; j++) {
            z[j] += a[k] * (float)w[k * n_out + j];
        }
    }
    for (j = 0; j < n_out; j++) {
        z[j] = z[j] * scale[j] + b[j * step];
    }
}"""


@dataclass(frozen=True)
class CHeader:
    """A C header, with what it takes and how far it is off: what `to_c` gives.

    Attributes
    ----------
    text : str
        The header.
    weight_bytes : int
        Of its constant arrays.
    scratch_bytes : int
        Of the stack that a prediction takes for layers' outputs.
    max_error : float or None
        Of int8 weights: the largest difference of an output from the network's own `predict`.
    rms_error : float or None
        Of int8 weights: the root of the mean square of all such differences.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import export
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    >>> header = export.to_c(net)
    >>> header.weight_bytes, header.scratch_bytes, header.max_error
    (52, 12, None)
    """

    text: str
    weight_bytes: int
    scratch_bytes: int
    max_error: float | None = None
    rms_error: float | None = None


def to_c(
    network: Network,
    *,
    name: str = "net",
    math: bool = True,
    int8: bool = False,
    data: ArrayLike | None = None,
    table: Table | None = None,
) -> CHeader:
    """A network as one self-contained C99 header (which is C++11, too).

    ``int NAME_predict(const float *in, float *out)`` takes `n_inputs` values, writes `n_outputs`
    and returns 0. Arithmetic is in float32; the weights of a float64 network are rounded. It
    can be called from several threads at once. With several softmax outputs there is also
    ``int NAME_class(in)``, the number of the largest, or -1.

    Parameters
    ----------
    network : Network
        Left as it is.
    name : str
        Of the functions: a C identifier.
    math : bool
        Whether the header may include math.h; else it brings series of its own.
    int8 : bool
        Whether weights are rounded to a byte each, with one factor a unit: ``w = scale q, scale =
        max |w| / 127``. Biases stay float32.
    data : array_like or None
        Inputs of the network, as `predict` takes them, to measure the rounding's error on; None
        takes 1,000 samples of standard normal numbers.
    table : Table or None
        What is to be done with raw columns. ``in`` are then doubles, one a column: numbers, NaN
        where missing; of text, the category's number in the list that the header shows; of
        booleans, 0 or 1. A value that can't be taken gives back 1 plus its column's number. The
        output of a regression is a double, in the target's own units.

    Returns
    -------
    CHeader
        The text, and how large it is.

    Raises
    ------
    TypeError, ValueError
        An activation is a person's own, a number doesn't fit float32, or an argument is wrong.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import export
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    >>> export.to_c(net, int8=True).weight_bytes
    41
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(f"name must be a C identifier that starts with a letter, got {name!r}")
    for layer in network.layers:
        if act.name_of(layer.activation) not in KNOWN:
            raise ValueError(f"{layer.activation!r} has no C source: it is not fastbp's own")
    if table is not None:
        table.check(network)
    layers = float_layers(network)
    used = {act.name_of(layer.activation): None for layer in network.layers}
    used.pop("linear", None)
    max_error = rms_error = None
    if int8:
        max_error, rms_error = _rounding_error(network, layers, data)
    arrays, calls, weight_bytes = [], [], 0
    for index, (layer, (w, b)) in enumerate(zip(network.layers, layers, strict=True)):
        held: dict[str, Array] = {"w": w, "b": b}
        if int8:
            q, scale = _quantised(w)
            held = {"w": q, "s": scale, "b": b}
        arrays += [_array(f"@{key}{index}", value) for key, value in held.items()]
        weight_bytes += sum(value.nbytes for value in held.values())
        calls += layer_call(index, layer.activation, list(held), w.shape, b.size > 1, len(layers))
    widths = [layer.units for layer in network.layers[:-1]]
    scratch = sum(max(widths[i::2], default=0) for i in (0, 1))
    scratch += network.n_inputs if table else 0
    if int8:
        where = "random inputs" if data is None else "the data given"
        rounding = (
            f"Weights are bytes; outputs differ by {max_error:.3g} at most, {rms_error:.3g} root "
            f"mean square, from the network's, on {where}."
        )
    facts = [
        f"{weight_bytes} bytes of constants, {4 * scratch} bytes of stack.",
        rounding if int8 else "Weights and arithmetic are float.",
    ]
    code = [
        *arrays,
        *functions(used, math),
        _DENSE_INT8 if int8 else _DENSE,
        *entry(network, table, widths, calls),
    ]
    parts = [
        head(network, name, math, facts, table),
        "\n\n".join(code).replace("@", name + "_"),
        f"#endif /* {name.upper()}_H */\n",
    ]
    return CHeader("\n\n".join(parts), weight_bytes, 4 * scratch, max_error, rms_error)


def float_layers(network: Network) -> list[tuple[Array, Array]]:
    """(W, b) in float32 of each layer; b has one value where it is shared, a 0 where there is none.

    Raises ValueError where a value is too large for float32.
    """
    given = iter(network.get_weights())
    found = []
    for index, layer in enumerate(network.layers):
        w = next(given)
        b = next(given) if layer.bias else np.zeros(1)
        with np.errstate(over="ignore"):
            w, b = w.astype(np.float32), b.astype(np.float32)
            settings = np.array(act.parameters_of(layer.activation), np.float32)
        if not all(np.isfinite(array).all() for array in (w, b, settings)):
            raise ValueError(f"layer {index} has a number that float32 can't hold")
        found.append((w, b))
    return found


def _quantised(w: Array) -> tuple[Array, Array]:
    """Bytes q (n_in, n_out) and factors (n_out,) with ``w = q factor`` but for rounding."""
    scale = (np.abs(w).max(axis=0) / 127).astype(np.float32)
    scale[scale == 0.0] = 1.0
    return np.clip(np.rint(w / scale), -127, 127).astype(np.int8), scale


def _rounding_error(
    network: Network, layers: Sequence[tuple[Array, Array]], data: ArrayLike | None
) -> tuple[float, float]:
    """The largest and the root mean square difference that rounding makes to the outputs."""
    X: Any = data
    if data is None:
        X = np.random.default_rng(0).standard_normal((_SAMPLES, network.n_inputs))
    weights = []
    for layer, (w, b) in zip(network.layers, layers, strict=True):
        q, scale = _quantised(w)
        weights += [q * scale, b] if layer.bias else [q * scale]
    rounded = Network(network.n_inputs, network.layers, dtype=network.dtype, seed=0)
    rounded.set_weights(weights)
    off = rounded.predict(X).astype(np.float64) - network.predict(X)
    return float(np.abs(off).max()), float(np.sqrt(np.mean(off * off)))


def _array(name: str, values: Array) -> str:
    kind = "signed char" if values.dtype == np.int8 else "float"
    texts = [str(v) if kind != "float" else decimal(v) for v in values.reshape(-1)]
    per = 24 if kind != "float" else 8
    lines = ["    " + ", ".join(texts[i : i + per]) for i in range(0, len(texts), per)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n" + ",\n".join(lines) + "};"
