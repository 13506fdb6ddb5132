"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fastbp.history import History
from fastbp.plot import canvas


def learning_curves(
    history: History | Mapping[str, History],
    quantity: str = "loss",
    *,
    log: bool | None = None,
    ax: Axes | None = None,
) -> Any:
    """Draw a figure of training and validation over the epochs.

    Parameters
    ----------
    history : History or mapping of str to History
        What `Trainer.fit` returns, or several to compare, by their labels.
    quantity : str
        "loss", a metric such as "accuracy", "learning_rate" ...: a list of the history. Its
        figures of validation data (``val_...``, or of each set by its name) are drawn with it where
        there are any. One that training doesn't have, such as "auc", is drawn of these alone.
    log : bool or None
        Whether the y axis is logarithmic; None decides by the values.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        x is the number of finished epochs, from 1. Training figures are means over the epoch,
        validation figures are taken after it.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, or a history has no such figures.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    >>> history = fastbp.Trainer(net, "mse").fit(np.ones((8, 2)), np.ones(8), epochs=3)
    >>> ax = plot.learning_curves(history)
    >>> ax.lines[0].get_ydata().tolist() == history.loss
    True
    """
    canvas.check_axes(ax)
    if log is not None and not isinstance(log, bool):
        raise TypeError(f"log must be True, False or None, got {log!r}")
    if isinstance(history, History):
        histories = {"": history}
    elif isinstance(history, Mapping) and all(isinstance(h, History) for h in history.values()):
        histories = dict(history)
    else:
        raise TypeError(
            "history must be a fastbp.History or a mapping of labels to them, "
            f"got {type(history).__name__}"
        )
    curves = {label: _curves(one, quantity) for label, one in histories.items()}
    if not curves:
        raise ValueError("history must hold at least one fastbp.History, got an empty mapping")
    if log is None:
        log = _spread([values for drawn in curves.values() for _, values in drawn.values()])

    axes = canvas.axes(ax)
    # A set's line is the same for all histories.
    kinds = list(dict.fromkeys(kind for each in curves.values() for kind in each))
    for index, (label, drawn) in enumerate(curves.items()):
        for kind, (epochs, values) in drawn.items():
            if not values:
                continue
            which = kinds.index(kind)
            shade = canvas.colour(axes, index if label else which)
            name = f"{label}, {kind}" if label else kind
            # a dot where there are so few epochs that a line would hide them
            marker = "o" if len(values) <= 15 else None
            style = canvas.STYLES[which % len(canvas.STYLES)]
            axes.plot(epochs, values, style, color=shade, label=name, marker=marker, markersize=4)
    if log:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set(xlabel="epochs finished", ylabel=quantity.replace("_", " "))
    axes.grid(alpha=0.25)
    _legend(axes, list(curves), kinds)
    return axes


def _legend(axes: Any, labels: list[str], kinds: list[str]) -> None:
    """Add a legend: an entry for each history, and those that tell what dashed lines are."""
    if labels == [""]:
        axes.legend()
        return
    lines = {line.get_label(): line for line in axes.lines}
    handles = [
        next(lines[name] for kind in kinds if (name := f"{label}, {kind}") in lines)
        for label in labels
    ]
    fore = canvas.foreground(axes)
    for which, kind in enumerate(kinds):
        if which and any(f"{label}, {kind}" in lines for label in labels):
            style = canvas.STYLES[which % len(canvas.STYLES)]
            handles.append(Line2D([], [], color=fore, linestyle=style, label=kind))  # type: ignore[arg-type]
            labels = [*labels, kind]
    axes.legend(handles, labels)


def _curves(history: History, quantity: str) -> dict[str, tuple[list[int], list[float]]]:
    """Epochs and values of training, and of validation by what its sets are called."""
    lists = {name: values for name, values in vars(history).items() if isinstance(values, list)}
    known = [name for name, values in lists.items() if name != "epoch" and values]
    if not isinstance(quantity, str):
        raise TypeError(f"quantity must be a str, got {type(quantity).__name__}")
    sets = history.validation_sets or ("val",)
    kinds = {name: name for name in sets} if sets != ("val",) else {"val": "validation"}
    if "training" in kinds:
        kinds["training"] = "training, held out"
    of_set = next((name for name in sets if quantity.startswith(f"{name}_")), None)
    wanted = {quantity: "training" if of_set is None else kinds[of_set]}
    wanted |= {f"{name}_{quantity}": kinds[name] for name in sets}
    if not any(name in known for name in wanted):
        has = ", ".join(map(repr, known)) or "no epochs"
        raise ValueError(f"quantity must be one that history has ({has}), got {quantity!r}")
    finished = [epoch + 1 for epoch in history.epoch]
    curves = {}
    for name, kind in wanted.items():
        values = lists.get(name, [])
        if not values and kind in curves:
            continue
        # epochs without the figure are left out: the line goes on to the next that has it
        # (a list that is shorter, of an older fastbp's history, belongs to the last epochs)
        pairs = list(zip(finished[len(finished) - len(values) :], values, strict=True))
        there = [pair for pair in pairs if pair[1] == pair[1]] or pairs
        curves[kind] = [epoch for epoch, _ in there], [value for _, value in there]
    return curves


def _spread(curves: list[list[float]]) -> bool:
    values = np.array([value for curve in curves for value in curve], float)
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > canvas.LOG_RATIO * values.min())
