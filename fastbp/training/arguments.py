"""The arguments of a `Trainer` and of its `fit`, checked before anything has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.callbacks.base import Callback, check_monitor
from fastbp.checks import real
from fastbp.data import inputs
from fastbp.data.class_weight import class_weights
from fastbp.data.split import validation_split as split_off
from fastbp.objectives.losses import Poisson
from fastbp.training import provenance as resuming
from fastbp.training.progress import Watcher

if TYPE_CHECKING:
    from fastbp.trainer import Trainer


def of_fit(
    trainer: Trainer,
    X: ArrayLike,
    y: ArrayLike,
    validation_data: tuple[Any, ...] | None,
    validation_split: float,
    sample_weight: ArrayLike | None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None,
    callbacks: Sequence[Callback],
    report: Watcher | None,
    resume: str | os.PathLike[str] | None,
) -> tuple[Any, ...]:
    """Every check of `fit`'s arguments; what a `Fit` is made of."""
    real("validation_split", validation_split, low=0.0, high=1.0, high_open=True)
    if validation_split and validation_data is not None:
        raise ValueError("give validation_data or validation_split, not both")
    samples = trainer._sources(X, y, sample_weight)
    validation = None if validation_data is None else _validation(trainer, validation_data)
    if validation_split:
        counts = isinstance(trainer.loss, Poisson)
        samples, validation = split_off(
            samples, validation_split, trainer.network.dtype, trainer.network.n_outputs, counts
        )
    if class_weight is not None:
        x, targets, weights = samples
        by_class = class_weights(class_weight, targets, trainer.network.n_outputs)
        if weights is not None:
            by_class *= np.asarray(weights.array[: x.n], np.float64)
        samples = x, targets, _by_class(by_class, weights, x.n, trainer.network.dtype)
    _check_callbacks(trainer, callbacks, validation is not None)
    folder = None if resume is None else os.fspath(resume)
    for callback in callbacks:
        callback.check_folder(folder)
    kept = None
    if folder is not None:
        kept = resuming.saved(trainer, folder, samples, validation, callbacks)
    trainer._compare_custom(samples)
    return samples, validation, callbacks, report, kept


def _by_class(
    weights: NDArray[np.float64], alone: inputs.Source | None, n: int, dtype: str
) -> inputs.Source:
    """Weights with those of classes in them, and the samples' own, by which metrics go."""
    found = inputs.sample_weights(weights, n, dtype, "class_weight")
    if alone is None:
        alone = inputs.sample_weights(np.broadcast_to(np.ones(1, dtype), (n,)), n, dtype)
    return found._replace(alone=alone)


def _validation(trainer: Trainer, data: tuple[Any, ...]) -> inputs.Samples:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        got = type(data).__name__ + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
        raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got {got}")
    return trainer._sources(
        data[0], data[1], data[2] if len(data) == 3 else None, "validation_data's "
    )


def _check_callbacks(trainer: Trainer, callbacks: Sequence[Callback], validation: bool) -> None:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list of fastbp.Callback, got {callbacks!r}")
    metrics = [m for m in trainer.metrics if trainer._solver is None and not m._whole]
    names = ["loss", *(metric.name for metric in metrics)]
    if validation:
        names += ["val_loss", *(f"val_{metric.name}" for metric in trainer.metrics)]
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold fastbp.Callback objects, got {callback!r}")
        callback.check(names)
    if trainer._engine.rates.monitor is not None:
        check_monitor(trainer._engine.rates.monitor, names)
