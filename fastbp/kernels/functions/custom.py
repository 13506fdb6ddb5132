"""Kernels made from a person's own scalar functions, which are inlined into the loops.

They are not kept on disk: a file's name can't tell one such function from another. Within a process
functions of equal code share a kernel, which reads from its settings the parameters, in the
network's dtype, and then, from the next multiple of 8 bytes on, the numbers that the functions
close over (constants.py), as float64 or int64.

LLVM's compiler at run time can't give the memory of machine code back, so that a kernel stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.functions.losses import LossKernel

if TYPE_CHECKING:
    from fastbp.kernels.functions.constants import Apart

Kernel = TypeVar("Kernel", ActivationKernel, LossKernel)
Constants = tuple[float | int, ...]

#: kernels of equal code with other values in it, from which on a warning tells of them
MANY = 16


@dataclass(frozen=True, eq=False, repr=False)
class Own(Generic[Kernel]):
    """A kernel of a person's own functions, and the numbers that these close over.

    Attributes
    ----------
    kernel : ActivationKernel or LossKernel
    constants : tuple
        Of f, then of its derivative.
    moved : bool
        Whether numbers were looked for; else they are in the kernel.
    """

    kernel: Kernel
    constants: Constants
    moved: bool


def settings(parameters: Iterable[float], constants: Constants, dtype: str) -> NDArray[Any]:
    """What a kernel reads, as the module's docstring says."""
    first = np.array(tuple(parameters), dtype)
    if not constants:
        return first
    padding = np.zeros(_padding(len(first), first.itemsize), dtype)
    words = [np.array([c], np.int64 if type(c) is int else np.float64) for c in constants]
    return np.concatenate([first, padding, *(word.view(dtype) for word in words)])


def _padding(n: int, itemsize: int) -> int:
    """Values between n parameters and the next multiple of 8 bytes."""
    return -n * itemsize % 8 // itemsize


