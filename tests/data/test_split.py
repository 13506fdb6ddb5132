"""validation_split: the warning that the classes held out are not those of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(0)
N = 100
X = RNG.normal(size=(N, 3))
IDS = np.arange(N) // 20
PARTS = "class 4 only among them and classes 0, 1, 2 only among the others"
SIDE = np.arange(N) >= 70


def trainer(loss: Any, k: int, activation: str) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(k, activation)], seed=0)
    return fastbp.Trainer(net, loss, fastbp.SGD(0.0), seed=0)


CASES: dict[str, tuple[Any, int, str, Any, str]] = {
    "ids": ("cross_entropy", 5, "softmax", IDS, PARTS),
    "ids as floats": ("cross_entropy", 5, "softmax", IDS.astype(float), PARTS),
    "from the top": (
        "cross_entropy", 5, "softmax", 4 - IDS,
        "class 0 only among them and classes 2, 3, 4 only among the others",
    ),
    "one-hot": ("cross_entropy", 5, "softmax", np.eye(5)[IDS], PARTS),
    "one-hot mse": ("mse", 5, "linear", np.eye(5)[IDS], PARTS),
    "binary": ("binary_cross_entropy", 1, "sigmoid", SIDE, "class 0 only among the others"),
    "binary column": ("mse", 1, "sigmoid", SIDE[:, None] * 1.0, "class 0 only among the others"),
    "hinge": ("hinge", 1, "tanh", np.where(SIDE, -1, 1), "class 1 only among the others"),
    "both ways": (
        "cross_entropy", 3, "softmax", np.where(SIDE, 2, np.arange(N) % 2),
        "class 2 only among them and classes 0, 1 only among the others",
    ),
    "many": (
        "cross_entropy", N, "softmax", np.arange(N),
        "classes 70, 71, 72, 73, 74 and 25 more only among them",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_sorted_classes(case: str) -> None:
    loss, k, activation, y, named = CASES[case]
    for fit in ("fit", "fit_async"):
        begin = getattr(trainer(loss, k, activation), fit)
        with pytest.warns(UserWarning, match="validation_split=0.3 holds out") as caught:
            result = begin(X, y, validation_split=0.3)
        if fit == "fit_async":
            result.result()
        (warning,) = caught
        assert named in str(warning.message)
        assert "the last 30 of 100 samples" in str(warning.message)
        assert "shuffle the rows" in str(warning.message)
        assert warning.filename == __file__


@pytest.mark.parametrize(
    ("loss", "k", "activation", "y"),
    [
        ("cross_entropy", 5, "softmax", np.arange(N) % 5),
        ("cross_entropy", 9, "softmax", np.arange(N) % 5),  # some occur nowhere
        ("cross_entropy", 5, "softmax", np.zeros(N)),
        ("cross_entropy", 2, "softmax", np.stack([SIDE * 0.5, 1 - SIDE * 0.5], 1)),
        ("binary_cross_entropy", 1, "sigmoid", np.arange(N) % 2),
        ("binary_cross_entropy", 3, "sigmoid", np.stack([SIDE, SIDE, ~SIDE], 1)),  # labels
        ("mse", 1, "linear", np.sort(RNG.normal(size=N))),
        ("mse", 1, "linear", np.arange(N)),
        ("mse", 1, "linear", np.concatenate([np.zeros(99), [0.5]])),
        ("mse", 1, "linear", np.arange(N) // 34 - 1),  # -1, 0 and 1
        ("mse", 2, "linear", np.sort(RNG.normal(size=(N, 2)), axis=0)),
        ("poisson", 1, "exp", SIDE),
    ],
)
def test_nothing_to_say(loss: str, k: int, activation: str, y: Any) -> None:
    trainer(loss, k, activation).fit(X, y, validation_split=0.3)


def test_a_class_without_weight_is_none() -> None:
    y, w = np.arange(N) % 2, np.ones(N)
    w[:70][y[:70] == 1] = 0.0
    with pytest.warns(UserWarning, match="class 1 only among them"):
        trainer("binary_cross_entropy", 1, "sigmoid").fit(
            X, y, validation_split=0.3, sample_weight=w
        )
    w = np.where(np.arange(N) % 10 == 9, 0.0, 1.0)
    lone = np.where(np.arange(N) == 99, 1, 0)
    trainer("binary_cross_entropy", 1, "sigmoid").fit(
        X, lone, validation_split=0.3, sample_weight=w
    )


def test_a_class_far_into_a_large_set() -> None:
    """Beyond the first blocks that are looked at."""
    n = 200_000
    y = np.arange(n) % 2
    y[: n // 2] = 0
    many = np.zeros((n, 3), np.float32)
    with pytest.warns(UserWarning, match="class 1 only among them"):
        trainer("cross_entropy", 2, "softmax").fit(many, y, validation_split=0.5)
    y[n // 2 - 1] = 1
    trainer("cross_entropy", 2, "softmax").fit(many, y, validation_split=0.5)


def test_a_memory_map(tmp_path: Any) -> None:
    y = np.lib.format.open_memmap(tmp_path / "y.npy", mode="w+", dtype=np.float32, shape=(N,))
    y[:] = SIDE
    with pytest.warns(UserWarning, match="class 0 only"):
        trainer("mse", 1, "sigmoid").fit(X, y, validation_split=0.3)


def test_nothing_has_changed_where_warnings_are_errors() -> None:
    one = trainer("cross_entropy", 5, "softmax")
    with pytest.raises(UserWarning, match="holds out"):
        one.fit(X, IDS, validation_split=0.3)
    assert one.history is None
    one.fit(X, IDS, validation_data=(X, IDS))
