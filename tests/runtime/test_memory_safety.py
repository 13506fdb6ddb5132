"""No access outside of any buffer: guard pages around them, and red zones between them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import child
import guard
import naive
import numpy as np
import pytest

import fastbp
from fastbp.runtime import team, workspace

WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 70, 130]
KINDS = ["float32", "float64", "float16", "int8", "uint16", "int64", "bool"]
#: networks in each test, drawn anew
NETWORKS = 60
posix = pytest.mark.skipif(os.name != "posix", reason="mprotect is POSIX's")


def exercise(seed: int, place: Callable[[Any], Any]) -> tuple[fastbp.Trainer, list[Any]]:
    """Build and train some network, and predict by it, on samples that `place` has put somewhere.

    Gives the trainer, and all arrays that were placed.
    """
    rng = np.random.default_rng(seed)
    loss = str(rng.choice(list(naive.LOSSES)))
    names = [str(name) for name in rng.choice(list(naive.ACTIVATIONS), size=rng.integers(1, 4))]
    names[-1] = naive.LOSSES[loss].fused or names[-1]
    layers = [
        fastbp.Dense(int(rng.choice(WIDTHS)), name, bias=[True, "shared", False][rng.integers(3)])
        for name in names
    ]
    n_inputs, n = int(rng.choice(WIDTHS)), int(rng.choice([1, 2, 3, 5, 16, 29, 64, 111]))
    if seed % 10 == 0:
        n *= 40  # slabs, blocks, windows of the epoch's order
    dtype, k = ["float32", "float64"][seed % 2], layers[-1].units
    net = fastbp.Network(n_inputs, layers, dtype=dtype, seed=seed)
    X = place(rng.uniform(-9, 9, size=(n, n_inputs)).astype(str(rng.choice(KINDS))))
    y = rng.uniform(size=(n, k)).astype(str(rng.choice(KINDS[:3])))
    if loss == "hinge":
        y = (y > 0.5).astype(y.dtype)
    if loss in naive.CLASSES:
        y = rng.integers(k, size=n).astype(str(rng.choice(["int64", "int16", "float32"])))
    y = place(y)
    w = place(rng.uniform(0.1, 1, size=n).astype(np.float32)) if rng.random() < 0.5 else None
    samples = (X, y, w)
    if rng.random() < 0.2:
        samples = tuple(None if a is None else a[::-1] for a in samples)  # type: ignore[assignment]

    batch_size = [None, 1, 7, 32][rng.integers(4)]
    threads = int(rng.integers(1, 4))
    optimizer = [fastbp.SGD(0.01), fastbp.SGD(0.01, momentum=0.9), fastbp.Adam()][rng.integers(3)]
    trainer = fastbp.Trainer(
        net, loss, optimizer, batch_size=batch_size, seed=0, n_threads=threads,
        on_divergence="ignore",
    )  # fmt: skip
    X, y, w = samples
    trainer.fit(X, y, sample_weight=w, epochs=2 if batch_size else 3)
    trainer.gradients(X, y, w)
    trainer.evaluate(X, y, w)
    trainer.step(X[:5], y[:5], None if w is None else w[:5])
    out = place(np.zeros((n, k), dtype))
    net.predict(X, out=out, n_threads=threads)
    few = place(rng.normal(size=(min(n, 9), n_inputs)).astype(dtype))
    out_few = place(np.zeros((len(few), k), dtype))
    net.predict(few, out=out_few)
    net.activations(X)
    solver = "levenberg_marquardt" if "squared" in loss or loss == "mse" else "lbfgs"
    if solver == "lbfgs" or net.n_parameters < 3000:
        full = fastbp.Trainer(net, loss, solver, batch_size=None, n_threads=threads)
        with contextlib.suppress(fastbp.DivergenceError):
            full.fit(X, y, sample_weight=w, epochs=2)
    placed = [a for a in (*samples, few, out, out_few) if a is not None]
    return trainer, placed


def between_guard_pages(at_end: bool) -> int:
    """Exercise networks all of whose buffers, and samples, end or begin at a guard page."""

    def guarded(n: int, dtype: Any) -> Any:
        return guard.zeros(n, dtype, at_end=at_end)

    for name, module in list(sys.modules.items()):
        if name.startswith("fastbp.") and hasattr(module, "aligned_zeros"):
            module.aligned_zeros = guarded
    team._FLOPS_PER_THREAD = 1e-9
    for seed in range(NETWORKS):
        print(f"network {seed}", file=sys.stderr)
        exercise(seed, lambda a: guard.copy(a, at_end=at_end))
    return NETWORKS


@posix
@pytest.mark.parametrize("at_end", [True, False], ids=["at the end", "at the beginning"])
def test_guard_pages(at_end: bool) -> None:
    assert child.call(between_guard_pages, at_end) == NETWORKS


def touch(at_end: bool) -> int:
    """Read the value just outside."""
    a = guard.zeros(100, np.float32, at_end=at_end)
    outside = ctypes.c_float.from_address(a.ctypes.data + (400 if at_end else -4))
    print("there", file=sys.stderr)
    return int(outside.value)


@posix
@pytest.mark.parametrize("at_end", [True, False])
def test_an_access_outside_is_noticed(at_end: bool) -> None:
    process = child.start(touch, at_end)
    _, err = process.communicate(timeout=60)
    assert "there" in err
    assert process.returncode < 0


# -- red zones -------------------------------------------------------------------------------------

ZONE = 64  # bytes
MARK = 0xA5


def test_bytes_around_samples_and_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay as they are, and so do the samples themselves."""
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    for seed in range(NETWORKS):
        fields, kept = [], []

        def zoned(a: Any, fields: list[Any] = fields, kept: list[Any] = kept) -> Any:
            field = np.full(a.nbytes + 2 * ZONE, MARK, np.uint8)
            inside = field[ZONE:-ZONE].view(a.dtype).reshape(a.shape)
            inside[...] = a
            fields.append(field)
            kept.append(a.copy())
            return inside

        _, placed = exercise(seed, zoned)
        for field in fields:
            assert (field[:ZONE] == MARK).all(), f"network {seed}"
            assert (field[-ZONE:] == MARK).all(), f"network {seed}"
        results = {a.ctypes.data for a in placed[-2:]}
        for field, before in zip(fields, kept, strict=True):
            if field.ctypes.data + ZONE not in results:
                assert field[ZONE:-ZONE].tobytes() == before.tobytes(), f"network {seed}"


def test_parts_of_the_workspace_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies between activations, deltas, targets, weights and scratch is never written."""
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    take, make = workspace.Workspace._take, workspace.Workspace.__init__
    zones: dict[int, list[tuple[int, int]]] = {}
    workspaces: list[tuple[Any, list[tuple[int, int]]]] = []

    def spaced(self: Any, n: int) -> int:
        offset, gap = take(self, n), 2 * ZONE // self._layout.itemsize
        zones.setdefault(id(self), []).append((self._offset, self._offset + gap))
        self._offset += gap
        return offset

    def marked(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        workspaces.append((self.values, zones.pop(id(self))))
        for start, end in workspaces[-1][1]:
            self.values[start:end].view(np.uint8)[:] = MARK

    monkeypatch.setattr(workspace.Workspace, "_take", spaced)
    monkeypatch.setattr(workspace.Workspace, "__init__", marked)
    for seed in range(NETWORKS):
        exercise(seed, np.copy)
        assert len(workspaces) >= 4
        for values, gaps in workspaces:
            assert gaps
            for start, end in gaps:
                assert (values[start:end].view(np.uint8) == MARK).all(), f"network {seed}"
        workspaces.clear()
