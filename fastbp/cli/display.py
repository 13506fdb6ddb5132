"""What the person at the terminal sees: the progress of a training, tables, plain lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from fastbp.history import Progress as State
from fastbp.tabular.files import write_csv
from fastbp.training.progress import clock, short


def plain(text: str) -> str:
    """`text` with what would not be shown, or steers a terminal, written as `repr` does.

    Names and labels come from files that anybody may have made: line breaks, escapes, and marks
    that turn the direction of writing would be obeyed.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(line: str = "") -> None:
    """Print a line of results, never wrapped."""
    print(plain(line))


def say_lines(text: str) -> None:
    """Print several lines of results, never wrapped."""
    for line in text.split("\n"):
        say(line)


def note(line: str) -> None:
    """Print a line that is about the results to stderr."""
    print(plain(line), file=sys.stderr)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a title, never wrapped, and a table."""
    say(title)
    shown = Table()
    for name in header:
        shown.add_column(plain(name), overflow="fold")
    for row in rows:
        shown.add_row(*map(plain, row))
    # the user's words are no markup
    Console(markup=False, highlight=False, emoji=False).print(shown)


def csv(table: Any) -> None:
    """Print a pyarrow table as CSV; a terminal is shown names and labels as `plain` has them."""
    write_csv(table, sys.stdout, plain if sys.stdout.isatty() else str)


@contextmanager
def progress() -> Iterator[Callable[[State], None]]:
    """What to hand to `Trainer.fit`: a bar on a terminal, else some ten lines in all."""
    console = Console()
    if not console.is_terminal:
        yield _line
        return
    columns = [
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}"),
    ]
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=None, epoch="0", figures="starting")

        def update(state: State) -> None:
            bar.update(
                task,
                total=state.epochs * state.n_samples,
                completed=state.epoch * state.n_samples + state.samples,
                epoch=f"{state.epoch + 1}/{state.epochs}",
                figures=_figures(state),
            )

        yield update


def _line(state: State) -> None:
    epoch = state.epoch + 1
    if state.done_epoch and (epoch == state.epochs or epoch % math.ceil(state.epochs / 10) == 0):
        print(f"epoch {epoch}/{state.epochs}  {_figures(state)}", flush=True)


def _figures(state: State) -> str:
    """The figures of a fit under way, short enough that a bar fits beside them in 80 columns."""
    figures = [f"loss {state.loss:.3g}"]
    if state.val_loss is not None:
        figures.append(f"val {state.val_loss:.3g}")
    figures.append(f"{short(state.samples_per_second)} samples/s")
    if state.seconds_left is not None:
        figures.append(f"{clock(state.seconds_left)} left")
    return "  ".join(figures)
