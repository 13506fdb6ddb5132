"""What a person sees of a `fit` under way: a bar, a line an epoch, or nothing."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Literal

from fastbp.history import Progress
from fastbp.kernels.compiling.notice import in_notebook, in_worker
from fastbp.runtime.forking import Watched, watch

Report = Callable[[Progress], object]
Choice = bool | Literal["lines"] | Report | None

_DELAY = 0.3  # a `fit` shorter than this shows no bar that nobody asked for
_INTERVAL = 0.2  # seconds between two drawings, each of which takes about 0.3 ms
_PATIENCE = 1.0  # seconds until a first `fit` that hasn't begun says that it will
_LEAST_BAR = 8  # columns; figures that leave less are left out
_WIDE = 100  # columns from which words are written out

# In a child of `os.fork` instead of tqdm's lock, which a thread of the parent may have held.
_forked: Any = None


def _renew_lock() -> None:
    global _forked
    _forked = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Watcher:
    """Hands each `Progress` to a function."""

    due = 0.0  #: by `time.perf_counter`; before that it need not be told

    def __init__(self, report: Report) -> None:
        self.report = report

    def begin(self) -> None:
        """Told that a `fit` is about to begin, which may have to compile first."""

    def __call__(self, progress: Progress) -> None:
        self.report(progress)

    def clear(self) -> None:
        """Take away what is drawn, so that somebody else can write a line."""

    def close(self, last: Progress | None) -> None:
        """Told that the `fit` has ended, in whatever way, at this progress (None before any)."""


class Bar(Watcher, Watched):
    """A bar by tqdm, imported only when there is something to show."""

    warm = False  #: whether a bar of this process has been told of progress: kernels are compiled

    def __init__(self, delay: float) -> None:
        self.started = time.perf_counter()
        self.due = self.started + delay
        self.first: tuple[float, float] | None = None
        self.bar: Any = None
        self.notebook = in_notebook()
        self.waiting: threading.Timer | None = None
        self.lock = threading.RLock()
        self.thread = threading.get_ident()  # in which the `fit` runs
        watch(self)

    def begin(self) -> None:
        self.thread = threading.get_ident()
        if not Bar.warm and not self.notebook:
            self.waiting = threading.Timer(_PATIENCE, self._tell_to_wait)
            self.waiting.daemon = True
            self.waiting.start()

    def _after_fork(self) -> None:
        """A child draws the bar of its own thread alone, and waits for none of its parent's."""
        self.lock = threading.RLock()
        if self.bar is not None:
            type(self.bar).set_lock(threading.RLock())
        if self.thread != threading.get_ident():
            if self.bar is not None:
                self.bar.disable = True  # tqdm would draw it once more when it goes
            self.bar, self.due = None, math.inf

    def _tell_to_wait(self) -> None:
        with self.lock:
            if self.first is None and self.due < math.inf:
                self._draw("starting: what is not in the cache is compiled |{bar}|", 0.0, 1)

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        self.due, Bar.warm = now + _INTERVAL, True
        place = progress.epoch + progress.samples / progress.n_samples
        if self.first is None:
            self.first = now, place
        since, before = self.first
        when = ""
        if place > before:  # by the clock, not `seconds_left`: validation and callbacks take time
            left = (now - since) / (place - before) * (progress.epochs - place)
            when = f"{clock(left)} left"
        self._show(progress, place, when)

    def clear(self) -> None:
        if self.bar is not None and not self.notebook:
            with self.bar.get_lock():
                self.bar.clear(nolock=True)
            self.due = 0.0

    def close(self, last: Progress | None) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
        with self.lock:
            if last is not None and (self.bar is not None or time.perf_counter() >= self.due):
                took = time.perf_counter() - self.started
                place = last.epoch + last.samples / last.n_samples
                when = f"{took:.1f} s" if took < 10 else clock(took)
                self._show(last, place, f"took {when}")
            if self.bar is not None:
                below = not (self.notebook or self.bar.disable) and self.bar.pos != 0
                if self.notebook and sys.exc_info()[0] is None:
                    self.bar.total = self.bar.n  # an early stop is no failure, to be painted red
                self.bar.close()
                if below:  # another bar, which was wiped: tqdm leaves the cursor at the line's end
                    self.bar.fp.write("\r")
            self.bar, self.due = None, math.inf

    def _show(self, progress: Progress, place: float, when: str) -> None:
        width = 200 if self.notebook else columns(sys.stderr)
        self._draw(bar_format(progress, when, width), place, progress.epochs)

    def _draw(self, form: str, place: float, total: int) -> None:
        width = None if self.notebook else columns(sys.stderr)
        with self.lock:
            if self.bar is not None:
                self.bar.n, self.bar.total, self.bar.bar_format = place, total, form
                self.bar.ncols = width
                # refresh() would keep the lock for ever where an interrupt comes into it
                with self.bar.get_lock():
                    self.bar.refresh(nolock=True)
            elif (tqdm := bars(self.notebook)) is not None:
                self.bar = tqdm(
                    total=total, initial=place, bar_format=form, ncols=width, file=sys.stderr,
                    leave=None,
                )  # fmt: skip
            else:
                self.due = math.inf


