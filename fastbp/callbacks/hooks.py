"""The callbacks of one fit: told of its moments, and what a checkpoint keeps of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.callbacks.base import Callback, Logs, Trainer, may_add
from fastbp.files.container import check_keys
from fastbp.history import History, check_figures
from fastbp.runtime.parameters import Parameters

Saved = dict[str, Any]

_LONGEST = 200  # characters of a setting
_WATCHED = ("monitor", "mode")  # settings that say what a callback's state is about


class Hooks:
    """A fit's callbacks, bound to the trainer that each of their hooks is handed.

    Parameters
    ----------
    trainer : Trainer
    callbacks : sequence of Callback
        In the order in which they are told.

    Attributes
    ----------
    begun : int
        How many of them know of this fit: others may still have the best of an earlier one.
    unrestored : list or None
        What a checkpoint has kept of callbacks, as long as these are still to be restored from it.
    """

    def __init__(self, trainer: Trainer, callbacks: Sequence[Callback]) -> None:
        self._trainer, self.callbacks = trainer, callbacks
        self._settings = list(map(callback_settings, callbacks))
        self._parameters: Parameters | None = None  # of the last `on_measured`
        # By the place of each that may add a figure: who may watch it, and whether others that may
        # change the weights come in between.
        self._watching: dict[int, list[tuple[Callback, bool]]] = {}
        for place, callback in enumerate(callbacks):
            if may_add(callback):
                behind, others = [], False
                for later in callbacks[place + 1 :]:
                    if type(later)._added is not Callback._added:
                        behind.append((later, others))
                    others = others or not later._looks_on
                self._watching[place] = behind
        self.begun = 0
        self.unrestored: list[Saved] | None = None

    @property
    def longest_chunk(self) -> float:
        """The most seconds that a chunk of work may last, for the one who asks for least."""
        return min((callback.longest_chunk for callback in self.callbacks), default=np.inf)

    # -- moments of a fit --------------------------------------------------------------------------

    def on_train_begin(self) -> None:
        """Call each callback's hook of that name."""
        for callback in self.callbacks:
            callback.on_train_begin(self._trainer)
            self.begun += 1

    def on_train_end(self, history: History) -> None:
        """Call each callback's hook of that name."""
        for callback in self.callbacks:
            callback.on_train_end(self._trainer, history)

    def on_epoch_begin(self, epoch: int) -> None:
        """Call each callback's hook of that name."""
        for callback in self.callbacks:
            callback.on_epoch_begin(self._trainer, epoch)

    def on_measured(self, parameters: Parameters, logs: Logs) -> None:
        """Tell each callback that an epoch's figures have been taken, of these parameters."""
        others, self._parameters = False, parameters
        for callback in self.callbacks:
            callback._measured(parameters, logs, others)
            others = others or not callback._looks_on

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Call each callback's hook of that name, and check the figures that it adds."""
        for place, callback in enumerate(self.callbacks):
            callback.on_epoch_end(self._trainer, epoch, logs)
            check_figures(logs, callback)
            if self._watching and place in self._watching and self._parameters is not None:
                for watcher, others in self._watching[place]:
                    watcher._added(self._parameters, logs, others)

    def on_epoch_cut_off(self, epoch: int, logs: Logs) -> None:
        """Tell those of an epoch's end that keep the best weights, and haven't been told yet."""
        for callback in self.callbacks[: self.begun]:
            callback._epoch_cut_off(self._trainer, epoch, logs)

    def on_chunk_end(self) -> None:
        """Call each callback's hook of that name."""
        for callback in self.callbacks:
            callback.on_chunk_end(self._trainer)

    def on_settled(self, last: bool = False) -> None:
        """Call each callback's hook of that name."""
        for callback in self.callbacks:
            callback.on_settled(self._trainer, last)

    # -- the best weights --------------------------------------------------------------------------

    def give_back(self) -> None:
        """Have the callbacks that know of this fit give the network its best weights back."""
        for callback in self.callbacks[: self.begun]:
            callback._give_back(self._trainer)

    @property
    def given_back(self) -> int | None:
        """The epoch whose weights a callback has given back, the last one that did."""
        given = [c for c in self.callbacks[: self.begun] if c._given_back is not None]
        return given[-1]._given_back if given else None

    def has_given(self, version: int) -> bool:
        """Return whether a callback has set the weights of that version of the parameters."""
        return any(callback._given_version == version for callback in self.callbacks)

    # -- checkpoints -------------------------------------------------------------------------------

    def state(self) -> list[Saved]:
        """Return each callback's kind, settings and state.

        As they are, or were saved, where they are still to be restored from that.
        """
        if self.unrestored is not None:
            return list(self.unrestored)
        return [
            {"kind": type(c).__name__, "settings": known, "state": c.state()}
            for c, known in zip(self.callbacks, self._settings, strict=True)
        ]

    def check_state(self, saved: list[Saved], parameters: Parameters) -> None:
        """Raise for a callback's state that can't be restored; a person's own are their own."""
        for callback, entry in paired(self.callbacks, saved):
            callback._check_state(parameters, entry["state"])

    def set_state(self, saved: list[Saved]) -> None:
        """Restore each callback from the one that it is paired with, if it monitors the same."""
        known = {id(c): s or {} for c, s in zip(self.callbacks, self._settings, strict=True)}
        for callback, entry in paired(self.callbacks, saved):
            before = _with_defaults(callback, entry.get("settings") or {}, known[id(callback)])
            # What is the best of one figure says nothing of another one, nor of its other end.
            same = [before.get(n, t) == t for n, t in known[id(callback)].items() if n in _WATCHED]
            if all(same):
                callback.restore(self._trainer, entry["state"])

    def differences(self, saved: list[Saved]) -> tuple[list[str], list[str]]:
        """Return in words what was otherwise when callbacks were saved.

        Returns
        -------
        certain : list of str
            What changes a run.
        perhaps : list of str
            What may change nothing: a person's own callback that keeps no state may be a log.
        """
        pairs = paired(self.callbacks, saved)
        certain: list[str] = []
        perhaps: list[str] = []
        for callback, entry in pairs:
            before, now = entry["settings"], callback_settings(callback)
            if before is None or now is None:
                continue
            before = _with_defaults(callback, before, now)
            for name in sorted({*before, *now}):
                a, b = before.get(name, "none"), now.get(name, "none")
                if a != b:
                    certain.append(f"callback {entry['kind']}'s {name} was {a}, is {b}")
        theirs = [id(entry) for _, entry in pairs]
        for entry in saved:
            if id(entry) not in theirs and (entry["state"] or entry["settings"] is not None):
                text = f"callback {entry['kind']!r} was there, is none"
                (certain if entry["state"] else perhaps).append(text)
        mine = [id(callback) for callback, _ in pairs]
        for callback in self.callbacks:
            if id(callback) not in mine and not callback._looks_on:
                keeps = type(callback).state is not Callback.state
                text = f"callback {type(callback).__name__!r} was none, is there"
                (certain if keeps else perhaps).append(text)
        return certain, perhaps


