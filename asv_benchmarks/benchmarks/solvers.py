"""Full-batch solvers: iterations from the same weights, plain, penalised, and of a part alone."""

from __future__ import annotations

import numpy as np

from .common import clock, skipped_where_missing

#: settings of the hidden layers, the first of which has half of all weights
SETTINGS = {
    "plain": ({}, {}),
    "l2": ({"l2": 1e-3}, {"l2": 1e-3}),
    "frozen": ({"trainable": False}, {}),
}

ITERATIONS = {"lbfgs": 40, "levenberg_marquardt": 2}  # some tens of milliseconds each


class Iterations:
    """Iterations of a 16-24-16-1 network over 2000 rows."""

    params = (tuple(ITERATIONS), tuple(SETTINGS), ("float32", "float64"))
    param_names = ("solver", "layers", "dtype")

    def setup(self, solver: str, layers: str, dtype: str) -> None:
        self.timer = clock(1)
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(2000, 16)).astype(dtype)
        self.y = np.sin(self.X[:, 0]) * self.X[:, 1]
        with skipped_where_missing():
            import fastbp

            kind = fastbp.LBFGS if solver == "lbfgs" else fastbp.LevenbergMarquardt
            optimizer = kind(tolerance_gradient=0.0, tolerance_change=0.0)
            first, second = SETTINGS[layers]
            net = fastbp.Network(
                16,
                [
                    fastbp.Dense(24, "tanh", **first),
                    fastbp.Dense(16, "tanh", **second),
                    fastbp.Dense(1, **second),
                ],
                dtype=dtype,
                seed=0,
            )
            try:
                self.trainer = fastbp.Trainer(
                    net, "mse", optimizer, batch_size=None, seed=0, n_threads=1
                )
            except ValueError as error:  # a commit whose solvers took neither
                raise LookupError(f"solver for such layers: {error}") from error
        self.start = net.get_weights()
        self.trainer.fit(self.X, self.y, epochs=2)

    def time_iterations(self, solver: str, layers: str, dtype: str) -> None:
        self.trainer.network.set_weights(self.start)
        self.trainer.fit(self.X, self.y, epochs=ITERATIONS[solver])
