"""Penalties, clipping, bounds on weights, dropout, freezing, accumulation: against the oracle."""

from __future__ import annotations

import itertools
from typing import Any

import naive
import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(5)
# widths, batch: merged updates; narrow output; batch 1; wide; in slabs; whole, in runs of units
SHAPES = [((5, 9, 3), 7), ((20, 40, 7, 3), 10), ((40, 33, 1), 1), ((130, 300, 8), 16)]
SHAPES += [((64, 48, 40, 2), 4000), ((230, 300, 250, 3), 500)]
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}


def network(widths: Any, dtype: str, activation: str = "tanh", **settings: Any) -> fastbp.Network:
    hidden = [fastbp.Dense(units, activation, **settings) for units in widths[1:-1]]
    settings.pop("dropout", None)
    return fastbp.Network(
        widths[0], [*hidden, fastbp.Dense(widths[-1], **settings)], dtype=dtype, seed=3
    )


def data(widths: Any, n: int) -> tuple[Any, Any]:
    return RNG.normal(size=(n, widths[0])), RNG.normal(size=(n, widths[-1])) * 3


def agree(net: fastbp.Network, expected: Any) -> None:
    for p, q in zip(net.get_weights(), expected, strict=True):
        assert naive.relative_error(p, q) <= TOLERANCE[net.dtype]


def expected_updates(
    net: fastbp.Network, X: Any, y: Any, size: int, clips: Any, twin: Any
) -> tuple[Any, list[float]]:
    """The oracle's weights after an epoch, and the loss of each batch before its update."""
    weights, losses = net.get_weights(), []
    for at in naive.consecutive(len(X), size):
        losses.append(naive.evaluate(weights, net.layers, "mse", X[at], y[at]))
        g = naive.gradients(weights, net.layers, "mse", X[at], y[at])
        twin.update(weights, naive.clipped(naive.penalised(g, weights, net.layers), **clips))
        weights = naive.bounded(weights, net.layers)
    return weights, losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("layer", "clips"),
    [
        ({"l1": 0.01}, {}),
        ({"l2": 0.2, "bias": "shared"}, {}),
        ({}, {"value": 0.03}),
        ({"bias": "shared"}, {"norm": 0.4}),
        ({"bias": False}, {"norm": 1e6}),
        ({"max_norm": 0.8}, {}),
        ({"l1": 0.01, "l2": 0.02, "max_norm": 1.1}, {"value": 0.05, "norm": 0.3}),
    ],
    ids=str,
)
def test_updates(layer: Any, clips: Any, shape: Any, dtype: str) -> None:
    widths, size = shape
    net = network(widths, dtype, **layer)
    X, y = data(widths, 3 * size)
    limits = {f"clip_{name}": value for name, value in clips.items()}
    optimizer = fastbp.SGD(0.3, momentum=0.5)
    trainer = fastbp.Trainer(net, "mse", optimizer, batch_size=size, shuffle=False, **limits)
    weights, losses = expected_updates(net, X, y, size, clips, naive.SGD(0.3, momentum=0.5))
    history = trainer.fit(X, y)
    agree(net, weights)
    assert history.loss[0] == pytest.approx(np.mean(losses), rel=1e-4)  # the data's alone
    _, found = trainer.gradients(X, y)  # with the penalties, not clipped
    raw = naive.gradients(net.get_weights(), net.layers, "mse", X, y)
    expected = naive.penalised(raw, net.get_weights(), net.layers)
    for p, q in zip(found, expected, strict=True):
        assert naive.relative_error(p, q) <= TOLERANCE[dtype]


