"""What every optimizer has."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.checks import real
from fastbp.kernels.updates.hyper import UpdateKernel
from fastbp.kernels.updates.updates import UPDATES
from fastbp.optimizers.schedules import Schedule


@dataclass(frozen=True)
class Optimizer:
    """A learning rate, a number or a schedule, and the kernel that the settings select."""

    learning_rate: float | Schedule

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            real("learning_rate", self.learning_rate, low=0.0)
        self._check()

    def _check(self) -> None:
        """Raise for a setting that is out of its range."""

    def _kernel(self) -> str:
        """The kernel's name in the table of updates."""
        raise NotImplementedError

    def _constants(self) -> tuple[float, ...]:
        """The kernel's own constants, in its order."""
        raise NotImplementedError

    def _starts(self) -> tuple[float, ...]:
        """What the slots hold before the first step; 0 where there are fewer numbers than slots."""
        return ()

    @property
    def _first_rate(self) -> float:
        rate = self.learning_rate
        return float(rate.rates(0)) if isinstance(rate, Schedule) else rate

    def _update(self) -> UpdateKernel:
        return UPDATES[self._kernel()]

    def _fraction(self, *names: str) -> None:
        """Raise unless these settings are in [0, 1)."""
        for name in names:
            real(name, getattr(self, name), low=0.0, high=1.0, high_open=True)

    def _at_least_0(self, *names: str) -> None:
        for name in names:
            real(name, getattr(self, name), low=0.0)

    def _above_0(self, *names: str) -> None:
        for name in names:
            real(name, getattr(self, name), low=0.0, low_open=True)

    def _truth(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"{name} must be True or False, got {value!r}")
