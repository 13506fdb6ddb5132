"""Prediction: many rows at once, one row, and the rows of a table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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


class Table:
    """A table of several dtypes, most of whose time goes into making one array of it.

    A stand-in gives columns as pyarrow does, so that no other library's version counts.
    """

    N, WIDTH = 100_000, 20

    def setup(self) -> None:
        self.timer = clock(1)
        with skipped_where_missing():
            from fastbp import Dense, Network

            self.table = _table(self.N, self.WIDTH)
            self.network = Network(self.WIDTH, [Dense(1)], seed=0)
            self.network.predict(self.table, n_threads=1)

    def time_table(self) -> None:
        self.network.predict(self.table, n_threads=1)


def _table(n: int, width: int) -> Any:
    """What fastbp takes for a table of pyarrow."""
    kinds = {"f8": "double", "i8": "int64", "?": "bool", "f4": "float"}
    columns = []
    for j in range(width):
        short, kind = list(kinds.items())[j % len(kinds)]
        values = (np.arange(n) % 97).astype(short)
        column = SimpleNamespace(type=kind, null_count=0, to_numpy=_given(values))
        columns.append(column)
    table = type("Table", (SimpleNamespace,), {"__module__": "pyarrow.lib"})
    names = [f"column {j}" for j in range(width)]
    return table(schema=SimpleNamespace(names=names), columns=columns, num_rows=n)


def _given(values: np.ndarray) -> Any:
    return lambda zero_copy_only=True: values