def check_saved(saved: object) -> None:
    """Raise TypeError or ValueError for what `Hooks.state` can't have given."""
    if not isinstance(saved, list):
        raise TypeError("its callbacks must be a list")
    for entry in saved:
        check_keys("a callback", entry, {"kind", "settings", "state"})
        settings = entry["settings"]
        known = settings is None or (
            isinstance(settings, dict) and all(isinstance(text, str) for text in settings.values())
        )
        if not (isinstance(entry["kind"], str) and known and isinstance(entry["state"], dict)):
            raise TypeError("a callback must have a kind, settings and a state")


def paired(callbacks: Sequence[Callback], saved: list[Saved]) -> list[tuple[Callback, Saved]]:
    """Return each callback with the first saved one of its kind that no other has taken."""
    left, found = list(saved), []
    for callback in callbacks:
        for i, entry in enumerate(left):
            if entry["kind"] == type(callback).__name__:
                found.append((callback, left.pop(i)))
                break
    return found


def callback_settings(callback: Callback) -> dict[str, str] | None:
    """Return what a callback was made with, as text, of plain values; None where it only looks on.

    Attributes are taken for settings that have the names of the constructor's arguments.
    """
    if callback._looks_on:
        return None
    has, kind = {**getattr(callback, "__dict__", {}), **callback._found()}, type(callback)
    names = {*_arguments(kind)} & has.keys() - {*callback._of_this_call}  # type: ignore[arg-type]
    found = {name: has[name] for name in sorted(names)}
    texts = {name: repr(_plain(value)) for name, value in found.items() if _is_plain(value)}
    return {name: text for name, text in texts.items() if len(text) <= _LONGEST}


def _with_defaults(
    callback: Callback, before: dict[str, str], now: dict[str, str]
) -> dict[str, str]:
    """Return saved settings of one of fastbp's, with what an older fastbp didn't write.

    It had no such setting, so that the default does the same; and it left open which figure a
    default was.
    """
    if str(getattr(type(callback).__init__, "__module__", "")).split(".")[0] != "fastbp":
        return before
    kind: Any = type(callback)
    defaults = _arguments(kind)
    new = {n: repr(defaults[n]) for n in now if n not in before and n in defaults}
    open_ = {n: now[n] for n in callback._found() if before.get(n) == "None" and n in now}
    return {**before, **new, **open_}


@functools.lru_cache(256)
def _arguments(kind: Callable[..., Any]) -> dict[str, Any]:
    """The names of a constructor's arguments, and their defaults."""
    try:
        found = inspect.signature(kind).parameters
    except (TypeError, ValueError):  # it is compiled, and doesn't tell
        return {}
    return {name: parameter.default for name, parameter in found.items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.number, np.bool_))


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value.item() if isinstance(value, (np.number, np.bool_)) else value
