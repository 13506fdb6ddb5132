"""Forward, delta and gradient products through whole networks, where all arithmetic is exact.

Values are small whole numbers, and sample weights sum to a power of two: every sum and every scale
is exact in any order, so results must equal the oracle's to the last bit.
"""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from thread_cases import CASES, bits

import fastbp
from fastbp.data.weighing import Weighing
from fastbp.runtime import program, workspace
from fastbp.runtime.memory import aligned_zeros

DTYPES = ["float32", "float64"]
SIZES = range(1, 71)
#: inputs, hidden widths, outputs, rows: beyond a pass of a product, a panel, a unit, a block
LARGE = [
    (2047, [], 5, 20),
    (2049, [], 1, 9),
    (5000, [3], 40, 33),
    (9, [2100], 3, 30),
    (5, [600, 300], 70, 16),
    (240, [513], 17, 700),
    (33, [65, 129], 2, 3000),
    (1, [1], 1, 5000),
]


def total_of(rows: int) -> int:
    """The sum of the weights of so many rows: a power of two."""
    return int(2 ** int(rows).bit_length())


def mean_of(rows: int) -> float:
    """Their mean, rounded so that times `rows` it is that sum again."""
    total = total_of(rows)
    near = total / rows
    return next(
        float(mean)
        for mean in (near, np.nextafter(near, 0), np.nextafter(near, total))
        if rows * mean == total
    )


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps divide by the weights, exactly, where they would divide by the rows."""
    monkeypatch.setattr("fastbp.runtime.program.of_step", lambda w: Weighing(1.0, mean_of(w.n)))


def draw(rng: Any, n_inputs: int, widths: list[int], rows: int, dtype: str) -> dict[str, Any]:
    """A network of whole numbers, few of them not zero, and samples for it."""
    layers, weights, n_in = [], [], n_inputs
    for depth, units in enumerate(widths, 1):
        bias = [True, "shared", False][rng.integers(3)]
        activation = "linear" if depth == len(widths) else str(rng.choice(["linear", "relu"]))
        layers.append(naive.Layer(units, activation, bias))
        few = rng.random((n_in, units)) < 3 / n_in
        weights.append(np.where(few, rng.integers(-2, 3, size=(n_in, units)), 0.0))
        if bias:
            weights.append(rng.integers(-2, 3, size=1 if bias == "shared" else units) * 1.0)
        n_in = units
    w = np.ones(rows)
    w[rng.integers(rows)] += total_of(rows) - rows
    dense = [fastbp.Dense(u, a, bias=b) for u, a, b in layers]
    net = fastbp.Network(n_inputs, dense, dtype=dtype, seed=0)
    net.set_weights(weights)
    return {
        "net": net,
        "layers": layers,
        "weights": weights,
        "X": rng.integers(-2, 3, size=(rows, n_inputs)) * 1.0,
        "y": rng.integers(-2, 3, size=(rows, widths[-1])) * 1.0,
        "w": w,
    }


def equal(found: list[Any], expected: list[Any], what: str) -> None:
    for i, (f, e) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(f, e, err_msg=f"{what} {i}")


def check(rng: Any, n_inputs: int, widths: list[int], rows: int, dtype: str) -> None:
    drawn = draw(rng, n_inputs, widths, rows, dtype)
    net, layers, weights, X, y, w = drawn.values()
    case = f"of {n_inputs} inputs, {[tuple(layer) for layer in layers]}, {rows} rows, {dtype}: "
    zs, a = naive.forward(weights, layers, X)
    equal(net.activations(X), [*a[1:], zs[-1]], f"activation {case}")
    equal([net.predict(X)], [a[-1]], f"prediction {case}")
    trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(2.0**-6), batch_size=None)
    loss, found = trainer.gradients(X, y, w)
    mean = mean_of(rows)
    expected = naive.gradients(weights, layers, "half_squared_error", X, y, w, mean=mean)
    equal(found, expected, f"gradient {case}")
    assert loss == trainer.evaluate(X, y, w)["loss"], case
    assert loss == naive.evaluate(weights, layers, "half_squared_error", X, y, w), case
    trainer.step(X, y, w)
    moved = [p - g / 64 for p, g in zip(weights, expected, strict=True)]
    equal(net.get_weights(), [p.astype(dtype) for p in moved], f"updated array {case}")
    # The derived transposes and all padding are as if these weights had been set.
    fresh = fastbp.Network(n_inputs, net.layers, dtype=dtype, seed=1)
    fresh.set_weights(net.get_weights())
    equal([net._parameters.buffer], [fresh._parameters.buffer], f"parameter buffer {case}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["inputs", "hidden", "outputs", "rows"])
def test_every_small_size(which: str, dtype: str) -> None:
    """One dimension takes each size from 1 to 70, the others any."""
    place = ["inputs", "hidden", "outputs", "rows"].index(which)
    rng = np.random.default_rng(place)
    for size in SIZES:
        sizes = [int(s) for s in np.where(rng.random(4) < 0.4, rng.integers(1, 6, size=4),
                                          rng.integers(1, 71, size=4))]  # fmt: skip
        sizes[place] = size
        n_inputs, hidden, outputs, rows = sizes
        check(
            rng, n_inputs, [hidden] * (size % 3 != 0 or which == "hidden") + [outputs], rows, dtype
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_inputs", "hidden", "outputs", "rows"), LARGE)
def test_large_sizes(n_inputs: int, hidden: list[int], outputs: int, rows: int, dtype: str) -> None:
    check(np.random.default_rng(1), n_inputs, [*hidden, outputs], rows, dtype)


# -- what stands in the workspace beforehand, and in its padding -----------------------------------


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_read_before_it_is_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NaN in all of the workspace, gradients and sums: the same bits as with zeros."""
    expected, poisoned = bits(CASES[name], 1), []
    make = program.Program._buffer

    def poison(self: program.Program, field: str, n: int, dtype: Any) -> Any:
        buffer = make(self, field, n, dtype)
        if field in ("row_errors", "slab_gradients", "slab_errors"):
            buffer[:] = np.nan
            poisoned.append(field)
        return buffer

    def poisonous(n: int, dtype: Any) -> Any:
        poisoned.append("workspace")
        buffer = aligned_zeros(n, dtype)
        buffer[:] = np.nan
        return buffer

    monkeypatch.setattr(program.Program, "_buffer", poison)
    monkeypatch.setattr(workspace, "aligned_zeros", poisonous)
    assert bits(CASES[name], 1) == expected
    assert {"workspace", "row_errors"} <= set(poisoned)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", naive.ACTIVATIONS)
