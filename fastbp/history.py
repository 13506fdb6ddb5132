"""What a training run leaves behind."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

#: attributes of a `History` that are no lists
NOT_FIGURES = ("stopped", "network_epoch", "validation_sets")
_ALWAYS = ("epoch", "loss", "samples_per_second")  # are there before the first epoch, too
_SHOWN = 5  # epochs in a notebook, beside the best


@dataclass
class History:
    """Figures of a `fit`: lists of one entry an epoch each.

    Each metric has an attribute of its own beside these, and one with ``val_`` in front where there
    is validation data, or the name of each of its sets, as ``test_loss``; so has each figure that a
    callback adds. An epoch without a figure, before its first or later, has NaN in its list.
    ``history["loss"]`` is ``history.loss``, and as for a dict of its lists there are `keys` and
    ``in``; a notebook shows the last epochs as a table.

    Attributes
    ----------
    epoch : list of int
        Numbers of the epochs, from 0, counted on over several calls of `fit`.
    loss : list of float
        Mean of the samples' errors over the epoch, each batch's before its update.
    val_loss : list of float
        Loss on the validation data after the epoch; empty without such data, or where it is sets of
        other names.
    samples_per_second : list of float
        Samples trained on a second, validation not included.
    stopped : str or None
        Why the `fit` ended before its last epoch: a callback, a solver or divergence.
    network_epoch : int or None
        The last epoch that the network's weights have been through as a whole when the `fit` ended:
        an earlier one than the last where the best weights were given back, or after divergence.
        None before there is one, and where a callback has set others after the best came back.
    validation_sets : tuple of str
        The names of the sets of validation data, in order: "val" for one that was given without.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    >>> trainer = fastbp.Trainer(net, "mse", metrics=["mae"], seed=0)
    >>> history = trainer.fit(np.eye(2), [0.0, 1.0], epochs=3)
    >>> history.epoch, len(history.loss), len(history.mae)
    ([0, 1, 2], 3, 3)
    >>> history["mae"] == history.mae, "val_mae" in history
    (True, False)
    """

    epoch: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    samples_per_second: list[float] = field(default_factory=list)
    stopped: str | None = None
    network_epoch: int | None = None
    validation_sets: tuple[str, ...] = ()

    def recording(self, epoch: int, rate: float, figures: dict[str, float]) -> Iterator[None]:
        """An iterator that appends an epoch's figures, each to the list of its name, step by step.

        For the `fit` itself. What is no figure is left out.

        Parameters
        ----------
        epoch : int
            The epoch's number.
        rate : float
            Its samples a second.
        figures : dict of str to float
            Its figures by name.

        Returns
        -------
        iterator of None
            Each step appends one figure.
        """
        entries: dict[str, float] = {"epoch": epoch, "samples_per_second": rate}
        entries |= {n: float(v) for n, v in figures.items() if figure_fault(n, v) is None}
        lists, done = self.__dict__, len(self.epoch)
        for name in entries:
            column = lists.get(name)
            if column is None:
                column = lists[name] = [math.nan] * done
            if len(column) < done:  # validation that began late, or a list of an older fastbp's
                column[:0] = [math.nan] * (done - len(column))
        columns, values = [], []
        for name, column in lists.items():
            # without validation data `val_loss` stays empty
            if column.__class__ is list and (column or name in entries):
                columns.append(column)
                values.append(entries.get(name, math.nan))
        return map(list.append, columns, values)

    def columns(self, figures: dict[str, float]) -> list[list[float]]:
        """The lists of an epoch's number, its speed and these figures; none if there are others.

        For the `fit` itself.

        Parameters
        ----------
        figures : dict of str to float
            An epoch's, by name.

        Returns
        -------
        list of list
            Empty where there are others.
        """
        lists = self.__dict__
        columns = [lists[name] for name in ("epoch", "samples_per_second", *figures)]
        filled = sum(values.__class__ is list and bool(values) for values in lists.values())
        return columns if filled == len(columns) else []

    # -- as a dict of its lists ------------------------------------------------------------------

    def keys(self) -> list[str]:
        """The names of its lists; "val_loss" where there was validation data.

        Returns
        -------
        list of str
            "epoch" first, then "loss".

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> trainer = fastbp.Trainer(fastbp.Network(2, [fastbp.Dense(1)], seed=0), "mse", seed=0)
        >>> trainer.fit(np.eye(2), [0.0, 1.0]).keys()
        ['epoch', 'loss', 'samples_per_second']
        """
        lists = self.__dict__.items()
        return [n for n, v in lists if v.__class__ is list and (v or n in _ALWAYS)]

    def __getitem__(self, name: str) -> list[Any]:
        if name in self:
            found: list[Any] = self.__dict__[name]
            return found
        raise KeyError(f"history has {', '.join(self.keys())}, and no {name!r}")

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def to_dict(self) -> dict[str, list[Any]]:
        """All lists by their names, copied, for a data frame or a file.

        Returns
        -------
        dict of str to list
            As `keys`; all of one length, a value an epoch.

        Examples
        --------
        >>> import json, numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> history = fastbp.Trainer(net, "mse", seed=0).fit(np.eye(2), [0.0, 1.0], epochs=3)
        >>> json.loads(json.dumps(history.to_dict()))["loss"] == history.loss
        True
        """
        n = len(self.epoch)
        found = {name: list(self.__dict__[name]) for name in self.keys()}
        # what is shorter, of an older fastbp's history, belongs to the last epochs
        return {name: [math.nan] * (n - len(values)) + values for name, values in found.items()}

    def _repr_html_(self) -> str:
        """For notebooks: the last epochs, and the one with the lowest loss."""
        from fastbp.display import table

        lists = self.to_dict()
        firsts = [f"{name}_loss" for name in (*self.validation_sets[:1], "val")]
        watched = next((name for name in firsts if name in lists), "loss")
        figures = [(v, i) for i, v in enumerate(lists[watched]) if not math.isnan(v)]
        caption = f"History: {len(self.epoch)} epoch{'' if len(self.epoch) == 1 else 's'}"
        shown = set(range(len(self.epoch))[-_SHOWN:])
        best = min(figures)[1] if figures else None
        if best is not None:
            shown.add(best)
            caption += f", lowest {watched} {lists[watched][best]:.6g} at epoch {self.epoch[best]}"
        if self.stopped is not None:
            caption += f"; stopped: {self.stopped}"
        rows = [[_text(name, lists[name][i]) for name in lists] for i in sorted(shown)]
        strong = [row for row, i in enumerate(sorted(shown)) if i == best]
        return table(caption, list(lists), rows, strong=strong, numbers=range(len(lists)))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> list[float]: ...


def _text(name: str, value: Any) -> str:
    """A figure as a table has it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if name == "samples_per_second" else f"{value:.6g}"
    return str(value)


