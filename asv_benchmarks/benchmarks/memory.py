"""Memory: of a whole process, of a trainer, and taken while it trains."""

from __future__ import annotations

import tracemalloc

from .common import in_training, skipped_where_missing

EPOCHS = 3


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

    # of a whole process, in which the system's own share comes and goes by a few MB
    peakmem_process.tolerance = 0.04


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