def test_padding_stays_harmless(activation: str, dtype: str) -> None:
    """Never NaN, Inf or denormal; zero beside weights (sigmoid(0) is not 0, and exp(0) is 1)."""
    rng = np.random.default_rng(0)
    layers = [
        fastbp.Dense(17, activation),
        fastbp.Dense(5, activation),
        fastbp.Dense(1, activation),
    ]
    net = fastbp.Network(19, layers, dtype=dtype, seed=0)
    if activation == "exp":  # three of it on top of each other
        net.set_weights([0.05 * p for p in net.get_weights()])
    trainer = fastbp.Trainer(net, "mse", "adam", batch_size=30, n_threads=1)
    X, y = rng.normal(size=(100, 19)), rng.uniform(size=(100, 1))
    trainer.fit(X, y, epochs=30)
    done = trainer._session.engine.training(30)
    for index, layer in enumerate(net._parameters.layout.layers):
        record = done.layers[index]
        for field in ("outputs", "sums", "deltas"):
            block = done.workspace.values[record[field] :][: 30 * layer.ld_out].reshape(
                30, layer.ld_out
            )
            padding = np.abs(block[:, layer.n_out :])
            assert padding.size > 0
            assert np.isfinite(padding).all()
            assert ((padding == 0) | (padding >= np.finfo(dtype).tiny)).all()
        size = layer.stored_rows * layer.stored_columns
        weights = net._parameters.buffer[layer.weights :][:size]
        assert np.isfinite(weights).all()
    fresh = fastbp.Network(19, layers, dtype=dtype, seed=1)
    fresh.set_weights(net.get_weights())
    np.testing.assert_array_equal(net._parameters.buffer, fresh._parameters.buffer)