def _reader(n_parameters: int, skipped: int, constants: Constants) -> Any:
    """An intrinsic that reads, from a pointer to settings, what a function takes: as a tuple.

    `skipped` constants before its own are another function's.
    """
    kinds = [types.int64 if type(constant) is int else types.float64 for constant in constants]

    @intrinsic
    def read(typingctx, pointer):
        def codegen(context, builder, sig, args):
            itemsize = pointer.dtype.bitwidth // 8
            first = n_parameters + _padding(n_parameters, itemsize)
            values = [
                builder.load(builder.gep(args[0], [ir.IntType(64)(i)])) for i in range(n_parameters)
            ]
            for i, kind in enumerate(kinds, skipped):
                place = builder.gep(args[0], [ir.IntType(64)(first + i * (8 // itemsize))])
                word = context.get_value_type(kind).as_pointer()
                value = builder.load(builder.bitcast(place, word))
                value.align = itemsize
                values.append(value)
            return context.make_tuple(builder, sig.return_type, values)

        return types.Tuple([pointer.dtype] * n_parameters + kinds)(pointer), codegen

    return read


def _inlined(apart: Apart) -> Any:
    """With the flags of all kernels, whatever those it was compiled with."""
    return jit.own(apart.make())


_activations: dict[Hashable, ActivationKernel] = {}
_losses: dict[Hashable, LossKernel] = {}
_alive: list[object] = []  # what keys know by its place
_variants: dict[Hashable, int] = {}


def _own(
    made: dict[Hashable, Kernel],
    build: Callable[..., Kernel],
    functions: tuple[Callable[..., Any], Callable[..., Any]],
    arguments: int,
    n_parameters: int,
    move: bool,
) -> Own[Kernel]:
    from fastbp.kernels.functions.constants import take_apart  # takes its time to import

    f, derivative = (take_apart(g, arguments + n_parameters, move=move) for g in functions)
    key = f.key, derivative.key, n_parameters
    kernel = made.get(key)
    if kernel is None:
        readers = None
        if n_parameters or f.constants or derivative.constants:
            readers = (
                _reader(n_parameters, 0, f.constants),
                _reader(n_parameters, len(f.constants), derivative.constants),
            )
        _alive.extend((f.alive, derivative.alive))  # first: an interrupt may come in between
        kernel = made.setdefault(key, build(_inlined(f), _inlined(derivative), readers))
        _count((f.code, derivative.code, build))
    return Own(kernel, f.constants + derivative.constants, move)


def _count(code: Hashable) -> None:
    """Tell of many kernels of the same code, once."""
    _variants[code] = _variants.get(code, 0) + 1
    if _variants[code] == MANY:
        warnings.warn(
            f"{MANY} kernels have been made of custom functions of the same code, for other values "
            "that these read, and each stays in memory (about 1 MB) until the process ends. Give "
            "what varies by parameters=, which makes one kernel do for all values",
            RuntimeWarning,
            stacklevel=9,
        )


def activation(
    f: Callable[..., Any], derivative: Callable[..., Any], n_parameters: int, *, move: bool = True
) -> Own[ActivationKernel]:
    """a = f(z), and d = derivative(z) d; the padding stays as it is, f of it may be anything."""
    return _own(_activations, _activation, (f, derivative), 1, n_parameters, move)


def loss(
    f: Callable[..., Any], derivative: Callable[..., Any], n_parameters: int, *, move: bool = True
) -> Own[LossKernel]:
    """(1/k) sum_j f(p, t), and d = derivative(p, t) / k."""
    return _own(_losses, _loss, (f, derivative), 2, n_parameters, move)


def _activation(f: Any, derivative: Any, readers: Any) -> ActivationKernel:
    if readers is None:

        def forward(a, rows, n, ld, settings):
            for r in range(rows):
                for j in range(r * ld, r * ld + n):
                    a[j] = cast(a, f(a[j]))

        def backward(d, a, z, rows, n, ld, settings):
            for r in range(rows):
                for j in range(r * ld, r * ld + n):
                    d[j] = cast(d, d[j] * derivative(z[j]))

    else:
        of_f, of_derivative = readers

        def forward(a, rows, n, ld, settings):
            more = of_f(settings)
            for r in range(rows):
                for j in range(r * ld, r * ld + n):
                    a[j] = cast(a, f(a[j], *more))

        def backward(d, a, z, rows, n, ld, settings):
            more = of_derivative(settings)
            for r in range(rows):
                for j in range(r * ld, r * ld + n):
                    d[j] = cast(d, d[j] * derivative(z[j], *more))

    return ActivationKernel(
        jit.CFunc(roles.forward, forward, apart=True, own=True),
        jit.CFunc(roles.backward, backward, apart=True, own=True),
        needs_z=True,
    )


def _loss(f: Any, derivative: Any, readers: Any) -> LossKernel:
    if readers is None:

        def kernel(z, p, t, w, d, e, rows, k, ld, scale, settings):
            mean = cast(p, 1) / cast(p, k)
            for r in range(rows):
                total, by, first = 0.0, w[r] * (scale * mean), r * ld
                for j in range(first, first + k):
                    total += f(p[j], t[j])
                e[r] = np.float64(w[r]) * total * np.float64(mean)
                for j in range(first, first + k):
                    d[j] = cast(d, by * derivative(p[j], t[j]))
                for j in range(first + k, first + ld):
                    d[j] = cast(d, 0)

    else:
        of_f, of_derivative = readers

        def kernel(z, p, t, w, d, e, rows, k, ld, scale, settings):
            mean = cast(p, 1) / cast(p, k)
            mine, its = of_f(settings), of_derivative(settings)
            for r in range(rows):
                total, by, first = 0.0, w[r] * (scale * mean), r * ld
                for j in range(first, first + k):
                    total += f(p[j], t[j], *mine)
                e[r] = np.float64(w[r]) * total * np.float64(mean)
                for j in range(first, first + k):
                    d[j] = cast(d, by * derivative(p[j], t[j], *its))
                for j in range(first + k, first + ld):
                    d[j] = cast(d, 0)

    return LossKernel(jit.CFunc(roles.loss, kernel, apart=True, own=True))
