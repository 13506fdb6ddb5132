"""One epoch of training: the cases of scripts/compare/peers."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import numpy as np
from places import part

from .common import CASES, DTYPES, case, clock, in_training, restart, skipped_where_missing

THREADS = (1, 2)
_SAYING = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


class Epoch:
    """An epoch from the same weights each time, by `fit`."""

    params = (CASES, DTYPES, THREADS)
    param_names = ("case", "dtype", "threads")

    def setup(self, name: str, dtype: str, threads: int) -> None:
        self.timer = clock(threads)
        self.peer = in_training(name, dtype, threads)
        restart(self.peer, name, dtype)

    def time_epoch(self, name: str, dtype: str, threads: int) -> None:
        self.peer.fit(1)


class Rates:
    """Epochs as rates, and as a share of what the cores can do, measured before and after."""

    params = (CASES, THREADS)
    param_names = ("case", "threads")
    timeout = 300

    def setup_cache(self) -> dict[tuple[str, int], dict[str, float]]:
        with skipped_where_missing():
            roof = part("kernels.maths.roof", "kernels.roof")
        figures = {}
        for name, threads in itertools.product(CASES, THREADS):
            peer, flops = in_training(name, "float32", threads), case(name).flops
            restart(peer, name, "float32")
            before = roof.measure("float32")
            rate = case(name).n / _best(peer)
            share = rate * flops / (max(before, roof.measure("float32")) * threads)
            figures[name, threads] = {
                "rate": rate, "gflops": rate * flops / 1e9, "share": 100 * share
            }  # fmt: skip
        return figures

    def track_samples_per_second(self, figures: Any, name: str, threads: int) -> float:
        return figures[name, threads]["rate"]

    track_samples_per_second.unit = "samples/s"

    def track_gflops(self, figures: Any, name: str, threads: int) -> float:
        return figures[name, threads]["gflops"]

    track_gflops.unit = "GFLOP/s"

    def track_share_of_roof(self, figures: Any, name: str, threads: int) -> float:
        return figures[name, threads]["share"]

    track_share_of_roof.unit = "% of the FMA roof"


def _best(peer: Any, seconds: float = 0.2) -> float:
    """The shortest of a few epochs, on the wall's clock."""
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        started = time.perf_counter()
        peer.fit(1)
        times.append(time.perf_counter() - started)
    return min(times)


class Auto:
    """Epochs by `n_threads` "auto", which looks at what its threads get of the processors."""

    params = ("C", "E", "G")
    param_names = ("case",)

    def setup(self, name: str) -> None:
        self.timer = time.perf_counter
        # asv's environment sets them to 1, which would be one thread
        self.said = {v: os.environ.pop(v) for v in _SAYING if v in os.environ}
        self.peer = in_training(name, "float32", "auto")
        restart(self.peer, name, "float32")

    def teardown(self, name: str) -> None:
        os.environ.update(self.said)

    def time_epoch(self, name: str) -> None:
        self.peer.fit(1)


class Short:
    """A network of 4-16-1 on 100 samples: what Python does between its few updates."""

    params = ("none", "uniform")
    param_names = ("weights",)

    def setup(self, weights: str) -> None:
        self.timer = clock(1)
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(100, 4)).astype(np.float32)
        self.y = np.sin(self.X[:, 0])
        self.weights = None if weights == "none" else np.linspace(0.5, 1.5, 100)
        with skipped_where_missing():
            import fastbp

            layers = [fastbp.Dense(16, "tanh"), fastbp.Dense(1)]
            network = fastbp.Network(4, layers, seed=0)
            self.trainer = fastbp.Trainer(network, "mse", "adam", seed=0, n_threads=1)
        self.trainer.fit(self.X, self.y, 2, sample_weight=self.weights)
        self.trainer.step(self.X[:32], self.y[:32])

    def time_epochs(self, weights: str) -> None:
        self.trainer.fit(self.X, self.y, 500, sample_weight=self.weights)

    def time_fits(self, weights: str) -> None:
        for _ in range(100):
            self.trainer.fit(self.X, self.y, sample_weight=self.weights)

    def time_steps(self, weights: str) -> None:
        X, y = self.X[:32], self.y[:32]
        w = None if self.weights is None else self.weights[:32]
        step = self.trainer.step
        for _ in range(200):
            step(X, y, w)


