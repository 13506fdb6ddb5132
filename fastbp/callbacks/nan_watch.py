"""The warning that a monitored figure is NaN."""

from __future__ import annotations

from fastbp.checks import warn


class NaNWatch:
    """Warns, once, when a monitored figure has been NaN for a whole patience.

    A NaN is neither better nor worse than another figure, so whoever waits for a better one waits
    for ever, or ends a `fit` for no reason that the figures show. One watch is made for each `fit`.

    Parameters
    ----------
    who : str
        Who monitors, for the message.
    monitor : str
        The figure's name.
    patience : int or None
        Epochs in a row, at least 1; None is all epochs of the `fit`, see `end`.
    """

    def __init__(self, who: str, monitor: str, patience: int | None) -> None:
        self.who, self.monitor = who, monitor
        self.patience = None if patience is None else max(1, patience)
        self.nan = 0  # epochs in a row, up to the last
        self.seen = False  # a figure that is a number

    def see(self, figure: float) -> None:
        """Count the NaNs in a row, after an epoch with this figure."""
        if figure == figure:
            self.nan, self.seen = 0, True
            return
        self.nan += 1
        if self.nan == self.patience:
            self._warn(f"for {self.nan} epoch{'s' if self.nan > 1 else ''} in a row")
            self.patience = -1

    def end(self) -> None:
        """The `fit` has ended: warn where no epoch had a number and there is no patience."""
        if self.patience is None and self.nan and not self.seen:
            self._warn("in every epoch")

    def _warn(self, how_long: str) -> None:
        warn(
            f"{self.monitor} has been NaN {how_long}, and {self.who} can't tell whether it becomes "
            "better: monitor another figure, or see that the data it is taken from has what it "
            "takes (for auc, samples both in a class and out of it)",
            RuntimeWarning,
        )
