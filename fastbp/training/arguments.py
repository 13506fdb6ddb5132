"""The arguments of a `Trainer`'s methods, checked before anything has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.callbacks.base import Callback, check_monitor
from fastbp.checks import real
from fastbp.data import inputs
from fastbp.data.class_weight import class_weights
from fastbp.data.levels import levels
from fastbp.data.split import validation_split as split_off
from fastbp.layers.thresholds import Thresholds
from fastbp.objectives.losses import Poisson
from fastbp.runtime.parameters import Parameters
from fastbp.training.settings import Settings


def samples(
    parameters: Parameters,
    settings: Settings,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    prefix: str = "",
) -> inputs.Samples:
    """Check samples, targets and weights, and describe where they stand."""
    loss, dtype = settings.loss._kernel, parameters.dtype
    x = inputs.features(X, parameters.n_inputs, dtype, prefix + "X")
    targets = inputs.targets(
        y,
        x.n,
        parameters.n_outputs,
        dtype,
        classes=loss.classes,
        low=loss.low,
        whole=loss.whole,
        high=loss.high,
        name=prefix + "y",
    )
    if sample_weight is None:
        return x, targets, None
    weights = inputs.sample_weights(sample_weight, x.n, dtype, prefix + "sample_weight")
    return x, targets, weights


def of_fit(
    parameters: Parameters,
    settings: Settings,
    callbacks: Sequence[Callback],
    folder: str | None,
    counts: bool,
    X: ArrayLike,
    y: ArrayLike,
    validation_data: tuple[Any, ...] | None,
    validation_split: float,
    sample_weight: ArrayLike | None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None,
) -> tuple[inputs.Samples, inputs.Samples | None, Thresholds | None]:
    """Check `fit`'s arguments.

    Returns
    -------
    samples : Samples
        What is trained on.
    validation : Samples or None
        The validation data.
    thresholds : Thresholds or None
        Where the fit cuts classes; None leaves that as it is.
    """
    real("validation_split", validation_split, low=0.0, high=1.0, high_open=True)
    if validation_split and validation_data is not None:
        raise ValueError("give validation_data or validation_split, not both")
    trained = samples(parameters, settings, X, y, sample_weight)
    held = None if validation_data is None else _validation(parameters, settings, validation_data)
    dtype, outputs = parameters.dtype, parameters.n_outputs
    if validation_split:
        counts = isinstance(settings.loss, Poisson)
        trained, held = split_off(trained, validation_split, dtype, outputs, counts)
    if class_weight is not None:
        x, targets, weights = trained
        by_class = class_weights(class_weight, targets, outputs)
        if weights is not None:
            by_class *= np.asarray(weights.array[: x.n], np.float64)
        trained = x, targets, _by_class(by_class, weights, x.n, dtype)
    _check_callbacks(settings, callbacks, held is not None, counts)
    for callback in callbacks:
        callback.check_folder(folder)
    return trained, held, _thresholds(parameters, settings, trained)


_NONE = Thresholds()  # made once: most fits are of no two values


def _thresholds(
    parameters: Parameters, settings: Settings, samples: inputs.Samples
) -> Thresholds | None:
    if parameters.n_outputs > 1 or samples[1].class_ids:
        return None
    found = levels(samples, parameters.dtype)
    if found is None:
        return _NONE
    if len(found) < 2:  # a chunk of one class tells nothing of the other
        return None
    cut = settings.loss._threshold(*found)
    return Thresholds(cut, cut)


def _by_class(
    weights: NDArray[np.float64], alone: inputs.Source | None, n: int, dtype: str
) -> inputs.Source:
    """Return weights with those of classes in them, and the samples' own, by which metrics go."""
    found = inputs.sample_weights(weights, n, dtype, "class_weight")
    if alone is None:
        alone = inputs.sample_weights(np.broadcast_to(np.ones(1, dtype), (n,)), n, dtype)
    return found._replace(alone=alone)


def _validation(
    parameters: Parameters, settings: Settings, data: tuple[Any, ...]
) -> inputs.Samples:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        got = type(data).__name__ + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
        raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got {got}")
    weights = data[2] if len(data) == 3 else None
    return samples(parameters, settings, data[0], data[1], weights, "validation_data's ")


def _check_callbacks(
    settings: Settings, callbacks: Sequence[Callback], validation: bool, counts: bool
) -> None:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list of fastbp.Callback, got {callbacks!r}")
    metrics = [m for m in settings.metrics if not settings.solves and not m._whole]
    names = ["loss", *(metric.name for metric in metrics)]
    if validation:
        names += ["val_loss", *(f"val_{metric.name}" for metric in settings.metrics)]
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold fastbp.Callback objects, got {callback!r}")
        callback.check(names)
    if counts and settings.monitor is not None:
        check_monitor(settings.monitor, names)


def of_epoch(settings: Settings, logs: Mapping[str, float] | None) -> dict[str, float]:
    """Check the figures of an epoch that a person ends; return them as floats."""
    if logs is not None and not isinstance(logs, Mapping):
        raise TypeError(f"logs must be a dict of figures by name, or None, got {logs!r}")
    found = {name: _figure(name, value) for name, value in (logs or {}).items()}
    if settings.monitor is not None and settings.monitor not in found:
        got = ", ".join(map(repr, found)) or ("None" if logs is None else "no figure")
        raise ValueError(
            f"logs must have {settings.monitor!r}, the figure that ReduceOnPlateau looks at, "
            f"got {got}"
        )
    return found


def _figure(name: object, value: Any) -> float:
    """Return a figure as a float, which may be NaN or infinite."""
    if not isinstance(name, str):
        raise TypeError(f"logs must have names of figures for keys, got {name!r}")
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    one = kind in ("b", "i", "u", "f") and getattr(value, "shape", None) == ()
    if not one and not isinstance(value, Real):
        raise TypeError(f"logs[{name!r}] must be a number, got {value!r}"[:200])
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"logs[{name!r}] must fit float64, and is beyond it") from None
