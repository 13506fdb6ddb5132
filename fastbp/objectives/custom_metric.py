"""Metrics of a person's own: Python functions of all targets and outputs at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import choice
from fastbp.data.inputs import Samples
from fastbp.history import figure_fault
from fastbp.kernels.compiling import jit
from fastbp.kernels.functions import metrics as kernels
from fastbp.objectives.metric import Metric


@dataclass(frozen=True, init=False, eq=False, repr=False)
class CustomMetric(Metric):
    """A figure by a Python function of all samples at once; of evaluations and validation data.

    It is taken in `Trainer.evaluate` and after each epoch of a `fit` for its validation data, but
    not of the training samples, as "auc" isn't: they are seen batch by batch. What it costs is what
    `f` takes.

    Parameters
    ----------
    f : callable
        ``f(y, outputs, sample_weight)`` gives a real number. `outputs` has the shape (n, n_outputs)
        and the network's dtype; so has `y`, or it is (n,) of int64 where class ids were given;
        `sample_weight` is (n,), or None where there are none. They are copies. Samples of weight 0
        are left out.
    name : str
        What the figure is called in `History` and `Trainer.evaluate`; with "val\\_" in front, or
        the name of another set, of validation data.
    mode : {"max", "min"}
        Whether it is the better the larger it is, or the smaller: for those who monitor it.

    Attributes
    ----------
    f : callable
        As given.
    mode : str
        As given.
    name : str
        As given.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, or `name` is one of `History`'s own or "loss". Later, from
        `Trainer.evaluate` and `Trainer.fit`: `f` has given something else than a real number.

    Notes
    -----
    What `f` raises comes out of `Trainer.evaluate` as it is, and ends a `fit` as an error of a
    callback does: `Trainer.save` then writes the run as it is before that epoch's validation, and
    ``fit(..., resume=...)`` goes on from there. Where `f` can be pickled, as a module's function
    can, so can a trainer with it; `Trainer.load` can't make one, ``fit(..., resume=...)`` can.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> def worst(y, outputs, sample_weight):
    ...     return np.abs(outputs - y).max()
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.0]], [0.0]])
    >>> metric = fastbp.CustomMetric(worst, "worst", mode="min")
    >>> fastbp.Trainer(net, "mse", metrics=[metric]).evaluate([1.0, 2.0], [1.0, 5.0])
    {'loss': 4.5, 'worst': 3.0}
    """

    f: Callable[..., Any]
    mode: str

    _kernel: ClassVar[jit.CFunc] = kernels.keep_outputs
    _whole: ClassVar[bool] = True

    def __init__(
        self, f: Callable[..., Any], name: str, mode: Literal["max", "min"] = "max"
    ) -> None:
        if not callable(f):
            raise TypeError(
                "f must be a function of y, outputs and sample_weight, "
                f"got {f!r} of type {type(f).__name__}"
            )
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r} of type {type(name).__name__}")
        if not name.strip():
            raise ValueError(f"name must be what the figure is called, got {name!r}")
        if name == "loss" or figure_fault(name, 0.0) is not None:
            raise ValueError(f"name must be none of History's own, nor 'loss', got {name!r}")
        # as `object.__setattr__` would, which `name`, a property, hasn't
        self.__dict__.update(f=f, name=name, mode=choice("mode", mode, ["max", "min"]))

    @property
    def name(self) -> str:
        return self.__dict__["name"]  # type: ignore[no-any-return]

    @property
    def _rises(self) -> bool:  # type: ignore[override]
        return self.mode == "max"

    def _sums(self, k: int) -> int:
        return 1

    def _width(self, k: int) -> int:
        return k

    def _taken(self, outputs: NDArray[np.float64], samples: Samples, dtype: str) -> float:
        """Call the function; the outputs are those of these samples, row by row."""
        x, y, weights = samples
        n, k = x.n, outputs.shape[1]
        rows: Any = slice(None)
        w: NDArray[Any] | None = None
        if weights is not None:
            w = np.array(weights.array[:n], dtype)
            rows = w > 0
            w = w[rows]
        if y.class_ids:
            t = np.array(y.array[:n], np.int64)
        else:
            t = np.array(y.array[:n], dtype).reshape(n, k)
        value = self.f(t[rows], outputs.astype(dtype)[rows], w)
        fault = figure_fault(self.name, value)
        if fault is not None:
            text = repr(value)
            shown = text if len(text) <= 60 else text[:57] + "..."
            raise fault[0](
                f"the metric {self.name!r} must give a real number that fits float64, "
                f"got {shown} of type {type(value).__name__}"
            )
        return float(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CustomMetric) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.f, self.name, self.mode))

    def __repr__(self) -> str:
        return f"CustomMetric({self.f!r}, {self.name!r}, mode={self.mode!r})"
