"""Small batches are read several at a time, tiny networks trained in place: both change nothing.

A memory map is read batch by batch through the general loop, so it has to give the same bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, TOLERANCE, compare_training, draw_targets, draw_weights

import fastbp
from fastbp.kernels import online
from fastbp.kernels.compiling.target import lanes

import naive  # isort: skip


def draw(seed: int, dtype: str) -> tuple[Any, ...]:
    """A network whose layers fit a vector, a loss, samples, and a batch size from 1 to 9."""
    rng = np.random.default_rng(seed)
    most = lanes(np.dtype(dtype).itemsize)
    loss = list(naive.LOSSES)[seed % len(naive.LOSSES)]
    depth = int(rng.integers(1, 4))
    # As wide as a vector, where a layer of few outputs is stored the other way round, or anything.
    widths = [int(most if rng.random() < 0.3 else rng.integers(1, most + 1)) for _ in range(depth)]
    units = [*widths[1:], int(rng.integers(1, min(most, 5) + 1))]
    names = [str(name) for name in rng.choice(list(naive.ACTIVATIONS), size=depth)]
    names[-1] = naive.LOSSES[loss].fused or names[-1]
    layers = []
    for n, name in zip(units, names, strict=True):
        kinds = [True, False] if name == "softmax" else [True, "shared", False]
        layers.append(naive.Layer(n, name, kinds[rng.integers(len(kinds))]))
    weights = draw_weights(rng, widths[0], layers, dtype)
    n = int(rng.integers(1, 60))
    X = rng.normal(size=(n, widths[0])).astype(np.float32)
    y = draw_targets(rng, loss, n, units[-1])
    w = None
    if rng.random() < 0.5:
        w = np.where(rng.random(n) < 0.3, 0, rng.uniform(0.1, 4, size=n)).astype(np.float32)
        w[0] = 1
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    return widths[0], layers, weights, loss, X, y, w, optimizer, 1 + seed % 9


def network(n_inputs: int, layers: list[Any], dtype: str, weights: list[Any]) -> fastbp.Network:
    plan = [fastbp.Dense(u, a, bias=b) for u, a, b in layers]
    net = fastbp.Network(n_inputs, plan, dtype=dtype, seed=0)
    net.set_weights(weights)
    return net


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("seed", range(54))
def test_as_the_oracle(seed: int, dtype: str) -> None:
    n_inputs, layers, weights, loss, X, y, w, optimizer, batch_size = draw(seed, dtype)
    net = network(n_inputs, layers, dtype, weights)
    trainer = compare_training(net, loss, optimizer, X, y, w, batch_size=batch_size, epochs=2)
    header = trainer._session.engine.training(min(batch_size, len(X))).header
    assert bool(header["call_online"]) == (min(batch_size, len(X)) <= online.MOST_ROWS)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("seed", range(27))
def test_same_bits_as_the_general_loop(seed: int, dtype: str, tmp_path: Path) -> None:
    n_inputs, layers, weights, loss, X, y, w, (kind, arguments), batch_size = draw(seed, dtype)
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    results = []
    for features in (X, mapped):
        net = network(n_inputs, layers, dtype, weights)
        optimizer = getattr(fastbp, kind)(**arguments)
        trainer = fastbp.Trainer(net, loss, optimizer, batch_size=batch_size, seed=3)
        history = trainer.fit(features, y, epochs=3, sample_weight=w)
        results.append((net.get_weights(), history.loss))
    (one, one_loss), (other, other_loss) = results
    assert one_loss == other_loss
    for i, (p, q) in enumerate(zip(one, other, strict=True)):
        assert np.array_equal(p, q), f"array {i}"


def test_a_loss_that_is_not_finite_ends_at_its_batch() -> None:
    """The batches read ahead with it are left alone, and the weights are as they were before."""
    n, bad = 40, 17
    X, y = np.ones((n, 2), np.float32), np.zeros((n, 1), np.float32)
    y[bad] = 3e38  # its square overflows
    for units in ([2, 1], [20, 1]):  # in place, and in the general loop
        layers = [fastbp.Dense(u, "tanh") for u in units]
        net = fastbp.Network(2, layers, seed=0)
        before = net.get_weights()
        trainer = fastbp.Trainer(net, "mse", "sgd", batch_size=1, shuffle=False)
        with pytest.raises(fastbp.DivergenceError, match=f"batch {bad}") as raised:
            trainer.fit(X, y)
        assert (raised.value.epoch, raised.value.batch) == (0, bad)
        for p, q in zip(net.get_weights(), before, strict=True):
            assert np.array_equal(p, q)


WIDE = [
    (33, [(300, "tanh"), (129, "relu", "shared"), (7, "linear")]),  # panels in fours, and rests
    (700, [(128, "sigmoid", False), (10, "tanh")]),  # whole fours
    (130, [(513, "relu"), (3, "linear")]),  # few outputs of many inputs
    (2100, [(140, "tanh"), (5, "linear")]),  # longer than a pass of a product
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("optimizer", OPTIMIZERS[:3], ids=["sgd", "momentum", "nesterov-decay"])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("case", range(len(WIDE)))
def test_few_rows_of_wide_layers(
    case: int, batch_size: int, optimizer: tuple[str, dict[str, Any]], dtype: str
) -> None:
    """Rows over several panels at once, and one sample's gradient used as it is formed."""
    rng = np.random.default_rng(case)
    n_inputs, plan = WIDE[case]
    layers = [naive.Layer(*layer) for layer in plan]
    weights = draw_weights(rng, n_inputs, layers, dtype)
    X = rng.normal(size=(7, n_inputs)).astype(np.float32)
    y = rng.normal(size=(7, layers[-1].units)).astype(np.float32)
    w = rng.uniform(0.5, 2, size=7).astype(np.float32)
    kind, arguments = optimizer
    small = (kind, {**arguments, "learning_rate": 1e-4, "weight_decay": 0.3})
    net = network(n_inputs, layers, dtype, weights)
    compare_training(net, "mse", small, X, y, w, batch_size=batch_size, epochs=2)
