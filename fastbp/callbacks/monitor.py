"""The figure that somebody watches: which it is, which way it becomes better, whether it is there.

What figures a `fit` has is known before it begins, but for those that callbacks of a person's own
add as it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fastbp.checks import choice
from fastbp.objectives.metrics import rises

MODES = ("auto", "min", "max")


class Figures(tuple[str, ...]):
    """The names of the figures that a `fit` has of an epoch, for who is told of its end.

    Parameters
    ----------
    names : sequence of str
        All that are known before.
    rising : collection of str
        Which of them are the better the larger they are.
    first : str or None
        The loss on the first set of validation data, where there is one.
    more : bool
        Whether a callback that is told before may add others.

    Attributes
    ----------
    rising, first, more
        As given.
    """

    rising: frozenset[str]
    first: str | None
    more: bool

    def __new__(
        cls,
        names: Sequence[str],
        rising: Collection[str] = (),
        first: str | None = None,
        more: bool = False,
    ) -> Figures:
        made = super().__new__(cls, names)
        made.rising, made.first, made.more = frozenset(rising), first, more
        return made

    @classmethod
    def of(cls, names: Sequence[str]) -> Figures:
        """Return names as they are; of plain ones, what their words tell."""
        if isinstance(names, Figures):
            return names
        first = "val_loss" if "val_loss" in names else None
        return cls(names, [name for name in names if rises(name)], first)

    def beside(self, names: Sequence[str], more: bool) -> Figures:
        """Return these and those that a callback adds, who may add yet others."""
        return Figures([*self, *names], self.rising, self.first, self.more or more)


class Monitor:
    """The figure that a callback, or a schedule, watches.

    Parameters
    ----------
    who : str
        Who watches, for messages.
    monitor : str or None
        The figure's name; None is the loss on the first set of validation data.
    mode : {"auto", "min", "max"}
        Which way it becomes better; "auto" is as its metric says, or its name.
    without : str or None
        What None is where there is no validation data; if that is None too, it is an error.

    Attributes
    ----------
    name : str
        The figure's, as of the last `check`.
    rises : bool
        Whether it is the better the larger it is.
    seen : bool
        Whether the figure has been there in an epoch of the `fit`: it may be missing in later ones.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind.
    """

    def __init__(
        self, who: str, monitor: str | None, mode: str = "auto", without: str | None = None
    ) -> None:
        if not (monitor is None or isinstance(monitor, str)):
            raise TypeError(f"monitor must be a figure's name or None, got {monitor!r}")
        self._who, self._given, self._without = who, monitor, without
        self._mode = choice("mode", mode, MODES)
        self.name = monitor if monitor is not None else without or "val_loss"
        self.rises = self._mode == "max" if self._mode != "auto" else rises(self.name)
        self.seen = False

    def check(self, names: Sequence[str]) -> None:
        """Take note of a fit's figures; raise ValueError unless the figure is, or may be, there."""
        figures = Figures.of(names)
        name = self._given
        if name is None:
            name = figures.first or self._without or "val_loss"
        if name not in figures and (self._given is None or not figures.more):
            raise ValueError(
                f"monitor must be one of this fit's figures, {', '.join(map(repr, figures))}, "
                f"got {name!r}"
            )
        self.name, self.seen = name, False
        if self._mode != "auto":
            self.rises = self._mode == "max"
        else:
            self.rises = name in figures.rising if name in figures else rises(name)

    def figure(self, figures: Mapping[str, Any]) -> float | None:
        """Return the figure of an epoch; None where an earlier one has had it, and this one hasn't.

        Raises
        ------
        ValueError
            No epoch of the `fit` has had it.
        """
        value: float | None = figures.get(self.name)
        if value is None and not self.seen:
            raise ValueError(
                f"{self._who}'s monitor must be one of the epoch's figures, "
                f"{', '.join(map(repr, figures))}, got {self.name!r}, which no callback before it "
                "has added"
            )
        self.seen = True
        return value
