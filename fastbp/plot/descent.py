"""Training a copy of a network, with its parameters kept after each epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.callbacks.base import Callback, Logs
from fastbp.layers.dense import shapes
from fastbp.network import Network
from fastbp.objectives.losses import LossLike
from fastbp.optimizers import LBFGS, LevenbergMarquardt, Optimizer, OptimizerLike, resolve
from fastbp.runtime.memory import require_memory
from fastbp.trainer import Trainer

Array = NDArray[Any]
Optimizers = OptimizerLike | Sequence[OptimizerLike] | Mapping[str, OptimizerLike]


@dataclass(frozen=True)
class Descent:
    """How an optimizer went down.

    Attributes
    ----------
    optimizer : Optimizer
        As an object.
    weights : ndarray
        (epochs + 1, n_parameters): all parameters at the start and after each epoch, in the order
        of `Network.get_weights`, flattened, in the network's dtype.
    loss : ndarray of float64
        (epochs + 1,): of all samples with these weights.
    points : ndarray of float64
        (epochs + 1, 2): where they are on the landscape's plane.
    stopped : str or None
        As `History.stopped`: training that diverges ends.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    >>> X = np.linspace(-1, 1, 9)
    >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
    >>> path = seen.paths["SGD"]
    >>> path.weights.shape, path.loss.shape, path.points.shape
    ((101, 2), (101,), (101, 2))
    """

    optimizer: Optimizer
    weights: Array
    loss: NDArray[np.float64]
    points: NDArray[np.float64]
    stopped: str | None


class Probe:
    """The loss of a copy of a network, with any weights: what `Trainer.evaluate` says of it."""

    def __init__(
        self, network: Network, loss: LossLike, X: ArrayLike, y: ArrayLike, w: ArrayLike | None
    ) -> None:
        self.network = copy.copy(network)  # weights are copied, too
        self.trainer = Trainer(self.network, loss, seed=0)
        self.data = (X, y, w)
        self(flat(network.get_weights()))  # refuses data that don't fit, before any work

    def __call__(self, weights: Array) -> float:
        self.network.set_weights(shaped(self.network, weights))
        return self.trainer.evaluate(*self.data)["loss"]


def flat(weights: Sequence[ArrayLike]) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(w) for w in weights]).astype(np.float64)


def shaped(network: Network, weights: Array) -> list[Array]:
    """Cut a flat vector of parameters into the arrays that `Network.set_weights` takes."""
    found, first = [], 0
    for _, shape in shapes(network.n_inputs, network.layers):
        size = int(np.prod(shape))
        found.append(weights[first : first + size].reshape(shape))
        first += size
    return found


def named(optimizers: Optimizers) -> dict[str, Optimizer]:
    """Give each optimizer the label that it goes by in a picture."""
    if isinstance(optimizers, Mapping):
        return {str(label): resolve(one) for label, one in optimizers.items()}
    if isinstance(optimizers, (str, Optimizer)):
        optimizers = [optimizers]
    if not isinstance(optimizers, Sequence):
        raise TypeError(
            "optimizers must be names or optimizers such as fastbp.Adam(1e-3), in a list or a "
            f"mapping of labels to them, got {type(optimizers).__name__}"
        )
    resolved = [resolve(one) for one in optimizers]
    kinds = [type(one).__name__ for one in resolved]
    found: dict[str, Optimizer] = {}
    for kind, one in zip(kinds, resolved, strict=True):
        rate = getattr(one, "learning_rate", None)
        plain = isinstance(rate, (int, float)) and kinds.count(kind) > 1
        label = f"{kind}({rate:g})" if plain else kind
        count = sum(other == label or other.startswith(f"{label}, ") for other in found)
        found[f"{label}, {count + 1}" if count else label] = one
    return found


class _Recorder(Callback):
    """A callback that keeps each epoch's parameters, and puts back those that are not to move."""

    def __init__(self, start: list[Array], epochs: int, chosen: list[int] | None) -> None:
        self.start = np.concatenate([w.ravel() for w in start])
        self.chosen, self.n = chosen, 1
        size = (epochs + 1, self.start.size)
        require_memory("epochs: the path's weights take", size[0] * size[1] * self.start.itemsize)
        self.weights = np.empty(size, self.start.dtype)
        self.weights[0] = self.start

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        network, row = trainer.network, self.weights[self.n]
        np.concatenate([w.ravel() for w in network.get_weights()], out=row)
        if self.chosen is not None:
            moved = row[self.chosen]
            row[:] = self.start
            row[self.chosen] = moved
            network.set_weights(shaped(network, row))
        self.n += 1


def check_chosen(optimizers: Mapping[str, Optimizer], batch_size: int | None) -> None:
    """Raise for an optimizer that can't train two weights alone."""
    for optimizer in optimizers.values():
        if isinstance(optimizer, (LBFGS, LevenbergMarquardt)):
            raise ValueError(
                'train must be "all" with solvers, which move all weights together, '
                f'got "chosen" with {type(optimizer).__name__}'
            )
    if batch_size is not None:
        raise ValueError(f'batch_size must be None with train="chosen", got {batch_size}')


def descend(
    probe: Probe,
    optimizer: Optimizer,
    start: list[Array],
    epochs: int,
    batch_size: int | None,
    chosen: list[int] | None,
    seed: int,
) -> Descent:
    """Train a copy of the probe's network; where that leads on a plane is not known yet."""
    network = copy.copy(probe.network)
    network.set_weights(start)
    trainer = Trainer(
        network, probe.trainer.loss, optimizer, batch_size=batch_size, seed=seed,
        on_divergence="stop",
    )  # fmt: skip
    recorder = _Recorder(network.get_weights(), epochs, chosen)
    X, y, w = probe.data
    history = trainer.fit(X, y, epochs, sample_weight=w, callbacks=[recorder])
    weights = recorder.weights[: recorder.n]
    good = np.isfinite(weights).all(axis=1)
    weights = weights if good.all() else weights[: int(good.argmin())]
    loss = np.array([probe(row) for row in weights])
    return Descent(optimizer, weights, loss, np.empty((len(weights), 2)), history.stopped)
