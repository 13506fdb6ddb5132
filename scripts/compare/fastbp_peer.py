"""fastbp, as its users call it."""

from __future__ import annotations

from typing import Any

import fastbp
from compare.cases import Array, Case

LOSSES = {"mse": "mse", "ce": "cross_entropy"}
OPTIMIZERS = {"sgd": fastbp.SGD, "adam": fastbp.Adam}


def footnote(case: Case) -> str | None:
    """Where the work is not the case's: nowhere."""
    return None


class Peer:
    """A network in training."""

    def __init__(
        self, case: Case, threads: int, shuffle: bool, weights: list[Array], X: Array, y: Any
    ) -> None:
        activations = [case.hidden] * (len(case.widths) - 2) + [case.output]
        units = zip(case.widths[1:], activations, strict=True)
        self.network = fastbp.Network(
            case.widths[0], [fastbp.Dense(*layer) for layer in units], dtype=case.dtype, seed=0
        )
        self.network.set_weights(weights)
        self.X, self.y, self.threads = X, y, threads
        self.trainer = fastbp.Trainer(
            self.network,
            LOSSES[case.loss],
            OPTIMIZERS[case.optimizer](case.learning_rate),
            batch_size=case.batch,
            shuffle=shuffle,
            seed=0,
            n_threads=threads,
        )

    def fit(self, epochs: int) -> float:
        """Train; the last epoch's mean loss."""
        return self.trainer.fit(self.X, self.y, epochs=epochs, progress=False).loss[-1]

    def predict(self) -> Array:
        """The outputs of all samples."""
        outputs: Array = self.network.predict(self.X, n_threads=self.threads)
        return outputs

    def weights(self) -> list[Array]:
        """``[W0, b0, W1, b1, …]``."""
        return self.network.get_weights()