def lines(progress: Progress) -> None:
    """Write an epoch's figures to stderr at its end."""
    if progress.done_epoch and sys.stderr is not None:
        figures = "".join(f"  {name} {value:.6g}" for name, value in progress.figures.items())
        with suppress(OSError):  # a terminal that is gone is no reason to stop
            sys.stderr.write(
                f"epoch {progress.epoch + 1}/{progress.epochs}{figures}"
                f"  {progress.samples_per_second:,.0f} samples/s\n"
            )
            sys.stderr.flush()


def watcher(choice: object, *, background: bool = False) -> Watcher | None:
    """Who watches, from the argument `progress`; None where nobody does.

    Raises
    ------
    TypeError, ValueError
        The argument is none of those that there are.
    """
    if choice is False:
        return None
    if choice is None:
        shown = not background and shows_bars() and not in_worker()
        return Bar(_DELAY) if shown else None
    if choice is True:
        return Bar(0.0) if shows_bars() and bars(in_notebook()) is not None else Watcher(lines)
    if callable(choice):
        return Watcher(choice)
    error = ValueError if isinstance(choice, str) else TypeError
    if choice != "lines":
        raise error(f"progress must be None, True, False, 'lines' or a callable, got {choice!r}")
    return Watcher(lines)


def shows_bars() -> bool:
    """Whether stderr is a terminal, or a notebook's."""
    with suppress(AttributeError, ValueError):  # none, not a file, or closed
        return sys.stderr.isatty() or in_notebook()
    return in_notebook()


def bars(notebook: bool) -> Any:
    """Tqdm's class for this place, without its thread; None without tqdm."""
    try:
        if notebook and find_spec("ipywidgets") is not None:
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:
        return None
    tqdm.get_lock()  # one for all: a class that comes first below would make its own
    own = {} if _forked is None else {"_lock": _forked}
    return type("Bar", (tqdm,), {"monitor_interval": 0, **own})


def columns(stream: Any) -> int:
    """Width of a terminal; 80 where it has none."""
    with suppress(AttributeError, OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def bar_format(progress: Progress, when: str, width: int) -> str:
    """The bar's line as tqdm's ``bar_format``, with as many figures as fit beside a bar."""
    head = f"epoch {progress.epoch + 1}/{progress.epochs}"
    figures = {"loss": progress.loss}
    if progress.val_loss is not None:
        figures["val_loss"] = progress.val_loss
    figures |= {k: v for k, v in progress.figures.items() if k not in ("loss", "val_loss")}
    unit = " samples/s" if width >= _WIDE else "/s"
    speed = short(progress.samples_per_second) + unit
    cells = {name: f"{name} {value:#.3g}" for name, value in figures.items()}
    # Places are given by what figures take at most, lest they come and go as digits change.
    left = width - len(f"{head} || ") - len("00:00 left") - _LEAST_BAR
    kept = []
    for name in ["loss", "speed", *list(figures)[1:]]:
        needs = 2 + (len(unit) + 5 if name == "speed" else len(f"{name} 1.23e-05"))
        if needs <= left:
            left -= needs
            kept.append(name)
    texts = [cells[name] for name in figures if name in kept]
    texts += [text for text in (speed if "speed" in kept else "", when) if text]
    escaped = ", ".join(texts).replace("{", "{{").replace("}", "}}")
    return f"{head} |{{bar}}| {escaped}"


def short(number: float) -> str:
    """A number as three digits and a letter: k, M or G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, and hours where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
