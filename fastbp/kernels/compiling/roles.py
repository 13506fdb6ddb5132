"""The C signatures of what is called by address: one a role, for every kind of that role.

Below each stands its call, for kernels: `call_forward(address, (a, rows, n, ld, settings))`.

`t` is the network's dtype as a numba type. Blocks of activations hold `rows` rows of `n` values,
`ld` apart; element-wise kernels may run over the padding (it is finite, and nobody reads it), so a
block is one contiguous run of ``rows * ld`` values, a multiple of the vector width.
"""

from __future__ import annotations

from typing import Any

from numba import types

from fastbp.kernels.compiling.simd import call

_I = types.int64
_DOUBLES = types.CPointer(types.float64)
_TABLE = types.CPointer(_I)


def read_rows(t: Any) -> Any:
    """``(like, table, position, row, rows, thread) -> status``: see samples.py."""
    return _I(t, _TABLE, _I, _I, _I, _I)


call_read_rows = call(read_rows)


def block(t: Any) -> Any:
    """``(scale, table, row, rows, which, row_in_batch, updates_made)``: see passes.py."""
    return types.void(t, _TABLE, _I, _I, _I, _I, _I)


call_block = call(block)


def batches(t: Any) -> Any:
    """``(like, table, updates_made, rows) -> status``: see online.py."""
    return _I(t, _TABLE, _I, _I)


call_batches = call(batches)


def pieces(t: Any) -> Any:
    """``(like, table, first, last, rows, scratch)``: see pieces.py."""
    return types.void(t, _TABLE, _I, _I, _I, types.CPointer(t))


call_pieces = call(pieces)


def gradients(t: Any) -> Any:
    """``(like, table, row, rows, g, accumulate)``: see pieces.py."""
    return types.void(t, _TABLE, _I, _I, types.CPointer(t), _I)


call_gradients = call(gradients)


def update_piece(t: Any) -> Any:
    """``(like, table, place of the piece, g)``: see pieces.py."""
    return types.void(t, _TABLE, _TABLE, types.CPointer(t))


call_update_piece = call(update_piece)


def refine(t: Any) -> Any:
    """``(like, table, piece's number, g)``: see refine.py."""
    return types.void(t, _TABLE, _I, types.CPointer(t))


call_refine = call(refine)


def gather(t: Any) -> Any:
    """``(out, source, row_stride, feature_stride, offsets, index, rows, n, ld) -> bad values``.

    Reads the samples `index[0 ... rows - 1]` into rows of `out`, zero in the padding; `ld` is 1, or
    a multiple of the vector. Strides and
    `offsets` (used where `feature_stride` is 0) are in bytes.
    """
    return _I(types.CPointer(t), _I, _I, _I, types.CPointer(_I), types.CPointer(_I), _I, _I, _I)


call_gather = call(gather)


def tiles(t: Any) -> Any:
    """``(a, am, ak, b, bk, init, im, c, cm, k, low, mask, masked, rows, vectors)``: see matmul."""
    p = types.CPointer(t)
    return types.void(p, _I, _I, p, _I, p, _I, p, _I, _I, t, p, _I, _I, _I)


call_tiles = call(tiles)


def dots(t: Any) -> Any:
    """``(a, am, w, n_in, bias, c, cm, rows, n_out)``: see matmul."""
    p = types.CPointer(t)
    return types.void(p, _I, p, _I, p, p, _I, _I, _I)


call_dots = call(dots)


def transpose(t: Any) -> Any:
    """``(source, source_stride, target, target_stride, rows, columns)``: see matmul."""
    p = types.CPointer(t)
    return types.void(p, _I, p, _I, _I, _I)


call_transpose = call(transpose)


def forward(t: Any) -> Any:
    """``(a, rows, n, ld, settings)``: a = f(a).

    `settings` are those of the activation, in the order in which its class gives them. In place: a
    loop from one pointer to another would be checked for overlap when it runs, and take its scalar
    form where they are the same.
    """
    p = types.CPointer(t)
    return types.void(p, _I, _I, _I, p)


call_forward = call(forward)


def backward(t: Any) -> Any:
    """``(d, a, z, rows, n, ld, settings)``: d = f'(z) d, in place, with a = f(z).

    The sums are kept for a derivative that its ActivationKernel says to need them (`needs_z`);
    without that, z may be a itself.
    """
    p = types.CPointer(t)
    return types.void(p, p, p, _I, _I, _I, p)


call_backward = call(backward)


def loss(t: Any) -> Any:
    """``(z, p, t, w, d, e, rows, k, ld, scale, settings)``.

    e = w times each row's error. d = scale * w * (error's derivative), by z for a loss fused with
    its activation (p is then scratch), else by p; zero in the padding. Targets are `ld` apart too.
    """
    p = types.CPointer(t)
    return types.void(p, p, p, p, p, _DOUBLES, _I, _I, _I, t, p)


call_loss = call(loss)


def metric(t: Any) -> Any:
    """``(p, t, w, sums, rows, k, ld, settings, place)``: see metrics.py."""
    p = types.CPointer(t)
    return types.void(p, p, p, _DOUBLES, _I, _I, _I, _DOUBLES, _I)


call_metric = call(metric)


def update(t: Any) -> Any:
    """``(parameters, gradient, slot0, slot1, slot2, n, hyper)`` on a contiguous run of n values."""
    p = types.CPointer(t)
    return types.void(p, p, p, p, p, _I, _DOUBLES)


call_update = call(update)


def dropout(t: Any) -> Any:
    """``(a, x, keep, rows, n, ld, first, key, settings)``: see dropout.py."""
    p = types.CPointer(t)
    return types.void(p, p, p, _I, _I, _I, _I, _I, p)


call_dropout = call(dropout)


def outer(t: Any) -> Any:
    """``(parameters, a, d, rows, width, hyper)``: the update with the gradient ``a[i] d[j]``."""
    p = types.CPointer(t)
    return types.void(p, p, p, _I, _I, _DOUBLES)


call_outer = call(outer)


def prepare(t: Any) -> Any:
    """``(hyper,)``: this step's scalars, once a step, before any update."""
    return types.void(_DOUBLES)


call_prepare = call(prepare)


def embedded(t: Any) -> Any:
    """``(state, x, y, g, dx, rows) -> status``: see embedded.py."""
    p = types.CPointer(t)
    return _I(_TABLE, p, p, p, p, _I)


call_embedded = call(embedded)


def c_function(t: Any) -> Any:
    """``(state, in, out, rows) -> status``: see c_functions.py."""
    p = types.CPointer(t)
    return _I(_TABLE, p, p, _I)


def scipy_filter(t: Any) -> Any:
    """``int (double *, npy_intp, double *, void *)``, whatever the network's dtype."""
    return types.int32(_DOUBLES, types.intp, _DOUBLES, types.voidptr)


def scipy_integrand(t: Any) -> Any:
    """``double (int, double *, void *)``, whatever the network's dtype."""
    return types.float64(types.int32, _DOUBLES, types.voidptr)
