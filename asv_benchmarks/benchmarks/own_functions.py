"""A person's own losses and activations: another number in them, and what that keeps in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .common import clock, skipped_where_missing

CLOSURES = 20


def _closure(c: float) -> Any:
    import fastbp

    return fastbp.CustomLoss(lambda p, t: c * (p - t) ** 2, lambda p, t: 2 * c * (p - t))


def _of_a_parameter(c: float) -> Any:
    import fastbp

    return fastbp.CustomLoss(_scaled, _slope, parameters=(c,))


def _scaled(p: float, t: float, c: float) -> float:
    return c * (p - t) ** 2


def _slope(p: float, t: float, c: float) -> float:
    return 2 * c * (p - t)


class AnotherNumber:
    """A loss that differs in a number from one that there is, and a trainer's first step with it.

    A commit that compiles each anew takes hundreds of times as long.
    """

    params = ("closure", "parameter")
    param_names = ("number",)
    timeout = 300

    def setup(self, number: str) -> None:
        self.timer = clock(1)
        with skipped_where_missing():
            import fastbp

            self.make = {"closure": _closure, "parameter": _of_a_parameter}[number]
            self.network = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
            self.fastbp = fastbp
            self.X = np.zeros((32, 2))
            self.c = 1.0
            self.time_losses(number)

    def time_losses(self, number: str) -> None:
        for _ in range(CLOSURES):
            self.c += 0.5
            trainer = self.fastbp.Trainer(self.network, self.make(self.c), n_threads=1, seed=0)
            trainer.step(self.X, self.X[:, 0])

    def track_kernels(self, number: str) -> int:
        """Kernels that are compiled for further numbers: none."""
        with skipped_where_missing():
            from numba.core import event
        with event.install_recorder("numba:run_pass") as passes:
            self.time_losses(number)
        return sum(
            e.is_start and e.data["name"].startswith("translate_bytecode") for _, e in passes.buffer
        )

    track_kernels.unit = "functions"
    track_kernels.tolerance = 0.0
