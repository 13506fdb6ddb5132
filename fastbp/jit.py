"""Predict and train inside your own compiled code, with no Python and no allocation.

The functions are called, with a state from `Network.compiled` or `Trainer.compiled`, in functions
of your own under ``@numba.njit(nogil=True, cache=True)``. Arrays are C-contiguous and of the
network's dtype, else numba refuses to compile the call. An array that is written must share no
memory with one that is read: rows are worked on in blocks, each of which is written before the next
is read, and nothing looks for that. Every function returns a status, or a status and a loss:

========================== =========================================================================
`OK`                       0: done
`NONFINITE_LOSS`           the loss is not finite; there was no update
`BAD_X`, `BAD_Y`           a NaN or an infinity in the samples; in the targets or the cotangent
`WRONG_STATE`              the state is a copy, or of another fastbp than your machine code was
                           compiled with: clear your function's cache
`WRONG_SHAPE`              an array's shape doesn't fit, or a batch has more rows than was asked for
`BUSY`                     another thread is at work with this state
`NO_TRAINER`               the state is of a network, which doesn't train
========================== =========================================================================

>>> import numba, numpy as np, fastbp, fastbp.jit
>>> @numba.njit(nogil=True)
... def fall(state, x, steps):
...     y = np.empty_like(x)
...     for _ in range(steps):
...         if fastbp.jit.predict_one(state, x, y) != fastbp.jit.OK:
...             return -1.0
...         x[:] = y
...     return x[0]
>>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
>>> net.set_weights([[[0.5]]])
>>> fall(net.compiled(), np.array([8.0]), 3)
1.0
"""

from fastbp.kernels.ffi.callable import (
    loss_and_gradients,
    predict_batch,
    predict_one,
    train_batch,
    train_step,
    vjp,
)
from fastbp.kernels.ffi.embedded import BUSY, NO_TRAINER, WRONG_SHAPE, WRONG_STATE
from fastbp.kernels.layout import BAD_X, BAD_Y, NONFINITE_LOSS, OK

__all__ = [
    "BAD_X",
    "BAD_Y",
    "BUSY",
    "NONFINITE_LOSS",
    "NO_TRAINER",
    "OK",
    "WRONG_SHAPE",
    "WRONG_STATE",
    "loss_and_gradients",
    "predict_batch",
    "predict_one",
    "train_batch",
    "train_step",
    "vjp",
]
