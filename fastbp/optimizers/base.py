"""What every optimizer has."""

from __future__ import annotations

from fastbp.checks import real
from fastbp.kernels.updates.hyper import UpdateKernel
from fastbp.kernels.updates.updates import UPDATES
from fastbp.optimizers.fields import check_fields
from fastbp.optimizers.schedules import Schedule
from fastbp.values import dataclass


@dataclass(frozen=True)
class Optimizer:
    """A learning rate, a number or a schedule, and the kernel that the settings select.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.Adam(1e-2), fastbp.Optimizer)
    True
    """

    learning_rate: float | Schedule

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            real("learning_rate", self.learning_rate, low=0.0)
        check_fields(self)
        self._check()

    def _check(self) -> None:
        """Raise for settings that don't go together."""

    def _kernel(self) -> str:
        """The kernel's name in the table of updates."""
        raise NotImplementedError

    def _constants(self) -> tuple[float, ...]:
        """What the kernel says that it is given, in its order."""
        found: list[float] = []
        for name in self._update().constants:
            value = getattr(self, name)
            found += value if isinstance(value, (tuple, list)) else [value]
        return tuple(found)

    def _starts(self) -> tuple[float, ...]:
        """What the slots hold before the first step; 0 where there are fewer numbers than slots."""
        return ()

    @property
    def _first_rate(self) -> float:
        rate = self.learning_rate
        return float(rate.rates(0)) if isinstance(rate, Schedule) else rate

    def _update(self) -> UpdateKernel:
        return UPDATES[self._kernel()]