def check_figures(figures: dict[str, Any], callback: object) -> None:
    """Raise for figures that a callback has added to an epoch's and that `History` can't hold.

    What is refused is taken out, so that the figures that are left can be recorded.

    Parameters
    ----------
    figures : dict
        By name, as `Callback.on_epoch_end` is handed them.
    callback : Callback
        The one that was called last.

    Raises
    ------
    TypeError
        A name is not a string, or a value not a number.
    ValueError
        A name is one of `History`'s own, or a value is beyond float64.
    """
    faults = [(n, fault) for n, v in figures.items() if (fault := figure_fault(n, v)) is not None]
    for name, _ in faults:
        del figures[name]
    for name, (error, takes) in faults:
        raise error(f"{type(callback).__name__} has added the figure {name!r}: {takes}")


def check_lists(lists: dict[str, Any]) -> None:
    """Raise ValueError unless these are the lists of a `History`, as a checkpoint holds them."""
    if not {"epoch", "samples_per_second"} <= set(lists):
        raise ValueError("its history must have the lists epoch and samples_per_second")
    for name, values in lists.items():
        if name not in ("epoch", "samples_per_second") and figure_fault(name, 0.0) is not None:
            raise ValueError(f"its history can't have a figure of the name {name!r}")
        if len(values) > len(lists["epoch"]):
            raise ValueError(f"its history's {name} is longer than its epochs are")


def figure_fault(name: object, value: object) -> tuple[type[Exception], str] | None:
    """What is wrong with a figure: the error and what is taken; None where nothing is."""
    if not isinstance(name, str):
        return TypeError, f"figures must have strings for names, got {type(name).__name__}"
    if name in _RESERVED or not name or (name.startswith("__") and name.endswith("__")):
        return ValueError, "that name is History's own, and a figure needs one that is free"
    if type(value) is float:
        return None
    scalar = getattr(value, "shape", None) == () and getattr(value, "dtype", None) is not None
    if scalar and getattr(getattr(value, "dtype", None), "kind", "") in ("b", "i", "u", "f"):
        return None
    if not isinstance(value, numbers.Real):
        text = repr(value)
        shown = text if len(text) <= 60 else text[:57] + "..."
        return TypeError, f"figures must be numbers, got {shown} of type {type(value).__name__}"
    try:
        float(value)
    except OverflowError:
        return ValueError, "figures must fit float64, and this one is beyond"
    return None


_RESERVED = {*dir(History), *(f.name for f in fields(History))} - {"loss", "val_loss"}


def last_figures(history: History) -> dict[str, float]:
    """The figures of the last epoch of a `History`, without its number and its speed."""
    others = ("epoch", "samples_per_second", *NOT_FIGURES)
    lists = {name: values for name, values in vars(history).items() if name not in others}
    return {name: values[-1] for name, values in lists.items() if values}


def arrays_of(history: History) -> dict[str, NDArray[np.float64]]:
    """Return all lists of a `History` as a checkpoint has them."""
    lists = {name: v for name, v in vars(history).items() if name not in NOT_FIGURES}
    return {name: np.array(values, np.float64) for name, values in lists.items()}


def fill(
    history: History, arrays: dict[str, NDArray[np.float64]], order: Sequence[str] = ()
) -> None:
    """Give a `History` the lists that `arrays_of` has given; those named in `order` come first.

    A file has them by the alphabet.
    """
    for name in dict.fromkeys([*(name for name in order if name in arrays), *arrays]):
        values = arrays[name]
        kind = int if name == "epoch" else float
        vars(history)[name] = [kind(value) for value in values]


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
        As of the last epoch's end; of the first set of validation data.
    samples_per_second : float
        Of this epoch.
    seconds_left : float or None
        Until the last epoch's end, at this pace; None before the first figures.
    done_epoch : bool
        Whether this is an epoch's end.
    figures : dict of str to float
        Of the last finished epoch, by their names in `History`: losses, metrics, what callbacks
        add; empty before.
    val_name : str
        What `val_loss` is called in `History`: "val_loss", or that of the first of several sets.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    >>> seen = []
    >>> trainer = fastbp.Trainer(net, "mse", seed=0)
    >>> history = trainer.fit(np.eye(2), [0.0, 1.0], epochs=3, progress=seen.append)
    >>> [progress.epoch for progress in seen if progress.done_epoch]
    [0, 1, 2]
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
    val_name: str = "val_loss"
