"""Any network on any data: what is valid does as the oracle does, what is not is told plainly.

``FASTBP_EXAMPLES=5000 pytest tests/test_properties.py`` draws that many, other ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import naive
import numpy as np
import pytest
from cases import OPTIMIZERS, build, compare_training, draw_targets, draw_weights
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fastbp

EXAMPLES = os.environ.get("FASTBP_EXAMPLES", "")
many = settings(
    max_examples=int(EXAMPLES or 120),
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# exp on top of exp blows rounding errors up
TAME = sorted(set(naive.ACTIVATIONS) - {"exp"})
KINDS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
    ">f4",
]
# an epsilon below the rounding errors of a gradient near 0 would make steps of them
STEADY = [
    (name, options | ({"epsilon": 0.01} if name == "Adam" else {})) for name, options in OPTIMIZERS
]
BIASES: list[bool | str] = [True, "shared", False]


class Case(NamedTuple):
    """A network's arguments, a trainer's and a fit's."""

    n_inputs: int
    layers: list[naive.Layer]
    dtype: str
    loss: str
    optimizer: tuple[str, dict[str, Any]]
    batch_size: int | None
    seed: int
    X: Any
    y: Any
    w: Any


def laid_out(a: Any, order: str) -> Any:
    """The same values in another order of memory, or in something that numpy makes an array of."""
    if order == "list":
        return a.tolist()
    if order == "read-only":
        a = a.copy()
        a.flags.writeable = False
        return a
    if order == "strided":
        wide = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
        view[...] = a
        return view
    if order == "backwards":
        return a[::-1].copy()[::-1]
    return np.asarray(a, order=order)  # type: ignore[call-overload]


ORDERS = st.sampled_from(["C", "F", "strided", "backwards", "read-only", "list"])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    loss = draw(st.sampled_from(sorted(set(naive.LOSSES) - {"poisson"})))  # its exp, likewise
    width = st.integers(1, 40) | st.integers(1, 4)
    layers = [
        naive.Layer(draw(width), draw(st.sampled_from(TAME)), draw(st.sampled_from(BIASES)))
        for _ in range(draw(st.integers(1, 4)))
    ]
    last = layers[-1]
    layers[-1] = last = last._replace(activation=naive.LOSSES[loss].fused or last.activation)
    # a shared bias of softmax has no gradient but for rounding errors, which Adam would follow
    layers = [
        layer._replace(bias=True)
        if layer.activation == "softmax" and layer.bias == "shared"
        else layer
        for layer in layers
    ]
    n, n_inputs = draw(st.integers(1, 60)), draw(width)
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    X = rng.normal(size=(n, n_inputs))
    X = (np.abs(X) if kind.kind in "ub" else X).astype(kind)
    y = draw_targets(rng, loss, n, last.units)
    w = rng.uniform(0.1, 2, size=n) if draw(st.booleans()) else None
    return Case(
        n_inputs,
        layers,
        draw(st.sampled_from(["float32", "float64"])),
        loss,
        draw(st.sampled_from(STEADY)),
        draw(st.none() | st.integers(2, 70)),
        seed,
        laid_out(X, draw(ORDERS)),
        laid_out(y, draw(ORDERS)),
        None if w is None else laid_out(w.astype(np.float32), draw(ORDERS)),
    )


@many
@given(cases())
def test_valid_does_as_the_oracle(case: Case) -> None:
    weights = draw_weights(np.random.default_rng(case.seed), case.n_inputs, case.layers, case.dtype)
    net = build(case.n_inputs, case.layers, case.dtype, weights)
    compare_training(
        net, case.loss, case.optimizer, case.X, case.y, case.w, batch_size=case.batch_size, epochs=2
    )


# -- what is not valid -----------------------------------------------------------------------------


def put(a: Any, value: Any, place: int) -> Any:
    a = np.array(a, np.float64)
    a.flat[place % a.size] = value
    return a


