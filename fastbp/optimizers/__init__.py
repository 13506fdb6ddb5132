"""Optimizers: what a person chooses. The arithmetic is in kernels/updates/."""

from __future__ import annotations

from fastbp.optimizers.adam import Adam, Adamax, AdamW, NAdam, RAdam
from fastbp.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from fastbp.optimizers.base import Optimizer
from fastbp.optimizers.descent import SGD, Lion, Rprop
from fastbp.optimizers.names import OPTIMIZER_NAMES, OptimizerAlias, OptimizerName
from fastbp.optimizers.solvers import LBFGS, LevenbergMarquardt, Solver

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "SOLVERS",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LevenbergMarquardt",
    "Lion",
    "NAdam",
    "Optimizer",
    "OptimizerLike",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Solver",
    "resolve",
]

#: what is taken for an optimizer
OptimizerLike = OptimizerName | OptimizerAlias | Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind
    for kind in (
        SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, NAdam, RAdam, Lion, Rprop, LBFGS,
    )
} | {"levenberg_marquardt": LevenbergMarquardt}  # fmt: skip

#: the names of those that take all samples at once
SOLVERS = [name for name, kind in OPTIMIZERS.items() if issubclass(kind, Solver)]


def resolve(optimizer: object) -> Optimizer:
    """The optimizer given by object or by name (with its defaults)."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return OPTIMIZERS[OPTIMIZER_NAMES.find("optimizer", optimizer)]()  # type: ignore[call-arg]
    raise TypeError(
        "optimizer must be a name or an optimizer such as fastbp.Adam(1e-3), "
        f"got {type(optimizer).__name__}"
    )
