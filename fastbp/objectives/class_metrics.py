"""Metrics of classes and labels: shares of what is told right, and areas under curves."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import integer
from fastbp.kernels.compiling import jit
from fastbp.kernels.functions import metrics as kernels
from fastbp.layers.thresholds import usual_threshold
from fastbp.objectives.metric import Doubles, Metric, ratio
from fastbp.values import dataclass


def _macro(parts: Doubles, wholes: Doubles, counted: NDArray[np.bool_]) -> float:
    """The mean of ``part / whole`` over the classes that are counted; 0 where a whole is 0."""
    if not counted.any():
        return 0.0
    parts, wholes = parts[counted], wholes[counted]
    return float(np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0).mean())


def _classes(activation: str, k: int) -> list[float]:
    """How classes are told from outputs (kernels/functions/metrics.py), as by `predict_classes`.

    Several sigmoid outputs are labels of which any may be there. The cuts of outputs and targets
    come last: a network of one output may have others (`Metric._of_classes`).
    """
    if k > 1 and activation != "sigmoid":
        return [kernels.TOP_OUTPUT, 0.0, 0.0]
    cut = usual_threshold(activation)
    return [kernels.EACH_OUTPUT, cut, cut]


@dataclass(frozen=True)
class Accuracy(Metric):
    """The share of samples whose class is right; with several sigmoid outputs, of labels.

    "accuracy" for `Trainer`. The class is that of the largest output; of a single output it is 1
    above the middle of the two values that the targets had in `Trainer.fit`
    (`Network.class_threshold`). Where there is none, it is 1 above 0.5, or above 0 where the
    activation is linear or tanh. Targets are cut in the same way.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.Accuracy()])
    >>> round(trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [0, 1, 1, 1])[fastbp.Accuracy().name], 4)
    0.75
    """

    name: ClassVar[str] = "accuracy"
    _kernel: ClassVar[jit.CFunc] = kernels.accuracy
    _of_classes: ClassVar[bool] = True
    _rises: ClassVar[bool] = True
    _positive: ClassVar[bool] = True

    def _settings(self, activation: str, k: int) -> list[float]:
        return _classes(activation, k)


@dataclass(frozen=True)
class TopK(Metric):
    """The share of samples whose class is among the k largest outputs.

    "top_k" for `Trainer`, which is of 5; in `History` and `Trainer.evaluate` it is "top_5", or as k
    is.

    Parameters
    ----------
    k : int
        At least 1, at most the number of outputs.

    Attributes
    ----------
    name : str
        "top_5", or as `k` is.

    Raises
    ------
    TypeError, ValueError
        `k` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.TopK(3).name
    'top_3'
    """

    _kernel: ClassVar[jit.CFunc] = kernels.top_k
    _rises: ClassVar[bool] = True
    _positive: ClassVar[bool] = True
    k: int = 5

    def __post_init__(self) -> None:
        integer("k", self.k, minimum=1)

    @property
    def name(self) -> str:
        return f"top_{self.k}"

    def _check(self, k: int) -> None:
        if not self.k <= k or k == 1:
            raise ValueError(
                f"metric {self.name!r} takes a network with at least {max(self.k, 2)} outputs, "
                f"got {k}"
            )

    def _settings(self, activation: str, k: int) -> list[float]:
        return [float(self.k)]


class _OfConfusions(Metric):
    """What is told by the weights of samples that have a class, are given it, or both.

    The classes that occur count, among the targets or among what is given; of labels, which any
    may be there, all.
    """

    _kernel: ClassVar[jit.CFunc] = kernels.confusions
    _of_classes: ClassVar[bool] = True
    _rises: ClassVar[bool] = True
    _positive: ClassVar[bool] = True

    def _sums(self, k: int) -> int:
        return 1 + 3 * k

    def _settings(self, activation: str, k: int) -> list[float]:
        return _classes(activation, k)

    def _value(self, sums: Doubles, k: int, settings: Doubles) -> float:
        if not sums[0]:
            return math.nan
        both, given, wanted = sums[1:].reshape(k, 3).T
        counted = given + wanted > 0
        if settings[0] == kernels.EACH_OUTPUT:
            counted[:] = True
        return _macro(*self._shares(both, given, wanted), counted)

    def _shares(self, both: Doubles, given: Doubles, wanted: Doubles) -> tuple[Doubles, Doubles]:
        """Of each class, the two numbers whose ratio the figure is."""
        raise NotImplementedError


@dataclass(frozen=True)
class F1(_OfConfusions):
    """The harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)`` (van Rijsbergen 1979).

    "f1" for `Trainer`. Of class 1 for one output, which is cut as for `Accuracy`, else the mean of
    all classes that occur (macro), or of all labels for several sigmoid outputs. It is 0 for a
    label that never occurs.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.F1()])
    >>> round(trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [0, 1, 1, 1])[fastbp.F1().name], 4)
    0.8
    """

    name: ClassVar[str] = "f1"

    def _shares(self, both: Doubles, given: Doubles, wanted: Doubles) -> tuple[Doubles, Doubles]:
        return 2 * both, given + wanted


@dataclass(frozen=True)
class Precision(_OfConfusions):
    """The share of what is given a class that has it, ``tp / (tp + fp)``.

    "precision" for `Trainer`. Of class 1 for one output, which is cut as for `Accuracy`, else the
    mean of all classes that occur, among targets or outputs (macro), or of all labels for several
    sigmoid outputs. A class that nothing is given has 0, as with scikit-learn's
    ``zero_division=0``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.Precision()])
    >>> trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [0, 1, 1, 0])[fastbp.Precision().name]
    0.5
    """

    name: ClassVar[str] = "precision"

    def _shares(self, both: Doubles, given: Doubles, wanted: Doubles) -> tuple[Doubles, Doubles]:
        return both, given


@dataclass(frozen=True)
class Recall(_OfConfusions):
    """The share of what has a class that is given it, ``tp / (tp + fn)``.

    "recall" for `Trainer`. Of class 1 for one output, which is cut as for `Accuracy`, else the mean
    of all classes that occur, among targets or outputs (macro), or of all labels for several
    sigmoid outputs. A class that no target has is 0, as with scikit-learn's ``zero_division=0``;
    `BalancedAccuracy` leaves it out.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.Recall()])
    >>> trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [1, 1, 1, 1])[fastbp.Recall().name]
    0.5
    """

    name: ClassVar[str] = "recall"

    def _shares(self, both: Doubles, given: Doubles, wanted: Doubles) -> tuple[Doubles, Doubles]:
        return both, wanted


@dataclass(frozen=True)
class BalancedAccuracy(Metric):
    """The mean of the classes' recalls, whatever their shares (Brodersen et al. 2010).

    "balanced_accuracy" for `Trainer`. It goes over the classes that targets have; a single output
    tells two of them, and is cut as for `Accuracy`. For several sigmoid outputs it is the mean of
    the labels' figures, each of which is that of one output. Guessing has one over the number of
    classes.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.BalancedAccuracy()])
    >>> trainer.evaluate([-2.0, -1.0, -3.0, 2.0], [0, 0, 1, 1])[fastbp.BalancedAccuracy().name]
    0.75
    """

    name: ClassVar[str] = "balanced_accuracy"
    _kernel: ClassVar[jit.CFunc] = kernels.found
    _of_classes: ClassVar[bool] = True
    _rises: ClassVar[bool] = True
    _positive: ClassVar[bool] = True

    def _sums(self, k: int) -> int:
        return 1 + 4 * k

    def _settings(self, activation: str, k: int) -> list[float]:
        return _classes(activation, k)

    def _value(self, sums: Doubles, k: int, settings: Doubles) -> float:
        if not sums[0]:
            return math.nan
        found, there = sums[1:].reshape(k, 2, 2).transpose(2, 0, 1)
        if settings[0] == kernels.TOP_OUTPUT:
            return _macro(found[:, 0], there[:, 0], there[:, 0] > 0)
        labels = [_macro(*sides, sides[1] > 0) for sides in zip(found, there, strict=True)]
        return float(np.mean(labels))


class _UnderCurve(Metric):
    """The area under a curve of each class against the rest, over all thresholds of its output."""

    _kernel: ClassVar[jit.CFunc] = kernels.collect
    _of_classes: ClassVar[bool] = True
    _rises: ClassVar[bool] = True
    _whole: ClassVar[bool] = True

    def _sums(self, k: int) -> int:
        return 1

    def _of_rows(self, rows: Doubles, k: int) -> float:
        """The figure, from rows that each hold a weight, outputs and targets."""
        rows = rows[rows[:, 0] > 0]
        if not len(rows):
            return math.nan
        # by a power of 2, which changes no digit: products of small weights would be 0
        w = np.ldexp(rows[:, 0], -int(np.frexp(rows[:, 0].max())[1]))
        p, t = rows[:, 1 : 1 + k], rows[:, 1 + k :]
        if k > 1 and np.all(t.sum(axis=1) == 1):
            t = t == t.max(axis=1, keepdims=True)
        areas = [self._area(p[:, j], t[:, j] > 0.5, w) for j in range(k)]
        judged = [area for area in areas if not math.isnan(area)]
        return float(np.mean(judged)) if judged else math.nan

    def _area(self, score: Doubles, positive: NDArray[np.bool_], w: Doubles) -> float:
        """The area under a class's curve, by the samples' weights; NaN where there is none."""
        raise NotImplementedError


@dataclass(frozen=True)
class AUC(_UnderCurve):
    """The area under the ROC curve (Hanley & McNeil 1982).

    "auc" for `Trainer`. Of class 1 for one output, else the mean of each class against the rest. In
    `Trainer.evaluate` and for validation data only. A class counts where there are rows of weight
    above 0 both in it and out of it; NaN where there is no such class. For one output, targets are
    of class 1 above the middle of the two values that they had in `Trainer.fit`, else above 0.5.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[fastbp.AUC()])
    >>> round(trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [0, 1, 0, 1])[fastbp.AUC().name], 4)
    0.75
    """

    name: ClassVar[str] = "auc"

    def _area(self, score: Doubles, positive: NDArray[np.bool_], w: Doubles) -> float:
        # P(score of a positive > of a negative) + P(the same) / 2
        _, group = np.unique(score, return_inverse=True)
        of_positives = np.bincount(group, w * positive)
        of_negatives = np.bincount(group, w * ~positive)
        below = np.cumsum(of_negatives) - of_negatives
        pairs = of_positives.sum() * of_negatives.sum()
        return ratio(float(of_positives @ (below + of_negatives / 2)), float(pairs))


@dataclass(frozen=True)
class AveragePrecision(_UnderCurve):
    """The mean precision over all thresholds, by the recall that each adds (Zhu 2004).

    "average_precision" for `Trainer`: the area under the curve of precision over recall, as steps.
    Of class 1 for one output, else the mean of each class against the rest. In `Trainer.evaluate`
    and for validation data only. A class counts where there are rows of weight above 0 in it; NaN
    where there is no such class. Targets of one output are cut as for `AUC`.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> metric = fastbp.AveragePrecision()
    >>> trainer = fastbp.Trainer(net, "mse", metrics=[metric])
    >>> round(trainer.evaluate([-2.0, -1.0, 1.0, 2.0], [0, 1, 0, 1])[metric.name], 4)
    0.8333
    """

    name: ClassVar[str] = "average_precision"

    def _area(self, score: Doubles, positive: NDArray[np.bool_], w: Doubles) -> float:
        # Samples of equal scores are above the same thresholds.
        _, group = np.unique(score, return_inverse=True)
        of_positives = np.bincount(group, w * positive)[::-1]
        above = np.cumsum(np.bincount(group, w)[::-1])
        # 0 above the first threshold where its weights are too small beside the largest one
        precision = np.divide(
            np.cumsum(of_positives), above, out=np.zeros(len(above)), where=above > 0
        )
        return ratio(float(of_positives @ precision), float(of_positives.sum()))
