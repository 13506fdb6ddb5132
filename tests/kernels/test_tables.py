"""Every entry of the kernels' tables does what others say of it: oracles, and metrics' classes."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from calling import function

import fastbp
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.kernels.updates.hyper import (
    HYPER_SIZE,
    LEARNING_RATE,
    OWN,
    PENDING,
    STATE,
)
from fastbp.kernels.updates.updates import UPDATES
from fastbp.objectives.metrics import METRICS

#: kernel → the optimizer, in fastbp and in tests/naive of one name, and settings that select it
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"weight_decay": 0.1}),
    "sgd_momentum": ("SGD", {"weight_decay": 0.1, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"weight_decay": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {"weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"weight_decay": 0.1, "amsgrad": True, "beta_2": 0.8}),
    "adamw": ("AdamW", {"weight_decay": 0.1}),
    "adamw_amsgrad": ("AdamW", {"weight_decay": 0.1, "amsgrad": True, "beta_2": 0.8}),
    "adamax": ("Adamax", {"weight_decay": 0.1, "beta_2": 0.9}),
    "nadam": ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.01}),
    "radam": ("RAdam", {"weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"weight_decay": 0.1}),
    "rmsprop_momentum": ("RMSprop", {"weight_decay": 0.1, "momentum": 0.9}),
    "rmsprop_centered": ("RMSprop", {"weight_decay": 0.1, "centered": True}),
    "rmsprop_centered_momentum": (
        "RMSprop",
        {"weight_decay": 0.1, "centered": True, "momentum": 0.9},
    ),
    "adagrad": ("Adagrad", {"weight_decay": 0.1}),
    "adadelta": ("Adadelta", {"weight_decay": 0.1, "learning_rate": 0.5}),
    "rprop": ("Rprop", {"etas": (0.4, 1.3), "step_sizes": (1e-3, 0.02)}),
    "lion": ("Lion", {"weight_decay": 0.1, "learning_rate": 0.01}),
}


@pytest.mark.parametrize("name", UPDATES)
def test_updates_step_as_the_oracle(name: str) -> None:
    """Seven steps of each kernel by itself, the rate another one at each, in float64."""
    assert name in STEPS, (
        f"nothing holds the update {name!r} against an oracle: write its formula into "
        "tests/naive/updates.py, and which optimizer takes it into STEPS here"
    )
    kind, settings = STEPS[name]
    optimizer, update = getattr(fastbp, kind)(**settings), UPDATES[name]
    assert optimizer._update() is update
    oracle = getattr(naive, kind)(**settings)
    rng = np.random.default_rng(7)
    p = rng.normal(size=64)
    weights = [p.copy()]
    slots = [np.zeros_like(p) for _ in range(3)]
    for slot, start in zip(slots, optimizer._starts(), strict=False):
        slot[:] = start
    hyper = np.zeros(HYPER_SIZE)
    constants = optimizer._constants()
    hyper[OWN : OWN + len(constants)] = constants
    hyper[STATE : STATE + len(update.state)] = update.state
    step = function(update.kernel, "float64")
    prepare = update.prepare and function(update.prepare, "float64")
    for number in range(7):
        g = rng.normal(size=64)
        hyper[LEARNING_RATE] = oracle.learning_rate = optimizer.learning_rate * 0.9**number
        if prepare:
            prepare(hyper)
        step(p, g, *slots, len(p), hyper)
        if prepare:
            hyper[STATE:PENDING] = hyper[PENDING:]  # as steps.end_step
        oracle.update(weights, [g])
        assert naive.relative_error(p, weights[0]) <= 1e-12, f"{name}, step {number + 1}"
    used = [bool(slot.any()) for slot in slots]
    assert used == [which < update.slots for which in range(3)]
    assert all((slots[which] >= 0).all() for which in update.nonnegative_slots)
    greatest = update.greatest_state
    assert all(0 <= hyper[STATE + i] <= most for i, most in enumerate(greatest))


@pytest.mark.parametrize(
    ("name", "k"), [(name, k) for name in METRICS for k in (1, 2, 7) if name != "top_k" or k == 7]
)
def test_metrics_keep_as_many_sums_as_they_say(name: str, k: int) -> None:
    """A kernel fills the sums that the metric's class says, and writes no further."""
    metric, ld, rows = METRICS[name], 16, 3 * k + 1
    t = np.full((rows, ld), np.nan)
    # of one output both classes, else every class; each output is right once and wrong once
    t[:, :k] = np.eye(max(k, 2))[np.arange(rows) % max(k, 2), -k:]
    p = np.where(np.arange(rows)[:, None] < rows // 2, t, np.roll(t, 1, axis=0)) * 0.75
    w = np.full(rows, 0.5)
    n, guard = metric._sums(k), np.full(8, -3.5)
    filled = np.zeros(n, bool)
    for activation in ("softmax", "sigmoid"):  # classes, and labels
        sums = np.concatenate([np.zeros(n), guard])
        settings = np.array(metric._settings(activation, k))
        if metric._whole:  # it keeps the rows themselves
            settings = np.zeros(rows * (1 + 2 * k))
        function(metric._kernel, "float64")(p, t, w, sums, rows, k, ld, settings, 0)
        np.testing.assert_array_equal(sums[n:], guard, f"{name} writes behind its {n} sums")
        filled |= sums[:n] != 0
    assert filled.all(), f"{name} leaves some of its {n} sums alone"


def test_activations_have_an_oracle() -> None:
    assert set(ACTIVATIONS) == set(naive.ACTIVATIONS), "each has its formula in tests/naive"
