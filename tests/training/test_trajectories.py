"""100 updates from the same weights over the same batches end where PyTorch's do.

The figures are PyTorch's own, written by scripts/golden/trajectories.py.
"""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from trajectories import GOLDEN, META, schedule

import fastbp

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
EVERY_OPTIMIZER = [name for name in META["optimizers"] if name != "schedule"]
EVERY_CASE = [
    pytest.param(network, optimizer, dtype, id=f"{network}/{optimizer}/{dtype}")
    for network in META["networks"]
    for optimizer in META["networks"][network].get("optimizers", EVERY_OPTIMIZER)
    for dtype in TOLERANCE
]
# The oracle has settings in parts, not in its loop: see test_regularisation, test_settings.
PLAIN_CASES = [
    case
    for case in EVERY_CASE
    if not {"dense", "label_smoothing", "schedule"} & META["networks"][str(case.values[0])].keys()
]


def updates_followed(optimizer: str, dtype: str) -> int:
    """How far: where a gradient's sign turns on its last digit, paths part for good."""
    return 10 if optimizer in META["signs"] and dtype == "float32" else 100


def arrays(prefix: str) -> list[Any]:
    """[p0, p1, …] under a prefix of the file."""
    count = sum(key.startswith(f"{prefix}/p") for key in GOLDEN)
    return [GOLDEN[f"{prefix}/p{i}"] for i in range(count)]


def compare(found: list[Any], prefix: str, dtype: str) -> None:
    """Every parameter array within the tolerance of PyTorch's."""
    expected = arrays(prefix)
    assert len(found) == len(expected)
    for i, (p, q) in enumerate(zip(found, expected, strict=True)):
        assert naive.relative_error(p, q) <= TOLERANCE[dtype], f"{prefix}/p{i}"


def epoch_losses(network: str, case: str) -> Any:
    """The running mean of each epoch from the errors of its batches, Σ w e / (B w̄)."""
    n, size = len(GOLDEN[f"{network}/X"]), META["batch_size"]
    rows = [min(at.stop, n) - at.start for at in naive.consecutive(n, size)]
    return np.average(GOLDEN[f"{case}/loss"].reshape(-1, len(rows)), axis=1, weights=rows)


def build(network: str, optimizer: str, dtype: str) -> tuple[fastbp.Network, fastbp.Trainer]:
    """The network with PyTorch's weights before training, and its trainer."""
    plan = META["networks"][network]
    kind, arguments = META["optimizers"][optimizer]
    settings = plan.get("dense", {})
    layers = [
        fastbp.Dense(units, name, bias=bias, **settings) for units, name, bias in plan["layers"]
    ]
    smoothing = plan.get("label_smoothing")
    if "schedule" in plan:
        arguments = {**arguments, "learning_rate": schedule(plan["schedule"])}
    net = fastbp.Network(plan["n_inputs"], layers, dtype=dtype)
    net.set_weights(arrays(network))
    trainer = fastbp.Trainer(
        net,
        loss=fastbp.CrossEntropy(smoothing) if smoothing else plan["loss"],
        optimizer=getattr(fastbp, kind)(**arguments),
        batch_size=META["batch_size"],
        shuffle=False,
        **plan.get("trainer", {}),
    )
    return net, trainer


@pytest.mark.parametrize(("network", "optimizer", "dtype"), EVERY_CASE)
def test_fit(network: str, optimizer: str, dtype: str) -> None:
    net, trainer = build(network, optimizer, dtype)
    X, y, w = (GOLDEN.get(f"{network}/{key}") for key in "Xyw")
    case = f"{network}/{optimizer}/{dtype}"
    losses = list(trainer.fit(X, y, epochs=1, sample_weight=w).loss)
    compare(net.get_weights(), f"{case}/10", dtype)
    if updates_followed(optimizer, dtype) == 10:
        return
    losses += trainer.fit(X, y, epochs=9, sample_weight=w).loss
    compare(net.get_weights(), f"{case}/100", dtype)
    assert naive.relative_error(losses, epoch_losses(network, case)) <= TOLERANCE[dtype]


@pytest.mark.parametrize(("network", "optimizer", "dtype"), EVERY_CASE)
def test_step(network: str, optimizer: str, dtype: str) -> None:
    """A step knows no mean weight, so it is handed weights that are divided by it."""
    net, trainer = build(network, optimizer, dtype)
    X, y, w = (GOLDEN.get(f"{network}/{key}") for key in "Xyw")
    w = None if w is None else w / w.mean()
    case = f"{network}/{optimizer}/{dtype}"
    last = updates_followed(optimizer, dtype)
    batches = (naive.consecutive(len(X), META["batch_size"]) * 10)[:last]
    losses = [trainer.step(X[at], y[at], None if w is None else w[at]) for at in batches]
    compare(net.get_weights(), f"{case}/{last}", dtype)
    assert naive.relative_error(losses, GOLDEN[f"{case}/loss"][:last]) <= TOLERANCE[dtype]


@pytest.mark.parametrize(("network", "optimizer", "dtype"), PLAIN_CASES)
def test_oracle(network: str, optimizer: str, dtype: str) -> None:
    plan = META["networks"][network]
    kind, arguments = META["optimizers"][optimizer]
    X, y, w = (GOLDEN.get(f"{network}/{key}") for key in "Xyw")
    case = f"{network}/{optimizer}/{dtype}"
    last = updates_followed(optimizer, dtype)
    weights, losses = naive.train(
        [p.astype(dtype) for p in arrays(network)],
        [naive.Layer(*layer) for layer in plan["layers"]],
        plan["loss"],
        getattr(naive, kind)(**arguments),
        X,
        y,
        batches=naive.consecutive(len(X), META["batch_size"]),
        epochs=last // 10,
        sample_weight=w,
    )
    compare(weights, f"{case}/{last}", dtype)
    expected = epoch_losses(network, case)[: last // 10]
    assert naive.relative_error(losses, expected) <= TOLERANCE[dtype]
