"""How fast a network trains on this machine, and how far from the machine's roof that is."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from fastbp.kernels.maths import roof
from fastbp.network import Network
from fastbp.objectives.losses import LossLike
from fastbp.optimizers import OptimizerLike
from fastbp.runtime.team import Threads, resolve_threads
from fastbp.trainer import Trainer

# A process of its own for the start-up figures: import, then the first fit of a small network.
_START = """
import time
begun = time.perf_counter()
import fastbp, numpy as np
imported = time.perf_counter()
net = fastbp.Network(4, [fastbp.Dense(8, "tanh"), fastbp.Dense(1)], seed=0)
trainer = fastbp.Trainer(net, "mse", "adam", n_threads=1, seed=0)
trainer.fit(np.zeros((64, 4), np.float32), np.zeros(64, np.float32))
print(imported - begun, time.perf_counter() - imported)
"""


def bench(
    network: Network,
    loss: LossLike,
    optimizer: OptimizerLike = "adam",
    *,
    batch_size: int = 64,
    n_samples: int = 32768,
    n_threads: Threads = "auto",
    seconds: float = 2.0,
    start_up: bool = True,
) -> dict[str, Any]:
    """Train a network on random data for a while, and say how that went.

    Parameters
    ----------
    network : Network
        A copy of it is trained.
    loss, optimizer, batch_size, n_threads
        As for `Trainer`.
    n_samples : int
        Random samples in an epoch.
    seconds : float
        How long to train, about.
    start_up : bool
        Whether to time the start of two new processes as well, on an empty cache and a full one.

    Returns
    -------
    dict
        ``samples_per_second`` (median over epochs), ``gflops`` (of the products: forward, gradient
        and deltas, multiplications and additions), ``roof_gflops`` (measured in between, all
        threads), ``share_of_roof``, ``threads``, ``predict_rows_per_second``,
        ``predict_row_microseconds``, ``trainer_bytes``, ``peak_resident_bytes`` (None where the
        system does not tell), ``import_seconds``, ``cold_start_seconds``, ``cached_start_seconds``,
        ``machine``.
    """
    net = Network(network.n_inputs, network.layers, dtype=network.dtype, seed=network.seed)
    rng = np.random.default_rng(0)
    outputs = net.layers[-1].units
    X = rng.standard_normal((n_samples, net.n_inputs)).astype(net.dtype)
    y = (
        rng.integers(0, outputs, n_samples)
        if loss == "cross_entropy"
        else rng.random((n_samples, outputs)).astype(net.dtype)
    )
    trainer = Trainer(
        net, loss, optimizer, batch_size=batch_size, n_threads=n_threads, seed=0,
        on_divergence="ignore",
    )  # fmt: skip
    trainer.fit(X, y, progress=False)
    rates: list[float] = []
    roofs = [roof.measure(net.dtype)]
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(rates) < 3:
        rates += trainer.fit(X, y, epochs=1, progress=False).samples_per_second
        if len(roofs) < 5 and time.perf_counter() - started > len(roofs) * seconds / 5:
            roofs.append(roof.measure(net.dtype))
    per_sample = flops_per_sample(net)
    threads = resolve_threads(n_threads, per_sample * batch_size)
    rate, top = statistics.median(rates), max(roofs) * threads
    result: dict[str, Any] = {
        "samples_per_second": rate,
        "gflops": rate * per_sample / 1e9,
        "roof_gflops": top / 1e9,
        "share_of_roof": rate * per_sample / top,
        "threads": threads,
        **_predicting(net, X),
        "trainer_bytes": trainer.nbytes,
        "peak_resident_bytes": _peak_resident(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors",
    }
    if start_up:
        with tempfile.TemporaryDirectory() as cache:
            result["import_seconds"], result["cold_start_seconds"] = _start(cache)
            result["import_seconds"], result["cached_start_seconds"] = _start(cache)
    return result


def flops_per_sample(network: Network) -> float:
    """Multiplications and additions of the products: forward, gradients, deltas but the input's."""
    widths = [network.n_inputs, *(layer.units for layer in network.layers)]
    products = [a * b for a, b in itertools.pairwise(widths)]
    return 2.0 * (3 * sum(products) - products[0])


def _predicting(network: Network, X: Any) -> dict[str, float]:
    out = np.empty((len(X), network.layers[-1].units), network.dtype)
    row, row_out = X[:1], out[:1]
    batch = _best(lambda: network.predict(X, out=out), 5)
    single = _best(lambda: [network.predict(row, out=row_out) for _ in range(200)], 5) / 200
    return {"predict_rows_per_second": len(X) / batch, "predict_row_microseconds": single * 1e6}


def _best(call: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def _start(cache: str) -> tuple[float, float]:
    environment = {**os.environ, "FASTBP_CACHE_DIR": cache}
    environment.pop("FASTBP_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", _START], env=environment, capture_output=True, text=True, check=True
    )
    imported, first = done.stdout.split()
    return float(imported), float(first)


def _peak_resident() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
