"""What a seed fixes, and what shuffling does: every sample once an epoch, in any order."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import naive
import numba
import numpy as np
import pytest

import fastbp
from fastbp.kernels.maths import rng as kernels


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


def test_fits_order_is_the_oracles() -> None:
    """Through `fit`, epoch by epoch, for sets of several sizes one after the other."""
    for n, seed in ((7, 0), (100, 5), (3, 2**64 - 1), (300, 1)):
        trainer, net, X, y = one_weight_a_sample(n, seed=seed)
        value, speed = np.zeros(n), np.zeros(n)
        for epoch in range(3):
            trainer.fit(X, y)
            step, value, speed = visits(value, speed, net.get_weights()[0][:, 0], [1] * n)
            assert np.argsort(step).tolist() == naive.order(n, seed, epoch)


def scalar_fit(n: int, batch_size: int, *, n_threads: int = 1) -> Any:
    """A trainer whose weight depends on the order of n samples, and data."""
    net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    net.set_weights([np.zeros((1, 1))])
    trainer = fastbp.Trainer(
        net, "half_squared_error", fastbp.SGD(0.3), batch_size=batch_size, seed=3,
        n_threads=n_threads,
    )  # fmt: skip
    return trainer, net, np.ones(n), np.random.default_rng(0).normal(size=n)


def test_one_program_for_sets_of_many_sizes() -> None:
    """The sizes are such that orders are drawn whole, or in parts, or longer than those before."""
    trainer, net, _, _ = scalar_fit(1, 4)
    sizes = (5, kernels.MOST_DRAWN + 3, 1000, kernels.MOST_DRAWN, 300, 10_000, 6)
    for epoch, n in enumerate(sizes):
        alone, other, X, y = scalar_fit(n, 4)
        alone._session.engine.rates.passes = epoch  # which orders are drawn by
        other.set_weights(net.get_weights())
        assert trainer.fit(X, y).loss == alone.fit(X, y).loss
        assert net.get_weights() == other.get_weights()


@pytest.mark.parametrize("n", [50, 10_000, kernels.MOST_DRAWN, kernels.MOST_DRAWN + 1, 200_000])
def test_the_order_is_the_same_at_any_number_of_threads(n: int) -> None:
    found = set()
    for threads in (1, 2, 3):
        trainer, net, X, y = scalar_fit(n, 64, n_threads=threads)
        trainer.fit(X, y, epochs=2)
        found.add(net.get_weights()[0].tobytes())
    assert len(found) == 1


# -- how the orders are distributed ----------------------------------------------------------------


@numba.njit
def _drawn(out, seed, epoch):  # type: ignore[no-untyped-def]
    kernels.drawn(out, len(out), seed, epoch)


@numba.njit
def _looked_up(out, seed, epoch, bits):  # type: ignore[no-untyped-def]
    kernels.indices(out, 0, len(out), len(out), True, seed, epoch, bits)


def orders(n: int, count: int, *, by_seed: bool = False, looked_up: bool = False) -> Any:
    """(count, n): orders of consecutive epochs of one seed, or of one epoch by seeds in turn."""
    found = np.empty((count, n), np.int64)
    for i, row in enumerate(found):
        seed, epoch = (i, 3) if by_seed else (12345, i)
        if looked_up:
            _looked_up(row, seed, epoch, kernels.split_bits(n))
        else:
            _drawn(row, seed, epoch)
    return found


def chi_square(counts: Any, expected: float) -> float:
    """By how many standard deviations the sum of (count - expected)² / expected is too large."""
    counts = np.asarray(counts, float).ravel()
    degrees = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees))


def numbers(found: Any) -> Any:
    """Each order as a whole number from 0 to n! - 1."""
    n = found.shape[1]
    total = np.zeros(len(found), np.int64)
    for i in range(n):
        total = total * (n - i) + (found[:, i + 1 :] < found[:, i : i + 1]).sum(axis=1)
    return total


by_epoch_and_seed = pytest.mark.parametrize("by_seed", [False, True], ids=["epochs", "seeds"])


def test_draws_are_the_oracles() -> None:
    """Also where a draw is rejected, which takes a large n or many epochs."""
    for n, epochs in ((1, 2), (2, 4), (5, 4), (1025, 2), (kernels.MOST_DRAWN, 4)):
        found = orders(n, epochs)
        for epoch in range(epochs):
            assert found[epoch].tolist() == naive.order(n, 12345, epoch)


@by_epoch_and_seed
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_all_orders_are_as_likely(n: int, by_seed: bool) -> None:
    count = 200 * math.factorial(n)
    found = np.bincount(numbers(orders(n, count, by_seed=by_seed)), minlength=math.factorial(n))
    assert chi_square(found, 200) < 5


@by_epoch_and_seed
@pytest.mark.parametrize("n", [3, 4])
def test_an_order_tells_nothing_about_the_next(n: int, by_seed: bool) -> None:
    """All pairs of one epoch's order and the next one's, or the next but one's, are as likely."""
    kinds, many = math.factorial(n), 100
    found = numbers(orders(n, many * kinds**2 + 2, by_seed=by_seed))
    for apart in (1, 2):
        pairs = np.bincount(found[:-apart] * kinds + found[apart:], minlength=kinds**2)
        assert chi_square(pairs, pairs.mean()) < 5


