"""The functions that a person's own compiled code calls: checks, then one call by address.

They are compiled into that code, and may be kept in a cache with it. So no address stands in them,
and what they take for granted of a state is in DIGEST.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from fastbp.kernels.compiling import cache, jit
from fastbp.kernels.compiling.roles import call_embedded
from fastbp.kernels.compiling.simd import address, pointer
from fastbp.kernels.ffi import embedded as e

_DOUBLE = np.float64(0.0)
#: of the kernels' sources and the compiler's version: what machine code must agree on with a state
DIGEST = int(cache.digest()[:15], 16)


def _check_state(state: Any) -> None:
    good = (
        isinstance(state, types.BaseTuple)
        and len(state) == 2
        and all(isinstance(part, types.Array) and part.layout == "C" for part in state)
        and state[0].dtype == types.int64
    )
    if not good:
        raise TypingError(f"state must be what compiled() has returned, got {state}")


@intrinsic
def _head(typingctx, state):
    """The state's row of int64."""
    _check_state(state)

    def codegen(context, builder, sig, args):
        array = builder.extract_value(args[0], 0)
        made = context.make_array(sig.args[0][0])(context, builder, array)
        return builder.bitcast(made.data, ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(state), codegen


def _data(name: str, n_dimensions: int) -> Any:
    """An intrinsic: an array's data pointer; refuses others while the caller is compiled."""

    @intrinsic
    def data(typingctx, state, array):
        _check_state(state)
        wanted = state[1].dtype
        takes = f"a C-contiguous {wanted} array of {n_dimensions} dimension(s)"
        good = isinstance(array, types.Array) and array.dtype == wanted
        if not good or array.layout != "C" or array.ndim != n_dimensions:
            raise TypingError(f"{name} must be {takes}, got {array}")

        def codegen(context, builder, sig, args):
            made = context.make_array(sig.args[1])(context, builder, args[1])
            return builder.bitcast(made.data, context.get_value_type(sig.return_type))

        return types.CPointer(wanted)(state, array), codegen

    return data


_x_one, _y_one, _out_one = (_data(name, 1) for name in ("x", "y", "out"))
_x_rows, _y_rows, _out_rows = (_data(name, 2) for name in ("X", "Y", "out"))
_cotangent, _dx = _data("cotangent", 2), _data("input_gradients", 2)
_gradients = _data("gradients", 1)


@jit.kernel
def _fits(state, head):
    """Whether it is a state, and one that this machine code was made for."""
    return (
        state[0].size == e.STATE_SIZE and head[e.DIGEST] == DIGEST and head[e.SELF] == address(head)
    )


@jit.kernel
def _loss(head):
    return pointer(_DOUBLE, head[e.LOSS])[0]


@jit.embedded
def predict_one(state, x, out):
    """The network's outputs for one sample.

    Parameters
    ----------
    state : tuple of ndarray
        From `Network.compiled` or `Trainer.compiled`.
    x : ndarray
        (n_inputs,), C-contiguous, of the network's dtype, as all arrays here.
    out : ndarray
        (n_outputs,): written.

    Returns
    -------
    int
        `OK`, or what is wrong; nothing has been written then, unless it is `BAD_X`.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> @numba.njit(nogil=True)
    ... def outputs(state, x, out):
    ...     return fastbp.jit.predict_one(state, x, out)
    >>> out = np.empty(1)
    >>> outputs(net.compiled(), np.array([2.0]), out) == fastbp.jit.OK, out.tolist()
    (True, [6.0])
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE
    if x.size != head[e.N_INPUTS] or out.size != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE
    p, q = _x_one(state, x), _out_one(state, out)
    return call_embedded(head[e.PREDICT], (head, p, q, p, p, 1))


@jit.embedded
def predict_batch(state, X, out):
    """The network's outputs for n samples.

    Parameters
    ----------
    state : tuple of ndarray
        From `Network.compiled` or `Trainer.compiled`.
    X : ndarray
        (n, n_inputs)
    out : ndarray
        (n, n_outputs): written.

    Returns
    -------
    int
        `OK`, or what is wrong; with `BAD_X` some rows may have been written.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> @numba.njit(nogil=True)
    ... def outputs(state, X, out):
    ...     return fastbp.jit.predict_batch(state, X, out)
    >>> out = np.empty((2, 1))
    >>> outputs(net.compiled(), np.array([[1.0], [2.0]]), out) == fastbp.jit.OK, out.tolist()
    (True, [[3.0], [6.0]])
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE
    n, n_in = X.shape
    if n_in != head[e.N_INPUTS] or out.shape[0] != n or out.shape[1] != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE
    p, q = _x_rows(state, X), _out_rows(state, out)
    return call_embedded(head[e.PREDICT], (head, p, q, p, p, n))


@jit.embedded
def train_step(state, x, y):
    """One update by one sample, as `Trainer.step`.

    Parameters
    ----------
    state : tuple of ndarray
        From `Trainer.compiled`.
    x : ndarray
        (n_inputs,)
    y : ndarray
        (n_outputs,): targets; for "cross_entropy" probabilities, of which the class has 1.

    Returns
    -------
    status : int
        `OK`, or what is wrong; there was no update then.
    loss : float
        Before the update; 0 where there was none to take.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25))
    >>> @numba.njit(nogil=True)
    ... def learn(state, x, y):
    ...     return fastbp.jit.train_step(state, x, y)
    >>> learn(trainer.compiled(), np.array([2.0]), np.array([5.0])) == (fastbp.jit.OK, 0.5)
    True
    >>> net.get_weights()[0].tolist()
    [[2.5]]
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE, 0.0
    if head[e.TRAIN] == 0:
        return e.NO_TRAINER, 0.0
    if x.size != head[e.N_INPUTS] or y.size != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE, 0.0
    p, q = _x_one(state, x), _y_one(state, y)
    status = call_embedded(head[e.TRAIN], (head, p, q, p, p, 1))
    return status, _loss(head)


@jit.embedded
def train_batch(state, X, Y):
    """One update by n samples, as `Trainer.step`.

    Parameters
    ----------
    state : tuple of ndarray
        From `Trainer.compiled`.
    X : ndarray
        (n, n_inputs), n at least 1 and at most the `rows` that `compiled` was given.
    Y : ndarray
        (n, n_outputs): targets; for "cross_entropy" probabilities.

    Returns
    -------
    status : int
        `OK`, or what is wrong; there was no update then.
    loss : float
        The mean, before the update.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25))
    >>> @numba.njit(nogil=True)
    ... def learn(state, X, Y):
    ...     return fastbp.jit.train_batch(state, X, Y)
    >>> X, Y = np.array([[2.0], [2.0]]), np.array([[5.0], [5.0]])
    >>> learn(trainer.compiled(rows=2), X, Y) == (fastbp.jit.OK, 0.5)
    True
    >>> net.get_weights()[0].tolist()
    [[2.5]]
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE, 0.0
    if head[e.TRAIN] == 0:
        return e.NO_TRAINER, 0.0
    n, n_in = X.shape
    wrong = n < 1 or n > head[e.MOST_ROWS] or n_in != head[e.N_INPUTS]
    if wrong or Y.shape[0] != n or Y.shape[1] != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE, 0.0
    p, q = _x_rows(state, X), _y_rows(state, Y)
    status = call_embedded(head[e.TRAIN], (head, p, q, p, p, n))
    return status, _loss(head)


