"""What a seed fixes, and what shuffling does: every sample once an epoch, in any order."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest

import fastbp


def train_by_seed(
    network_seed: int, trainer_seed: int, dtype: str
) -> tuple[list[Any], list[float]]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), rng.integers(3, size=50)
    layers = [fastbp.Dense(17, "relu"), fastbp.Dense(3, "softmax")]
    net = fastbp.Network(6, layers, dtype=dtype, seed=network_seed)
    trainer = fastbp.Trainer(net, "cross_entropy", "adam", batch_size=8, seed=trainer_seed)
    history = trainer.fit(X, y, epochs=5)
    return [p.tobytes() for p in net.get_weights()], history.loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seeds(dtype: str) -> None:
    first = train_by_seed(1, 2, dtype)
    assert train_by_seed(1, 2, dtype) == first
    assert train_by_seed(1, 3, dtype) != first
    assert train_by_seed(2, 2, dtype) != first


RATE, MOMENTUM = 0.01, 0.9


def one_weight_a_sample(n: int, *, batch_size: int = 1, seed: int = 0, shuffle: bool = True) -> Any:
    """A trainer, a network and data in which sample i moves weight i alone.

    With inputs that are the rows of the identity, momentum makes the weight's value tell at which
    updates its sample was seen: an earlier push has coasted further.
    """
    net = fastbp.Network(n, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    net.set_weights([np.zeros((n, 1))])
    trainer = fastbp.Trainer(
        net,
        "half_squared_error",
        fastbp.SGD(RATE, momentum=MOMENTUM),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )
    return trainer, net, np.eye(n), np.ones((n, 1))


def visits(
    value: Any, speed: Any, found: Any, sizes: list[int]
) -> tuple[list[int], list[float], list[float]]:
    """For every weight, the one update of an epoch at which its sample was seen.

    Tries every update for every weight, from the (value, speed) before the epoch to the value
    `found` after it; no candidate fits unless the sample was seen exactly once. Returns the updates
    and the values and speeds after the epoch.
    """
    steps = np.arange(len(sizes))
    v, p = np.repeat(speed[:, None], len(sizes), 1), np.repeat(value[:, None], len(sizes), 1)
    for step, size in enumerate(sizes):
        v = MOMENTUM * v + np.where(steps == step, (p - 1) / size, 0)
        p = p - RATE * v
    best = np.abs(p - found[:, None]).argmin(axis=1)
    rows = np.arange(len(value))
    np.testing.assert_allclose(p[rows, best], found, rtol=1e-12, atol=0)
    return best, p[rows, best], v[rows, best]


@pytest.mark.parametrize(
    ("n", "batch_size"), [(1, 1), (2, 1), (40, 1), (40, 7), (41, 8), (64, 64), (65, 100)]
)
def test_every_sample_once_an_epoch(n: int, batch_size: int) -> None:
    sizes = [at.stop - at.start for at in naive.consecutive(n, batch_size)]
    orders = []
    for seed in (0, 1):
        trainer, net, X, y = one_weight_a_sample(n, batch_size=batch_size, seed=seed)
        value, speed = np.zeros(n), np.zeros(n)
        for _ in range(3):
            trainer.fit(X, y, epochs=1)
            order, value, speed = visits(value, speed, net.get_weights()[0][:, 0], sizes)
            assert Counter(order.tolist()) == dict(enumerate(sizes))
            orders.append(order.tolist())
    if n > 2 and len(sizes) > 1:  # all epochs and both seeds differ, and none is the data's order
        orders.append(np.repeat(np.arange(len(sizes)), sizes).tolist())
        assert all(a != b for a, b in pairwise(sorted(orders)))


def test_without_shuffling_the_order_is_the_datas() -> None:
    trainer, net, X, y = one_weight_a_sample(20, shuffle=False)
    value, speed = np.zeros(20), np.zeros(20)
    for _ in range(2):
        trainer.fit(X, y)
        order, value, speed = visits(value, speed, net.get_weights()[0][:, 0], [1] * 20)
        assert order.tolist() == list(range(20))


def test_fit_twice_is_fit_for_longer() -> None:
    """The second call goes on with the shuffles and the optimizer's state: the same bits."""
    results = []
    for calls in ([2, 1], [3]):
        trainer, net, X, y = one_weight_a_sample(40, batch_size=3)
        losses = [loss for epochs in calls for loss in trainer.fit(X, y, epochs=epochs).loss]
        results.append((losses[-1], net.get_weights()[0].tobytes()))
    assert results[0] == results[1]


def test_all_orders_are_as_likely() -> None:
    """χ² of the 24 orders of 4 samples over 1,200 epochs: 23 expected, 80 has odds of 1 in 10⁷."""
    orders: Counter[tuple[int, ...]] = Counter()
    for seed in range(24):
        trainer, net, X, y = one_weight_a_sample(4, seed=seed)
        value, speed = np.zeros(4), np.zeros(4)
        for _ in range(50):
            trainer.fit(X, y)
            order, value, speed = visits(value, speed, net.get_weights()[0][:, 0], [1] * 4)
            orders[tuple(order)] += 1
    assert len(orders) == 24
    assert sum((count - 50) ** 2 / 50 for count in orders.values()) < 80