@pytest.mark.parametrize("shape", [((3, 4, 1), 1), ((3, 4, 2), 3), ((40, 33, 9), 1)], ids=str)
@pytest.mark.parametrize(
    ("layer", "clips"),
    [({"l1": 0.1}, {}), ({"l2": 0.2}, {}), ({"max_norm": 0.5}, {}), ({}, {"value": 0.02}),
     ({}, {"norm": 0.1})],
    ids=str,
)  # fmt: skip
def test_short_ways_are_closed(layer: Any, clips: Any, shape: Any) -> None:
    """Tiny networks by a few rows, and single samples by plain SGD, have ways that refine nothing.

    They are taken without the setting, whose weights must be others.
    """
    widths, size = shape
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(6 * size, widths[0])), rng.normal(size=(6 * size, widths[-1]))
    found = []
    for settings, limits in (({}, {}), (layer, clips)):
        net = network(widths, "float64", **settings)
        weights, _ = expected_updates(net, X, y, size, limits, naive.SGD(0.05))
        named = {f"clip_{name}": value for name, value in limits.items()}
        fastbp.Trainer(net, "mse", fastbp.SGD(0.05), batch_size=size, shuffle=False, **named).fit(
            X, y
        )
        agree(net, weights)
        found.append(weights)
    assert not np.allclose(found[0][0], found[1][0], rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_number_of_threads(shape: Any) -> None:
    widths, size = shape
    size = max(size, 300)  # enough work for a second thread
    X, y = data(widths, 2 * size)
    found = []
    for n_threads in (1, 2, 3):
        net = network(widths, "float32", "relu", l2=0.01, max_norm=0.9, dropout=0.3)
        trainer = fastbp.Trainer(
            net, "mse", "adam", batch_size=size, seed=1, clip_norm=0.2, n_threads=n_threads
        )
        for rows in (X, X[: size // 2]):
            trainer.fit(rows, y[: len(rows)], 2)
        found.append(net.get_weights())
    for p, q, r in zip(*found, strict=True):
        np.testing.assert_array_equal(p, q)
        np.testing.assert_array_equal(p, r)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "softmax", "linear"])
@pytest.mark.parametrize("shape", [((5, 9, 3), 7), ((20, 40, 7, 3), 10), ((64, 48, 40, 2), 4000)])
def test_dropout(shape: Any, activation: str, dtype: str) -> None:
    """Step by step with the oracle's masks; the steps of `fit` and `step` are counted together."""
    widths, size = shape
    net = network(widths, dtype, activation, dropout=0.4)
    X, y = data(widths, 2 * size)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.1), batch_size=size, shuffle=False, seed=77)
    weights, twin = net.get_weights(), naive.SGD(0.1)
    for update, at in enumerate([slice(0, size), slice(size, 2 * size), slice(0, size)]):
        keep = [
            naive.dropout(0.4, 77, update, layer, size, units)
            for layer, units in enumerate(widths[1:-1])
        ]
        twin.update(weights, naive.gradients(weights, net.layers, "mse", X[at], y[at], None, keep))
    trainer.fit(X, y)
    trainer.step(X[:size], y[:size])
    agree(net, weights)
    expected = naive.evaluate(net.get_weights(), net.layers, "mse", X, y)
    assert trainer.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-5)  # nothing dropped
    assert trainer.gradients(X, y)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_masks(rate: float) -> None:
    """The share and the mean; no two masks of layers, updates or seeds have more in common than
    chance."""
    masks = {
        key: naive.dropout(rate, *key, 64, 100) > 0
        for key in itertools.product((1, 2), (0, 1, 2**33), (0, 1))
    }
    n = 6400
    deviation = np.sqrt(rate * (1 - rate) / n)
    for kept in masks.values():
        assert abs(kept.mean() - (1 - rate)) < 5 * deviation
        for axis in (0, 1):  # neither rows nor columns have a share of their own
            count = kept.shape[axis]
            spread = kept.mean(axis=axis).std() / np.sqrt(rate * (1 - rate) / count)
            assert 0.6 < spread < 1.4
        shifted = np.corrcoef(kept[:, 1:].ravel(), kept[:, :-1].ravel())[0, 1]
        below = np.corrcoef(kept[1:].ravel(), kept[:-1].ravel())[0, 1]
        assert max(abs(shifted), abs(below)) < 5 / np.sqrt(n)
    for a, b in itertools.combinations(masks.values(), 2):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(n)
    mean = naive.dropout(rate, 1, 0, 0, 64, 100).mean()
    assert abs(mean - 1) < 5 * deviation / (1 - rate)


