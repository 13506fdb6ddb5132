"""Prediction: many rows at once, and one row."""

from __future__ import annotations

import numpy as np

from .common import clock, in_training


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