class Validation:
    """Epochs of few samples, with one set of validation data or two, and one evaluation."""

    params = (("one", "two"), ("none", "precision", "average_precision"))
    param_names = ("sets", "metric")

    def setup(self, sets: str, metric: str) -> None:
        self.timer = clock(1)
        rng = np.random.default_rng(0)
        X = rng.normal(size=(3000, 16)).astype(np.float32)
        y = np.argmax(X[:, :5] + rng.normal(size=(3000, 5)), axis=1)
        self.training, self.first, second = (
            (X[rows], y[rows]) for rows in (slice(32), slice(32, 2000), slice(2000, None))
        )
        self.held = {"val": self.first, "test": second} if sets == "two" else self.first
        metrics = [] if metric == "none" else [metric]
        with skipped_where_missing():
            import fastbp

            layers = [fastbp.Dense(32, "relu"), fastbp.Dense(5, "softmax")]
            network = fastbp.Network(16, layers, seed=0)
            try:
                self.trainer = fastbp.Trainer(
                    network, "cross_entropy", "adam", seed=0, n_threads=1, metrics=metrics
                )
                self.trainer.fit(*self.training, 2, validation_data=self.held)
            except ValueError as error:  # before there were such metrics
                raise LookupError(metric) from error

    def time_epochs(self, sets: str, metric: str) -> None:
        self.trainer.fit(*self.training, 50, validation_data=self.held)

    def time_evaluate(self, sets: str, metric: str) -> None:
        for _ in range(20):
            self.trainer.evaluate(*self.first)


class Chunks:
    """Epochs of 8 chunks, each a `fit` of its own, that the loop ends; of the same network."""

    params = ("numbers", "classes")
    param_names = ("targets",)

    def setup(self, targets: str) -> None:
        self.timer = clock(1)
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(800, 4)).astype(np.float32)
        y = np.sin(self.X[:, 0])
        self.y = y if targets == "numbers" else (y > 0).astype(np.float32)
        with skipped_where_missing():
            import fastbp

            layers = [fastbp.Dense(16, "tanh"), fastbp.Dense(1)]
            network = fastbp.Network(4, layers, seed=0)
            rate = fastbp.StepDecay(1e-3, every=1000)
            self.trainer = fastbp.Trainer(network, "mse", fastbp.Adam(rate), seed=0, n_threads=1)
            self.trainer.end_epoch()
        self.time_epochs(targets)

    def time_epochs(self, targets: str) -> None:
        fit, end = self.trainer.fit, self.trainer.end_epoch
        for _ in range(10):
            for first in range(0, 800, 100):
                chunk = slice(first, first + 100)
                fit(self.X[chunk], self.y[chunk], count_epochs=False)
            end()


class Targets:
    """One epoch of a tiny network on a million samples, whose targets are looked through once."""

    params = ("numbers", "classes")
    param_names = ("targets",)

    def setup(self, targets: str) -> None:
        self.timer = clock(1)
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(1_000_000, 4)).astype(np.float32)
        y = np.sin(self.X[:, 0])
        self.y = y if targets == "numbers" else (y > 0).astype(np.float32)
        with skipped_where_missing():
            import fastbp

            network = fastbp.Network(4, [fastbp.Dense(1)], seed=0)
            self.trainer = fastbp.Trainer(
                network, "mse", "sgd", batch_size=1000, seed=0, n_threads=1
            )
        self.trainer.fit(self.X, self.y)

    def time_epoch(self, targets: str) -> None:
        self.trainer.fit(self.X, self.y)
