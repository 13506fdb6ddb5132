"""What activations and losses of a person's own have in common: functions, and their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.kernels.functions import custom
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.functions.losses import LossKernel

Scalar = Callable[..., float]
Kernel = TypeVar("Kernel", ActivationKernel, LossKernel)

_VARARGS = 0x04  # in a code's flags


class OfFunctions(Generic[Kernel]):
    """A `CustomActivation` or a `CustomLoss`.

    Attributes
    ----------
    f, derivative : callable
    label, name : str
    parameters : tuple of float
    """

    f: Scalar
    derivative: Scalar
    label: str
    name: str
    parameters: tuple[float, ...]

    def _make(self, *, move: bool) -> custom.Own[Kernel]:
        """Look its kernel up in kernels/functions/custom.py, or make it."""
        raise NotImplementedError

    def _own(self) -> custom.Own[Kernel]:
        """Its kernel, and the numbers that its functions close over.

        Looked up once: numbers are those of that time, as they would be in machine code.
        """
        made: custom.Own[Kernel] | None = self.__dict__.get("_made")
        if made is None:  # or it is a copy
            kept = self.__dict__.get("_kept")
            made = self._make(move=kept is None or kept[1])
            if kept is not None and len(kept[0]) == len(made.constants):
                made = replace(made, constants=kept[0])
            self.__dict__["_made"] = made
        return made

    def _described(self) -> dict[str, Any]:
        """It as a checkpoint holds it: its functions aren't there."""
        described: dict[str, Any] = {"own": self.label}
        return {**described, "parameters": list(self.parameters)} if self.parameters else described

    def _parameters(self) -> tuple[float, ...]:
        return self.parameters

    def _record(self, dtype: str) -> NDArray[Any]:
        """What its kernel for `dtype` is handed.

        Raises
        ------
        ValueError
            A parameter is beyond that dtype.
        """
        with np.errstate(over="ignore"):
            record = custom.settings(self.parameters, self._own().constants, dtype)
        for i, value in enumerate(self.parameters):
            if not np.isfinite(record[i]):
                raise ValueError(
                    f"parameters[{i}] of {self.name!r} must be a number of the network's dtype, "
                    f"{dtype}, got {value!r}"
                )
        return record

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: no kernel, but the numbers that belong to it."""
        own = self._own()
        fields = {name: value for name, value in self.__dict__.items() if name != "_made"}
        return {**fields, "_kept": (own.constants, own.moved)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"parameters": (), **state})

    def _compile(self, parts: Callable[[Kernel], tuple[Any, ...]]) -> None:
        """Compile its kernels for float64; with its numbers in them where numba wants constants.

        Raises
        ------
        TypeError
            numba can't compile its functions.
        """
        own = self._own()
        if own.constants:
            try:
                for part in parts(own.kernel):
                    part.compile("float64")
                return
            except Exception:  # numba has many kinds
                own = self.__dict__["_made"] = self._make(move=False)
        try:
            for part in parts(own.kernel):
                part.compile("float64")
        except Exception as error:  # and an internal one now and then
            raise TypeError(f"numba can't compile f or derivative: {error}") from error

    def _check(self, taken: Mapping[str, object], kind: str, takes: tuple[str, ...]) -> None:
        """Check what it was given, and make its parameters a tuple.

        `taken` has fastbp's own names of this kind, which the label may not be, and `takes` what
        the functions take before parameters.
        """
        for what in ("f", "derivative"):
            given: Any = getattr(self, what)
            if not isinstance(getattr(given, "py_func", given), FunctionType):
                raise TypeError(
                    f"{what} must be a function written in Python, which numba compiles (def, or "
                    f"lambda), got {given!r}"
                )
        if not isinstance(self.label, str) or self.label in taken:
            raise ValueError(f"label must be none of fastbp's own {kind} names, got {self.label!r}")
        given = self.parameters
        if isinstance(given, np.ndarray) and given.ndim == 1:
            given = list(given)
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise TypeError(f"parameters must be a sequence of numbers, got {given!r}")
        values = tuple(real(f"parameters[{i}]", value) for i, value in enumerate(given))
        object.__setattr__(self, "parameters", values)
        count = len(takes) + len(values)
        for what in ("f", "derivative"):
            few, most = _counts(getattr(self, what))
            if not few <= count <= most:
                has = f"{few}" if few == most else f"{few} to {most}"
                more = f" and {len(values)} of parameters" if values else ""
                raise TypeError(
                    f"{what} must take {count} number{'s' * (count > 1)} "
                    f"({', '.join(takes)}{more}), it takes {has}"
                )


def _counts(function: Any) -> tuple[float, float]:
    """How many arguments by position a function takes, at least and at most."""
    function = getattr(function, "py_func", function)
    code, defaults = function.__code__, function.__defaults__ or ()
    most = math.inf if code.co_flags & _VARARGS else code.co_argcount
    return code.co_argcount - len(defaults), most
