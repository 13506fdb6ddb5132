"""Full-batch solvers: the driver of each kind in `fastbp.optimizers.solvers`."""

from __future__ import annotations

from fastbp.engine import Engine
from fastbp.losses import Loss
from fastbp.optimizers import LBFGS, LevenbergMarquardt, Optimizer
from fastbp.solvers.driver import STOPPED, Driver
from fastbp.solvers.lbfgs import LBFGSDriver
from fastbp.solvers.levenberg_marquardt import LevenbergMarquardtDriver

__all__ = ["STOPPED", "Driver", "driver"]


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
