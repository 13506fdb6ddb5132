"""Metrics of numbers, and the table of all metrics: what a person chooses by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.functions import metrics as kernels
from fastbp.objectives.class_metrics import (
    AUC,
    F1,
    Accuracy,
    AveragePrecision,
    BalancedAccuracy,
    Precision,
    Recall,
    TopK,
)
from fastbp.objectives.metric import Doubles, Metric, ratio
from fastbp.objectives.names import METRIC_NAMES, MetricAlias, MetricName
from fastbp.values import dataclass


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """Mean absolute error: ``sum w (1/k) sum_j |p - t| / sum w``.

    "mae" for `Trainer`.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.MeanAbsoluteError()])
    >>> round(trainer.evaluate([1.0, 2.0], [1.0, 4.0])[fastbp.MeanAbsoluteError().name], 4)
    1.0
    """

    name: ClassVar[str] = "mae"
    _kernel: ClassVar[jit.CFunc] = kernels.absolute_errors
    _rises: ClassVar[bool] = False
    _positive: ClassVar[bool] = True


@dataclass(frozen=True)
class RootMeanSquaredError(Metric):
    """Root of the mean squared error: ``sqrt(sum w (1/k) sum_j (p - t)² / sum w)``.

    "rmse" for `Trainer`.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.RootMeanSquaredError()])
    >>> round(trainer.evaluate([1.0, 2.0], [1.0, 4.0])[fastbp.RootMeanSquaredError().name], 4)
    1.4142
    """

    name: ClassVar[str] = "rmse"
    _kernel: ClassVar[jit.CFunc] = kernels.squared_errors
    _rises: ClassVar[bool] = False
    _positive: ClassVar[bool] = True

    def _value(self, sums: Doubles, k: int, settings: Doubles) -> float:
        return math.sqrt(ratio(sums[1], sums[0]))


@dataclass(frozen=True)
class R2(Metric):
    """The coefficient of determination: ``1 - sum w (p - t)² / sum w (t - mean)²``.

    "r2" for `Trainer`; the mean of the outputs' figures. As scikit-learn's ``r2_score``: for an
    output whose targets are all the same, 1 if every one is met, else 0.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.R2()])
    >>> round(trainer.evaluate([1.0, 2.0, 3.0], [1.0, 2.0, 6.0])[fastbp.R2().name], 4)
    0.3571
    """

    name: ClassVar[str] = "r2"
    _kernel: ClassVar[jit.CFunc] = kernels.variances
    _rises: ClassVar[bool] = True
    _about_means: ClassVar[bool] = True

    def _sums(self, k: int) -> int:
        return 1 + 3 * k

    def _settings(self, activation: str, k: int) -> list[float]:
        return [0.0] * k

    def _value(self, sums: Doubles, k: int, settings: Doubles) -> float:
        if not sums[0]:
            return math.nan
        errors, first, second = sums[1:].reshape(k, 3).T
        spread = second - first**2 / sums[0]
        flat = spread <= 1e-14 * second
        scores = np.where(flat, errors == 0, 1 - errors / np.where(flat, 1, spread))
        return float(scores.mean())


#: what is taken for a metric
MetricLike = MetricName | MetricAlias | Metric

METRICS: dict[str, Metric] = {
    "accuracy": Accuracy(),
    "top_k": TopK(),
    "mae": MeanAbsoluteError(),
    "rmse": RootMeanSquaredError(),
    "r2": R2(),
    "f1": F1(),
    "precision": Precision(),
    "recall": Recall(),
    "balanced_accuracy": BalancedAccuracy(),
    "auc": AUC(),
    "average_precision": AveragePrecision(),
}


def resolve(metrics: object, k: int) -> tuple[Metric, ...]:
    """The metrics given by name or object, for a network of k outputs; no two of one name."""
    if isinstance(metrics, (str, Metric)) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a list of names or fastbp metrics, got {metrics!r}")
    found: dict[str, Metric] = {}
    for metric in metrics:
        one: Any = (
            METRICS[METRIC_NAMES.find("metrics", metric)] if isinstance(metric, str) else metric
        )
        if not isinstance(one, Metric) or not hasattr(one, "_kernel"):  # or a class of one's own
            raise TypeError(
                "metrics must hold names or fastbp metrics, or fastbp.CustomMetric(f, name) for a "
                f"function of your own, got {metric!r}"
            )
        one._check(k)
        if one.name in found:
            raise ValueError(f"metrics holds {one.name!r} twice")
        found[one.name] = one
    return tuple(found.values())


def rises(figure: str) -> bool:
    """Whether a figure of that name is the better the larger it is, as an accuracy is.

    By the end of the name, which is a metric's: "accuracy", "val_accuracy", "mine_accuracy". What a
    trainer has itself is told by its own metrics instead.
    """
    words = figure.split("_")
    for first in range(len(words)):  # the longest name counts
        name = "_".join(words[first:])
        metric = METRICS.get("top_k" if name.startswith("top_") else name)
        if metric is not None:
            return metric._rises
    return False