@jit.embedded
def loss_and_gradients(state, X, Y, gradients):
    """The mean loss of n samples and its gradients, as `Trainer.gradients`; nothing is updated.

    Parameters
    ----------
    state : tuple of ndarray
        From `Trainer.compiled`.
    X : ndarray
        (n, n_inputs), n at least 1.
    Y : ndarray
        (n, n_outputs): targets, as for `train_batch`.
    gradients : ndarray
        (n_parameters,): written; all arrays of `Network.get_weights`, one behind the other.

    Returns
    -------
    status : int
        `OK`, or what is wrong; nothing has been written then.
    loss : float
        The mean, which is differentiated.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25))
    >>> @numba.njit(nogil=True)
    ... def slope(state, X, Y, gradients):
    ...     return fastbp.jit.loss_and_gradients(state, X, Y, gradients)
    >>> gradients = np.empty(1)
    >>> status, loss = slope(trainer.compiled(), np.array([[2.0]]), np.array([[5.0]]), gradients)
    >>> status == fastbp.jit.OK, loss, gradients.tolist()
    (True, 0.5, [2.0])
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE, 0.0
    if head[e.GRADIENTS] == 0:
        return e.NO_TRAINER, 0.0
    n, n_in = X.shape
    wrong = n < 1 or n_in != head[e.N_INPUTS] or gradients.size != head[e.N_PARAMETERS]
    if wrong or Y.shape[0] != n or Y.shape[1] != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE, 0.0
    p, q, g = _x_rows(state, X), _y_rows(state, Y), _gradients(state, gradients)
    status = call_embedded(head[e.GRADIENTS], (head, p, q, g, p, n))
    return status, _loss(head)


@jit.embedded
def vjp(state, X, cotangent, gradients, input_gradients):
    """Gradients of Σ cotangent · outputs: by the parameters, and by X.

    Parameters
    ----------
    state : tuple of ndarray
        From `Network.compiled` or `Trainer.compiled`.
    X : ndarray
        (n, n_inputs), n at least 1.
    cotangent : ndarray
        (n, n_outputs).
    gradients : ndarray
        (n_parameters,): written, as by `loss_and_gradients`; penalties are left out.
    input_gradients : ndarray
        (n, n_inputs): written.

    Returns
    -------
    int
        `OK`, or what is wrong; what was to be written is not to be used then.

    Examples
    --------
    >>> import numba, numpy as np, fastbp, fastbp.jit
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
    >>> net.set_weights([[[3.0]]])
    >>> @numba.njit(nogil=True)
    ... def backward(state, X, cotangent, gradients, input_gradients):
    ...     return fastbp.jit.vjp(state, X, cotangent, gradients, input_gradients)
    >>> X, cotangent = np.array([[2.0]]), np.array([[10.0]])
    >>> gradients, input_gradients = np.empty(1), np.empty((1, 1))
    >>> backward(net.compiled(), X, cotangent, gradients, input_gradients) == fastbp.jit.OK
    True
    >>> gradients.tolist(), input_gradients.tolist()
    ([20.0], [[30.0]])
    """
    head = _head(state)
    if not _fits(state, head):
        return e.WRONG_STATE
    n, n_in = X.shape
    wrong = n < 1 or n_in != head[e.N_INPUTS] or gradients.size != head[e.N_PARAMETERS]
    wrong = wrong or input_gradients.shape[0] != n or input_gradients.shape[1] != n_in
    if wrong or cotangent.shape[0] != n or cotangent.shape[1] != head[e.N_OUTPUTS]:
        return e.WRONG_SHAPE
    p, q, g = _x_rows(state, X), _cotangent(state, cotangent), _gradients(state, gradients)
    return call_embedded(head[e.VJP], (head, p, q, g, _dx(state, input_gradients), n))
