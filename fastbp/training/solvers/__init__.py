"""Full-batch solvers: the driver of each kind in `fastbp.optimizers.solvers`."""

from __future__ import annotations

from fastbp.objectives.losses import Loss
from fastbp.optimizers import LBFGS, LevenbergMarquardt, Optimizer
from fastbp.training.engine import Engine
from fastbp.training.solvers.driver import Driver
from fastbp.training.solvers.lbfgs import LBFGSDriver
from fastbp.training.solvers.levenberg_marquardt import LevenbergMarquardtDriver

__all__ = ["Driver", "driver"]


def driver(optimizer: Optimizer, engine: Engine, loss: Loss) -> Driver | None:
    """What iterates for a solver; None for every other optimizer.

    Raises
    ------
    ValueError
        The solver is not for that loss, or not for so many parameters.
    """
    if isinstance(optimizer, LBFGS):
        return LBFGSDriver(engine, optimizer)
    if isinstance(optimizer, LevenbergMarquardt):
        return LevenbergMarquardtDriver(engine, optimizer, loss)
    return None