def check_pairs(found: Any, distances: list[int]) -> None:
    """How often sample i + d comes right behind i, two behind it; which sample comes where."""
    count, n = found.shape
    for steps in (1, 2):
        differences = found[:, steps:] - found[:, :-steps]
        for d in distances:
            expected = count * (n - steps) * (n - abs(d)) / (n * (n - 1))
            seen = int((differences == d).sum())
            assert abs(seen - expected) < 5 * math.sqrt(expected), (steps, d, seen, expected)
    for apart in (1, 2):  # a sample at the place that it had, or the one beside it, an epoch before
        for shift in (0, 1, -1):
            a, b = found[:-apart], found[apart:]
            seen = int((a[:, max(0, shift) : n + min(0, shift)] ==
                        b[:, max(0, -shift) : n + min(0, -shift)]).sum())  # fmt: skip
            expected = (count - apart) * (n - abs(shift)) / n
            assert abs(seen - expected) < 5 * math.sqrt(expected), (apart, shift, seen, expected)


@by_epoch_and_seed
@pytest.mark.parametrize(("n", "count"), [(8, 40_000), (32, 20_000), (512, 6_000), (5000, 1_000)])
def test_neighbours_and_places(n: int, count: int, by_seed: bool) -> None:
    found = orders(n, count, by_seed=by_seed)
    assert (np.sort(found, axis=1) == np.arange(n)).all()
    check_pairs(found, [1, -1, 2, -2, 3, n // 2])
    if n <= 512:
        places = np.zeros((n, n))
        for place in range(n):
            places[place] = np.bincount(found[:, place], minlength=n)
        # rows and columns add up to `count`: (n - 1)² are free, of variance count / (n - 1) each
        degrees = (n - 1) ** 2
        square = ((places - count / n) ** 2).sum() * (n - 1) / count
        assert abs(square - degrees) < 5 * math.sqrt(2 * degrees)


@by_epoch_and_seed
@pytest.mark.parametrize(("n", "count"), [(513, 20_000), (5000, 2_000)])
def test_neighbours_in_orders_that_are_looked_up(n: int, count: int, by_seed: bool) -> None:
    """The cipher for sets beyond `MOST_DRAWN`, here at sizes where its halves are small."""
    found = orders(n, count, by_seed=by_seed, looked_up=True)
    assert (np.sort(found, axis=1) == np.arange(n)).all()
    width = 1 << kernels.split_bits(n)
    check_pairs(found, [1, -1, 2, -2, 3, width, -width, width + 1, n // 2])


def test_neighbours_beyond_what_is_drawn() -> None:
    n = kernels.MOST_DRAWN + 1
    found = orders(n, 60, looked_up=True)
    assert (np.sort(found, axis=1) == np.arange(n)).all()
    width = 1 << kernels.split_bits(n)
    check_pairs(found, [1, -1, 2, -2, 3, width, -width, n // 2])
    # of all pairs of places that are close, as many go up as down, and by any distance
    quarters = np.bincount(((found[:, 1:] - found[:, :-1]) % n * 16 // n).ravel(), minlength=16)
    assert chi_square(quarters, quarters.mean()) < 5
