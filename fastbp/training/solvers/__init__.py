"""Full-batch solvers: the driver of each kind in `fastbp.optimizers.solvers`."""

from __future__ import annotations

from fastbp.optimizers import LBFGS, LevenbergMarquardt
from fastbp.training.engine import Engine
from fastbp.training.settings import Settings
from fastbp.training.solvers.driver import Driver
from fastbp.training.solvers.lbfgs import LBFGSDriver
from fastbp.training.solvers.levenberg_marquardt import LevenbergMarquardtDriver

__all__ = ["Driver", "driver"]


def driver(settings: Settings, engine: Engine) -> Driver | None:
    """Return what iterates for a solver; None for every other optimizer.

    Raises
    ------
    ValueError
        The solver is not for that loss, or not for so many parameters.
    """
    optimizer = settings.optimizer
    if isinstance(optimizer, LBFGS):
        return LBFGSDriver(engine, optimizer)
    if isinstance(optimizer, LevenbergMarquardt):
        return LevenbergMarquardtDriver(engine, optimizer, settings.loss)
    return None