@pytest.mark.parametrize("frozen", [False, "weights", "biases"])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("shape", [((3, 4, 2, 2), 1), ((20, 40, 17, 3), 10)], ids=str)
def test_freezing(shape: Any, at: int, frozen: Any) -> None:
    """What is frozen stays; all else goes as with gradients that are 0 there."""
    widths, size = shape
    X, y = data(widths, 3 * size)
    layers = [
        fastbp.Dense(units, "tanh", trainable=frozen if i == at else True, max_norm=1.2)
        for i, units in enumerate(widths[1:])
    ]
    net = fastbp.Network(widths[0], layers, dtype="float64", seed=0)
    weights, twin = net.get_weights(), naive.SGD(0.2)
    stay = {False: [0, 1], "weights": [1], "biases": [0]}[frozen]
    for rows in naive.consecutive(len(X), size):
        g = naive.gradients(weights, layers, "mse", X[rows], y[rows])
        for i in stay:
            g[2 * at + i] *= 0
        before = [p.copy() for p in weights]
        twin.update(weights, naive.clipped(g, norm=0.5))
        weights = naive.bounded(weights, layers)
        for i in stay:
            weights[2 * at + i] = before[2 * at + i]
    trainer = fastbp.Trainer(
        net, "mse", fastbp.SGD(0.2), batch_size=size, shuffle=False, clip_norm=0.5
    )
    trainer.fit(X, y)
    agree(net, weights)
    found = trainer.gradients(X, y)[1]  # of all parameters, frozen ones too
    expected = naive.gradients(net.get_weights(), layers, "mse", X, y)
    for p, q in zip(found, expected, strict=True):
        assert naive.relative_error(p, q) <= 1e-12


def test_frozen_with_adam() -> None:
    """Decay and moments leave frozen parameters alone as well."""
    layers = [fastbp.Dense(9, "relu", trainable=False), fastbp.Dense(2)]
    net = fastbp.Network(4, layers, seed=0)
    before = net.get_weights()
    X, y = data((4, 2), 50)
    fastbp.Trainer(net, "mse", fastbp.AdamW(0.1, weight_decay=0.5), seed=0).fit(X, y, 3)
    for i, (p, q) in enumerate(zip(before, net.get_weights(), strict=True)):
        assert np.array_equal(p, q) == (i < 2)


def test_accumulate() -> None:
    """The bits of a batch so many times as large, the ragged last one too."""
    X, y = data((6, 2), 101)
    found = []
    for size, accumulate in ((8, 4), (32, 1)):
        net = network((6, 12, 2), "float32")
        trainer = fastbp.Trainer(net, "mse", "adam", batch_size=size, accumulate=accumulate, seed=4)
        history = trainer.fit(X, y, 3, sample_weight=np.linspace(0.5, 2, 101))
        found.append((history.loss, net.get_weights()))
    assert found[0][0] == found[1][0]
    for p, q in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(p, q)


def test_model_files_keep_the_settings(tmp_path: Any) -> None:
    layers = [
        fastbp.Dense(5, "relu", dropout=0.25, l1=1e-3, l2=0.5, max_norm=2, trainable="biases"),
        fastbp.Dense(2),
    ]
    net = fastbp.Network(3, layers, seed=0)
    net.save(tmp_path / "a.safetensors")
    assert fastbp.Network.load(tmp_path / "a.safetensors").layers == net.layers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, "dropout must be"),
        ({"l1": -1.0}, r"l1 must be in \[0, inf\), got -1.0"),
        ({"l2": float("nan")}, "l2 must be"),
        ({"max_norm": 0}, r"max_norm must be in \(0, inf\), got 0"),
        ({"trainable": "all"}, "trainable must be True, False, 'weights' or 'biases'"),
    ],
)
def test_bad_layers(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastbp.Dense(3, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": 0.0}, r"clip_norm must be in \(0, inf\), got 0.0"),
        ({"clip_value": -2}, "clip_value must be"),
        ({"accumulate": 0}, "accumulate must be an int >= 1, got 0"),
    ],
)
def test_bad_trainers(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastbp.Trainer(network((2, 2), "float32"), "mse", **settings)


def test_nothing_to_train_and_dropped_outputs() -> None:
    net = fastbp.Network(2, [fastbp.Dense(2, trainable=False)])
    with pytest.raises(ValueError, match="no layer that is trainable"):
        fastbp.Trainer(net, "mse")
    with pytest.raises(ValueError, match=r"layers\[0\] is the output layer, whose dropout"):
        fastbp.Network(2, [fastbp.Dense(2, dropout=0.5)])