Damage = Callable[[Case, int], dict[str, Any]]
# what is wrong: (the argument that the message has to name, how to spoil it)
DAMAGES: dict[str, tuple[str, Damage]] = {
    "NaN": ("X", lambda c, k: {"X": put(c.X, np.nan, k)}),
    "infinity": ("X", lambda c, k: {"X": put(c.X, -np.inf, k)}),
    "beyond": ("X", lambda c, k: {"X": put(c.X, 1e39 if c.dtype == "float32" else np.inf, k)}),
    "narrow": ("X", lambda c, _: {"X": np.ones((len(c.X), c.n_inputs + 1))}),
    "no rows": ("X", lambda c, _: {"X": np.ones((0, c.n_inputs)), "y": np.array(c.y)[:0]}),
    "complex": ("X", lambda c, _: {"X": np.array(c.X) * 1j}),
    "text": ("X", lambda c, _: {"X": np.array(c.X).astype(str)}),
    "nothing": ("X", lambda c, _: {"X": None}),
    "a string": ("X", lambda c, _: {"X": "data.csv"}),
    "ragged": ("X", lambda c, _: {"X": [[1.0] * c.n_inputs, [1.0] * (c.n_inputs + 1)]}),
    "masked": ("X", lambda c, _: {"X": np.ma.array(np.array(c.X, float), mask=True)}),
    "short y": ("y", lambda c, _: {"y": np.array(c.y)[1:]}),
    "long y": ("y", lambda c, _: {"y": np.concatenate([np.array(c.y)] * 2)}),
    "NaN in y": ("y", lambda c, k: {"y": put(c.y, np.nan, k)}),
    "wide y": ("y", lambda c, _: {"y": np.zeros((len(c.X), c.layers[-1].units + 1))}),
    "no class": ("y", lambda c, k: {"y": put(np.zeros(len(c.X)), 40 + k, k)}),
    "half a class": ("y", lambda c, k: {"y": put(np.zeros(len(c.X)), 0.5, k)}),
    "negative": ("sample_weight", lambda c, k: {"sample_weight": put(np.ones(len(c.X)), -1, k)}),
    "NaN in w": (
        "sample_weight",
        lambda c, k: {"sample_weight": put(np.ones(len(c.X)), np.nan, k)},
    ),
    "all 0": ("sample_weight", lambda c, _: {"sample_weight": np.zeros(len(c.X))}),
    "long w": ("sample_weight", lambda c, _: {"sample_weight": np.ones(len(c.X) + 1)}),
    "flat w": ("sample_weight", lambda c, _: {"sample_weight": np.ones((len(c.X), 1))}),
    "epochs < 0": ("epochs", lambda *_: {"epochs": -1}),
    "half an epoch": ("epochs", lambda *_: {"epochs": 1.5}),
    "all held out": ("validation_split", lambda *_: {"validation_split": 1.0}),
    "both": (
        "give validation_data",
        lambda c, _: {"validation_split": 0.5, "validation_data": (c.X, c.y)},
    ),
    "no pair": ("validation_data", lambda c, _: {"validation_data": c.X}),
    "no callback": ("callbacks", lambda *_: {"callbacks": [print]}),
}


@many
@given(cases(), st.sampled_from(sorted(DAMAGES)), st.integers(0, 10_000))
def test_invalid_is_told_and_changes_nothing(case: Case, what: str, place: int) -> None:
    named, damage = DAMAGES[what]
    assume("class" not in what or case.loss in naive.CLASSES)
    kind, options = case.optimizer
    weights = draw_weights(np.random.default_rng(0), case.n_inputs, case.layers, case.dtype)
    trainer, twin = (
        fastbp.Trainer(
            build(case.n_inputs, case.layers, case.dtype, weights),
            case.loss,
            getattr(fastbp, kind)(**options),
            batch_size=case.batch_size,
            seed=0,
            on_divergence="ignore",
        )
        for _ in range(2)
    )
    arguments = {"X": case.X, "y": case.y, "sample_weight": case.w}
    with pytest.raises((TypeError, ValueError)) as caught:
        trainer.fit(**(arguments | damage(case, place)))
    assert str(caught.value).startswith(named), str(caught.value)
    assert len(str(caught.value)) < 500
    for each in (trainer, twin):
        each.fit(**arguments)
    for p, q in zip(trainer.network.get_weights(), twin.network.get_weights(), strict=True):
        assert p.tobytes() == q.tobytes()
