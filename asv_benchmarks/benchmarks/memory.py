"""Memory: of a whole process, of a trainer, and taken while it trains."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

from .common import in_training, skipped_where_missing

EPOCHS = 3
_STATUS = Path("/proc/self/status")


class Peak:
    """A process that imports fastbp, trains the case and ends."""

    params = ("C", "E", "H")
    param_names = ("case",)
    timeout = 300

    def setup_cache(self) -> None:
        """In another process: compiling takes memory that a later process does not."""
        for name in self.params:
            in_training(name, "float32", 1)

    def peakmem_process(self, name: str) -> None:
        in_training(name, "float32", 1).fit(1)

    # No tolerance, so that the gate leaves it alone: with nothing changed, the files mapped from
    # another environment made 35 MB of difference.


class Private:
    """The peak of memory without pages of files: how many there are depends on the system."""

    params = Peak.params
    param_names = ("case",)
    timeout = 300

    def setup(self, name: str) -> None:
        if not _STATUS.exists():
            raise NotImplementedError("only Linux tells what is mapped of files")
        in_training(name, "float32", 1)  # compiles, which takes memory that the other one does not

    def track_private_peak(self, name: str) -> int:
        return _private_peak(name)

    track_private_peak.unit = "bytes"
    track_private_peak.tolerance = 0.04


_PROGRAM = """
import pathlib, sys
from {package}.common import in_training
in_training(sys.argv[1], "float32", 1).fit(1)
for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    print(line)
"""


def _private_peak(name: str) -> int:
    """Bytes: the most that was resident, less what is mapped of files."""
    command = [sys.executable, "-c", _PROGRAM.format(package=__package__), name]
    suites = str(Path(__file__).resolve().parents[1])  # asv finds them in a way of its own
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([suites, *sys.path])}
    done = subprocess.run(command, env=place, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    words = (line.split() for line in done.stdout.splitlines())
    kilobytes = {w[0]: int(w[1]) for w in words if w[0] in ("VmHWM:", "RssFile:", "RssShmem:")}
    return 1024 * (kilobytes["VmHWM:"] - kilobytes["RssFile:"] - kilobytes["RssShmem:"])


class Held:
    """What a trainer keeps, and what an epoch takes beside."""

    params = ("A", "C", "F", "G")  # a tiny network, whole batches, blocks, slabs
    param_names = ("case",)

    def setup(self, name: str) -> None:
        self.peer = in_training(name, "float32", 1)

    def track_trainer_bytes(self, name: str) -> int:
        with skipped_where_missing():
            return self.peer.trainer.nbytes

    track_trainer_bytes.unit = "bytes"
    track_trainer_bytes.tolerance = 0.01

    def track_allocations(self, name: str) -> int:
        """Allocations by kernels (numba's own count) in some epochs."""
        with skipped_where_missing():
            from numba.core.runtime import _nrt_python as runtime

            runtime.memsys_enable_stats()
        before = runtime.memsys_get_stats_alloc()
        self.peer.fit(EPOCHS)
        return runtime.memsys_get_stats_alloc() - before

    track_allocations.unit = "allocations"
    track_allocations.tolerance = 0.0

    def track_epoch_bytes(self, name: str) -> int:
        """The most that Python and NumPy hold during some epochs beyond what they held before."""
        tracemalloc.start()
        self.peer.fit(1)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        self.peer.fit(EPOCHS)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - before

    track_epoch_bytes.unit = "bytes"
    # in pages: bookkeeping of a fit goes up and down by less
    track_epoch_bytes.tolerance = 0.5
