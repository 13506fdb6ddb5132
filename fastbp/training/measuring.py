"""A trainer's metrics: buffers for their sums, which kernels fill, and their figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.callbacks.monitor import Figures
from fastbp.data.inputs import Samples
from fastbp.data.values import CHUNK
from fastbp.data.weighing import of_rows
from fastbp.kernels import layout as lay
from fastbp.layers.activations import name_of
from fastbp.layers.thresholds import Thresholds
from fastbp.objectives.custom_metric import CustomMetric
from fastbp.objectives.metric import Metric
from fastbp.runtime.memory import Int64s, Records, aligned_zeros
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.parts import Measurement

#: figures by name; or, where they are told by a person's own function, what calls it
Taken = dict[str, float | Callable[[], float]]


class Measuring:
    """The metrics of one program.

    Parameters
    ----------
    parameters : Parameters
        Of the network whose outputs are measured.
    metrics : sequence of Metric
        What is taken.
    """

    def __init__(self, parameters: Parameters, metrics: tuple[Metric, ...]) -> None:
        self._metrics, self._k = metrics, parameters.n_outputs
        self._parameters, self._dtype = parameters, parameters.dtype
        self._activation = name = name_of(parameters.layers[-1].activation)
        sizes = [metric._sums(self._k) for metric in metrics]
        self._offsets = [0, *np.cumsum(sizes).tolist()]
        self.sums = aligned_zeros(self._offsets[-1], np.float64)
        self._settings = [
            np.array(metric._settings(name, self._k), np.float64) for metric in metrics
        ]
        # Those that are cut where the network says.
        cut = [i for i, metric in enumerate(metrics) if metric._of_classes and self._k == 1]
        self._thresholds: Thresholds | None = None  # that these have been told of
        self._cut = [i for i in cut if not metrics[i]._whole]
        if metrics:
            self._describe()

    def _describe(self) -> None:
        """Make the records that kernels read."""
        size = lay.MEASURES.size + lay.METRIC.size * len(self._metrics)
        self._table: Int64s = aligned_zeros(size, np.int64)
        head, rest = self._table[: lay.MEASURES.size], self._table[lay.MEASURES.size :]
        head.view(lay.MEASURES.dtype)[0] = self._offsets[-1], len(self._metrics)
        self._taken: Records = rest.view(lay.METRIC.dtype)
        for i, metric in enumerate(self._metrics):
            taken, settings = self._taken[i], self._settings[i]
            taken["call_metric"] = metric._kernel.address(self._dtype)
            taken["sums"], taken["settings"] = self._offsets[i], settings.ctypes.data

    @property
    def measurement(self) -> Measurement | None:
        """What a program is given of it; None where there are no metrics."""
        return Measurement(self._table, self.sums) if self._metrics else None

    def begin(self, samples: Samples) -> None:
        """Clear all sums; what follows are these samples."""
        self.sums[:] = 0.0
        if self._cut and self._thresholds is not self._parameters.thresholds:
            self._thresholds = self._parameters.thresholds
            cuts = self._thresholds.found(self._activation)
            for i in self._cut:
                self._settings[i][1:] = cuts
        for i, metric in enumerate(self._metrics):
            if metric._about_means:
                self._settings[i][:] = _means(samples, self._k, self._dtype)
            if metric._whole:
                self._settings[i] = np.zeros(samples[0].n * metric._width(self._k))
                self._taken["settings"][i] = self._settings[i].ctypes.data

    def figures(self, samples: Samples | None = None) -> Taken:
        """Each metric's value over what has been seen since `begin`.

        Those of a person's own are left to be called, with the outputs of these samples: nothing
        here is in use then.
        """
        found: Taken = {}
        for i, metric in enumerate(self._metrics):
            if metric._whole:
                rows: Any = self._settings[i].reshape(-1, metric._width(self._k))
                self._settings[i] = np.zeros(0)  # the rows are let go
                if isinstance(metric, CustomMetric):
                    assert samples is not None
                    found[metric.name] = partial(metric._taken, rows, samples, self._dtype)
                    continue
                if not rows[:, 0].all():
                    rows = rows[rows[:, 0] > 0]
                cut = self._parameters.thresholds.targets
                if metric._of_classes and self._k == 1 and cut is not None:
                    rows[:, 2] = rows[:, 2] > cut
                found[metric.name] = metric._of_rows(rows, self._k)  # type: ignore[attr-defined]
            else:
                sums = self.sums[self._offsets[i] : self._offsets[i + 1]]
                found[metric.name] = metric._value(sums, self._k, self._settings[i])
        return found


def completed(taken: Taken) -> dict[str, float]:
    """Return all figures; functions of a person's own are called now, in order."""
    for value in taken.values():
        if value.__class__ is not float:
            return {n: v if isinstance(v, float) else v() for n, v in taken.items()}
    return taken  # type: ignore[return-value]


class Held(NamedTuple):
    """The samples that a fit doesn't train on, and by which it is measured after each epoch.

    Attributes
    ----------
    sets : dict of str to Samples
        By name, in order; none where nothing is held out.
    figures : Figures
        The names of all of the fit's own figures, those of training included.
    """

    sets: dict[str, Samples]
    figures: Figures


def _means(samples: Samples, k: int, dtype: str) -> NDArray[np.float64]:
    """Each output's mean target, to some digits: the kernel's sums are of differences from it.

    Sums of squares about the mean don't cancel, wherever the targets lie; about any one of them
    they do, where that one lies far from the others. Rows of weight 0, whose targets may be
    anything, don't count. The mean is that of differences from a row, so that it is exact where
    all targets are the same.
    """
    x, y, weights = samples
    if y.class_ids:
        return np.zeros(k)
    by = 1.0 if weights is None else of_rows(weights).by  # so that no sum overflows
    first: NDArray[np.float64] | None = None
    total, sums = 0.0, np.zeros(k)
    rows = max(1, CHUNK // k)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, x.n, rows):
            part = slice(start, min(start + rows, x.n))
            block = np.asarray(y.array[part], dtype).astype(np.float64).reshape(-1, k)
            w = None if weights is None else np.asarray(weights.array[part], dtype)
            if w is not None:
                block, w = block[w > 0], w[w > 0].astype(np.float64) * by
            if not len(block):
                continue
            if first is None:
                first = block[0].copy()
            block -= first
            total += len(block) if w is None else float(w.sum())
            sums += block.sum(axis=0) if w is None else w @ block
        means = np.zeros(k) if first is None else first + sums / total
    return np.where(np.isfinite(means), means, 0.0)


def mean_loss(results: Any) -> float:
    """Return the mean loss of what results are of (kernels/layout.py); NaN before any."""
    weight: float = results[lay.R_WEIGHT]
    return results[lay.R_ERROR] / weight if weight > 0.0 else math.nan
