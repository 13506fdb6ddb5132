"""What a training run leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

#: attributes of a `History` that are no lists
NOT_FIGURES = ("stopped", "network_epoch")


@dataclass
class History:
    """Figures of a `fit`, one entry an epoch.

    Attributes
    ----------
    epoch : list of int
        Numbers of the epochs, from 0, counted on over several calls of `fit`.
    loss : list of float
        Mean of the samples' errors over the epoch, each batch's before its update.
    val_loss : list of float
        Loss on the validation data after the epoch; empty without such data.
    samples_per_second : list of float
        Samples trained on a second, validation not included.
    stopped : str or None
        Why the `fit` ended before its last epoch: a callback, a solver or divergence.

    network_epoch : int or None
        The last epoch that the network's weights have been through as a whole when the `fit` ended:
        an earlier one than the last where the best weights were given back, or after divergence.

    Each metric has an attribute of its own beside these, and one with ``val_`` in front where there
    is validation data.
    """

    epoch: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    samples_per_second: list[float] = field(default_factory=list)
    stopped: str | None = None
    network_epoch: int | None = None

    def recording(self, epoch: int, rate: float, figures: dict[str, float]) -> Iterator[None]:
        """What appends an epoch's figures, each to the list of its name, as it is gone through."""
        entries = {"epoch": epoch, "samples_per_second": rate, **figures}
        lists = [self.__dict__.setdefault(name, []) for name in entries]
        return map(list.append, lists, entries.values())

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> list[float]: ...


def last_figures(history: History) -> dict[str, float]:
    """Those of the last epoch, but for its number and speed."""
    others = ("epoch", "samples_per_second", *NOT_FIGURES)
    lists = {name: values for name, values in vars(history).items() if name not in others}
    return {name: values[-1] for name, values in lists.items() if values}


@dataclass(frozen=True)
class Progress:
    """Where a `fit` stands: what its `progress` callable is handed.

    Attributes
    ----------
    epoch, epochs : int
        This call's epoch under way, from 0, and how many there are.
    samples, n_samples : int
        Samples seen in this epoch, and in a whole one.
    loss : float
        Running mean over this epoch.
    val_loss : float or None
        As of the last epoch's end.
    samples_per_second : float
        Of this epoch.
    seconds_left : float or None
        Until the last epoch's end, at this pace; None before the first figures.
    done_epoch : bool
        Whether this is an epoch's end.
    figures : dict of str to float
        Of the last finished epoch, by their names in `History`: losses, metrics, what callbacks
        add; empty before.
    """

    epoch: int
    epochs: int
    samples: int
    n_samples: int
    loss: float
    val_loss: float | None
    samples_per_second: float
    seconds_left: float | None
    done_epoch: bool
    figures: dict[str, float] = field(default_factory=dict, hash=False)
