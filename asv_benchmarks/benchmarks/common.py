"""What the suites share: cases, networks in training, how a missing feature is told."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from compare.cases import STANDARD, Case, data, glorot, parse

#: samples of each case, so that an epoch takes some milliseconds; H's are a quarter of its batch,
#: which is then the whole set: 40 ms, where a batch of 1024 took a third of all the gate's time
SAMPLES = {
    "A": 20_000, "B": 40_960, "C": 16_384, "D": 32_768, "E": 2_048, "F": 512, "G": 16_384,
    "H": 256,
}  # fmt: skip
CASES = tuple(STANDARD)
DTYPES = ("float32", "float64")


@contextlib.contextmanager
def skipped_where_missing() -> Iterator[None]:
    """Skip a benchmark on a commit that lacks what it measures.

    With FASTBP_BENCH_ALL set, as for the newest commit, it fails instead: nothing is lost silently.
    """
    import fastbp  # noqa: F401  that the package itself is not there is no missing feature

    try:
        yield
    except (ImportError, AttributeError, LookupError, TypeError) as error:
        if os.environ.get("FASTBP_BENCH_ALL"):
            raise
        raise NotImplementedError(f"this commit has no {error}") from error


def case(name: str, dtype: str = "float32") -> Case:
    """A case of the comparison, of a size that takes well under a second."""
    return replace(parse(STANDARD[name], name), n=SAMPLES[name], dtype=dtype)


@cache
def in_training(name: str, dtype: str, threads: int | str) -> Any:
    """A network and trainer of a case, compiled and warm; one for all benchmarks of a process."""
    if threads != "auto" and threads > (os.cpu_count() or 1):
        raise NotImplementedError(f"this machine has fewer than {threads} processors")
    with skipped_where_missing():
        from compare.fastbp_peer import Peer

        chosen = case(name, dtype)
        peer = Peer(chosen, threads, True, glorot(chosen), *data(chosen))
        peer.fit(2)
    return peer


def restart(peer: Any, name: str, dtype: str) -> None:
    """The weights as they were: none drifts off, to denormals or to infinity, over many samples."""
    peer.network.set_weights(start_of(name, dtype))


@cache
def start_of(name: str, dtype: str) -> list[Any]:
    """A case's weights before training."""
    return glorot(case(name, dtype))


def clock(threads: int) -> Callable[[], float]:
    """Processor time where one thread works: other processes' turns don't count.

    Several threads wait for each other, which only the time on the wall shows.
    """
    return time.process_time if threads == 1 else time.perf_counter
