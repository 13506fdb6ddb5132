"""The arguments of a `Trainer`'s methods, checked before anything has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.callbacks.base import Callback, may_add
from fastbp.callbacks.monitor import Figures
from fastbp.checks import real
from fastbp.data import inputs
from fastbp.data.class_weight import class_weights
from fastbp.data.levels import levels
from fastbp.data.split import validation_split as split_off
from fastbp.history import figure_fault
from fastbp.layers.thresholds import Thresholds
from fastbp.objectives.losses import Poisson
from fastbp.objectives.metrics import rises
from fastbp.runtime.parameters import Parameters
from fastbp.training.measuring import Held
from fastbp.training.rates import monitor_of
from fastbp.training.settings import Settings

#: samples that are held out: one set, or several by their names
ValidationData: TypeAlias = "tuple[Any, ...] | Mapping[str, tuple[Any, ...]] | None"

#: the figures of an epoch that a person ends, and which they are
Figured: TypeAlias = tuple[dict[str, float], Figures]


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
    validation_data: ValidationData,
    validation_split: float,
    sample_weight: ArrayLike | None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None,
) -> tuple[inputs.Samples, Held, Thresholds | None]:
    """Check `fit`'s arguments.

    Returns
    -------
    samples : Samples
        What is trained on.
    held : Held
        The validation data.
    thresholds : Thresholds or None
        Where the fit cuts classes; None leaves that as it is.
    """
    real("validation_split", validation_split, low=0.0, high=1.0, high_open=True)
    if validation_split and validation_data is not None:
        raise ValueError("give validation_data or validation_split, not both")
    trained = samples(parameters, settings, X, y, sample_weight)
    sets = _validation(parameters, settings, validation_data)
    dtype, outputs = parameters.dtype, parameters.n_outputs
    if validation_split:
        poisson = isinstance(settings.loss, Poisson)
        trained, sets["val"] = split_off(trained, validation_split, dtype, outputs, poisson)
    if class_weight is not None:
        x, targets, weights = trained
        by_class = class_weights(class_weight, targets, outputs)
        if weights is not None:
            by_class *= np.asarray(weights.array[: x.n], np.float64)
        trained = x, targets, _by_class(by_class, weights, x.n, dtype)
    figures = _figures(settings, list(sets))
    _check_callbacks(settings, callbacks, figures, counts)
    for callback in callbacks:
        callback.check_folder(folder)
    return trained, Held(sets, figures), _thresholds(parameters, settings, trained)


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
    parameters: Parameters, settings: Settings, data: ValidationData
) -> dict[str, inputs.Samples]:
    """Return the sets by name: a tuple is one called "val"."""
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        return {"val": _one_set(parameters, settings, data, "validation_data")}
    if not data:
        raise ValueError("validation_data must have at least one set, got an empty dict")
    for name in data:
        if not isinstance(name, str) or not name.strip():
            error = ValueError if isinstance(name, str) else TypeError
            raise error(f"validation_data must have strings for names of sets, got {name!r}")
    return {
        name: _one_set(parameters, settings, each, f"validation_data[{name!r}]")
        for name, each in data.items()
    }


def _one_set(parameters: Parameters, settings: Settings, data: Any, what: str) -> inputs.Samples:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        got = type(data).__name__ + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
        sets = ", or a dict of such by name" if what == "validation_data" else ""
        raise TypeError(f"{what} must be (X, y) or (X, y, sample_weight){sets}, got {got}")
    weights = data[2] if len(data) == 3 else None
    return samples(parameters, settings, data[0], data[1], weights, f"{what}'s ")


_LOSS = Figures(["loss"])


def _figures(settings: Settings, sets: list[str]) -> Figures:
    """Return the names of a fit's own figures; raise ValueError where two would have one name."""
    if not (sets or settings.metrics):
        return _LOSS
    rising = {"loss": False, **{metric.name: metric._rises for metric in settings.metrics}}
    metrics = [m for m in settings.metrics if not settings.solves and not m._whole]
    names = ["loss", *(m.name for m in metrics)]
    if not sets:
        return Figures(names, [name for name in names if rising[name]])
    found = {name: ("training", rising[name]) for name in names}
    for each in sets:
        for metric, up in rising.items():
            name = f"{each}_{metric}"
            other = "History" if figure_fault(name, 0.0) else found.get(name, (None,))[0]
            if other is not None:
                raise ValueError(
                    f"validation_data can't have a set of the name {each!r}: its {metric} would be "
                    f"{name!r} in History, as is a figure of {other}; give it another name"
                )
            found[name] = f"the set {each!r}", up
    rise = [name for name, (_, up) in found.items() if up]
    return Figures(list(found), rise, f"{sets[0]}_loss")


def _check_callbacks(
    settings: Settings, callbacks: Sequence[Callback], figures: Figures, counts: bool
) -> None:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list of fastbp.Callback, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold fastbp.Callback objects, got {callback!r}")
        more = may_add(callback)  # as may one that watches the figure itself
        callback.check(figures.beside((), more))
        figures = figures.beside(callback._adds, more)
    monitor = monitor_of(settings.optimizer.learning_rate)
    if counts and monitor is not None:
        monitor.check(figures)


def of_epoch(settings: Settings, logs: Mapping[str, float] | None) -> Figured:
    """Check the figures of an epoch that a person ends; return them as floats, and their names."""
    if logs is not None and not isinstance(logs, Mapping):
        raise TypeError(f"logs must be a dict of figures by name, or None, got {logs!r}")
    found = {name: _figure(name, value) for name, value in (logs or {}).items()}
    monitor = monitor_of(settings.optimizer.learning_rate)
    if monitor is not None and monitor.name not in found:
        got = ", ".join(map(repr, found)) or ("None" if logs is None else "no figure")
        raise ValueError(
            f"logs must have {monitor.name!r}, the figure that ReduceOnPlateau looks at, got {got}"
        )
    return found, Figures(list(found), _rising(settings, found), "val_loss")


def _rising(settings: Settings, names: Iterable[str]) -> list[str]:
    """Return which of these names end in that of a metric which rises; the longest one counts."""
    metrics = sorted(settings.metrics, key=lambda metric: len(metric.name))
    found = []
    for name in names:
        says = [m._rises for m in metrics if name == m.name or name.endswith(f"_{m.name}")]
        if says[-1] if says else rises(name):
            found.append(name)
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
