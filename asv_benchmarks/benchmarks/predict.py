"""Prediction: many rows at once, and one row."""

from __future__ import annotations

import numpy as np

from .common import clock, in_training, skipped_where_missing


class Batch:
    """All samples of a case in one call."""

    params = (("B", "C", "E", "H"), (1, 2))
    param_names = ("case", "threads")

    def setup(self, name: str, threads: int) -> None:
        self.timer = clock(threads)
        peer = in_training(name, "float32", threads)
        self.X, self.predict = peer.X, peer.network.predict
        self.out = np.empty((len(self.X), peer.network.layers[-1].units), np.float32)
        self.predict(self.X, out=self.out, n_threads=threads)

    def time_batch(self, name: str, threads: int) -> None:
        self.predict(self.X, out=self.out, n_threads=threads)


class Row:
    """1000 calls with one row each."""

    params = ("A", "C", "E")
    param_names = ("case",)

    def setup(self, name: str) -> None:
        self.timer = clock(1)
        peer = in_training(name, "float32", 1)
        self.row, self.predict = peer.X[:1], peer.network.predict
        self.out = np.empty((1, peer.network.layers[-1].units), np.float32)
        self.predict(self.row, out=self.out)

    def time_row(self, name: str) -> None:
        predict, row, out = self.predict, self.row, self.out
        for _ in range(1000):
            predict(row, out=out)


class Derivatives:
    """500 calls of `Network.vjp` of a 4-16-2 network, with so many rows each."""

    params = (1, 30)
    param_names = ("rows",)

    def setup(self, rows: int) -> None:
        self.timer = clock(1)
        with skipped_where_missing():
            import fastbp

            layers = [fastbp.Dense(16, "tanh"), fastbp.Dense(2)]
            self.vjp = fastbp.Network(4, layers, seed=0).vjp
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(rows, 4)).astype(np.float32)
        self.cotangent = np.ones((rows, 2), np.float32)
        self.vjp(self.X, self.cotangent)

    def time_vjp(self, rows: int) -> None:
        vjp, X, cotangent = self.vjp, self.X, self.cotangent
        for _ in range(500):
            vjp(X, cotangent)
