"""The loop: shuffle, gather, forward, backward, update, for a range of batches, in one call.

Every thread of a team runs the same loop, and the calling one, thread 0, leaves a kernel only when
all others have done their work. A batch takes one of two plans, by its size alone:

    whole    the batch's activations stay in the workspace. Rows are shared out for the passes
             forward and backward; then pieces of the parameters are: each piece's gradient is
             formed over the whole batch and used at once, while it is in L1.
    slabs    the batch is cut into a fixed number of slabs, each worked on in blocks of rows that
             stay in cache, each with a gradient of its own; then pieces are shared out: the slabs'
             gradients are added up in order, and used.

Small batches of one thread are read several at a time, ahead of their steps, since reading them one
by one would be most of the work; tiny networks then take all of them through online.py.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import (
    call_batches,
    call_block,
    call_gradients,
    call_pieces,
    call_read_rows,
    call_refine,
    call_update_piece,
)
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.measure import add_measures, measure
from fastbp.kernels.steps import (
    begin_step,
    divisor,
    end_step,
    ordered_sum,
    record_error,
    weights_of,
)
from fastbp.kernels.team import barrier, first_bad_status, share
from fastbp.kernels.updates.hyper import LEARNING_RATE

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)
# For a literal 0 all kernels that it is handed to would be compiled again.
_ZERO = np.int64(0)


@jit.kernel
def clip_and_bound(like, t, thread):
    """Clip the gradients by their norm, and bound the weights', where that is asked for."""
    shares = pointer(_INT, t.shares)
    g = pointer(like, t.slab_gradients)
    if t.call_clip:
        call_pieces(t.call_clip, (like, t, shares[thread], shares[thread + 1], 0, g))
        barrier(t)
    if t.call_constrain:
        scratch = at(pointer(like, t.workspace), t.scratch + thread * t.scratch_size)
        call_pieces(t.call_constrain, (like, t, thread, t.threads, 0, scratch))
        barrier(t)


@jit.kernel
def skip(t, rate, thread):
    """A batch without weight is no step: the last rate stays, and all wait for each other.

    Nobody may read the next batch while another still sums this one's weights.
    """
    if thread == 0 and t.mode == lay.MODE_TRAIN:
        pointer(_DOUBLE, t.hyper)[LEARNING_RATE] = rate
    barrier(t)
    return lay.NO_WEIGHT


@jit.kernel
def add_up(like, t, thread):
    """Sum the slabs' gradients, piece by piece in the slabs' order, into the first; use them."""
    size = t.n_updated
    pieces, shares = t.pieces, pointer(_INT, t.shares)
    for number in range(shares[thread], shares[thread + 1]):
        piece = lay.piece_of(pieces, number)
        g = at(pointer(like, t.slab_gradients), piece.offset)
        for s in range(1, t.slabs):
            other = at(g, s * size)
            for i in range(piece.length):
                g[i] = g[i] + other[i]
        if t.call_refine:
            call_refine(t.call_refine, (like, t, number, g))
        if t.mode == lay.MODE_TRAIN and not t.call_clip:
            call_update_piece(t.call_update_piece, (like, t, piece, g))


@jit.kernel
def conclude(like, t, updates_made, rows, status, thread):
    """What comes when a batch's rows have been through the network, and all threads do alike.

    The threads come to one status; the error is recorded and metrics are taken; then gradients are
    used. `updates_made` and the status that is returned are those of `whole_batch`.
    """
    slabs, train = t.slabs, t.mode == lay.MODE_TRAIN
    pointer(_DOUBLE, t.results)[lay.R_STATUS + thread] = float(status)
    rate = begin_step(t, updates_made) if thread == 0 and train else 0.0
    barrier(t)
    status = first_bad_status(t)
    if status != lay.OK:
        return status
    if slabs:
        slab_errors = pointer(_DOUBLE, t.slab_errors)
        error, weight = ordered_sum(slab_errors, slabs), ordered_sum(at(slab_errors, slabs), slabs)
    else:
        error = ordered_sum(pointer(_DOUBLE, t.row_errors), rows)
        weight = weights_of(like, t, _ZERO, rows)
    if not record_error(t, thread, error, rows, weight):
        return lay.NONFINITE_LOSS
    if t.measures and thread == 0:
        if slabs:
            add_measures(t, slabs)
        else:
            measure(like, t, 0, rows, 0, pointer(_DOUBLE, t.measured))
    if weight == 0.0:
        return skip(t, rate, thread)
    shares = pointer(_INT, t.shares)
    if not slabs:
        g = at(pointer(like, t.workspace), t.scratch + thread * t.scratch_size)
        begin, end = shares[thread], shares[thread + 1]
        call_pieces(t.call_train_pieces, (like, t, begin, end, rows, g))
    elif t.mode != lay.MODE_EVALUATE:
        add_up(like, t, thread)
    barrier(t)
    if train:
        clip_and_bound(like, t, thread)
        if thread == 0:
            end_step(t)
    return lay.OK


@jit.kernel
def whole_batch(like, t, updates_made, start, rows, thread):
    """One batch, after `updates_made` updates of this call; a status, which may be NO_WEIGHT.

    It is the epoch's samples from position `start` on, `rows` in number. They stand in the
    workspace's first rows, or `t.shift` rows behind where they were read ahead.
    """
    threads = t.threads
    first, last = share(rows, threads, thread), share(rows, threads, thread + 1)
    status = lay.OK
    if t.batches_ahead == 1:
        status = call_read_rows(
            t.call_read_rows, (like, t, start + first, first, last - first, thread)
        )
    if status == lay.OK:
        scale = cast(pointer(like, t.workspace), 1.0 / divisor(t, rows, 1.0))
        row = first
        while row < last:
            count = min(t.rows_per_block, last - row)
            call_block(t.call_passes, (scale, t, row, count, lay.ALL_PASSES, row, updates_made))
            row += count
    return conclude(like, t, updates_made, rows, status, thread)


@jit.kernel
def slab(like, t, which, updates_made, start, rows, scale, thread):
    """One slab of a batch, block by block.

    Its error goes to `slab_errors`, its weight behind the errors of all, its gradient to
    `slab_gradients`.
    """
    g = at(pointer(like, t.slab_gradients), which * t.n_updated)
    slab_errors = pointer(_DOUBLE, t.slab_errors)
    first, last = share(rows, t.slabs, which), share(rows, t.slabs, which + 1)
    row = thread * t.rows_per_block
    error, weight, done = 0.0, 0.0, first
    evaluate = t.mode == lay.MODE_EVALUATE
    which_passes = lay.FORWARD_AND_LOSS if evaluate else lay.ALL_PASSES
    if first == last and not evaluate:  # fewer rows than slabs: a last batch's remainder
        for i in range(t.n_updated):
            g[i] = 0
    while done < last:
        count = min(t.rows_per_block, last - done)
        status = call_read_rows(t.call_read_rows, (like, t, start + done, row, count, thread))
        if status != lay.OK:
            return status
        call_block(t.call_passes, (cast(g, scale), t, row, count, which_passes, done, updates_made))
        error += ordered_sum(at(pointer(_DOUBLE, t.row_errors), row), count)
        weight += weights_of(like, t, row, count)
        if t.measures:
            size = lay.measures_at(t.measures).sums
            measure(like, t, row, count, done, at(pointer(_DOUBLE, t.slab_measured), which * size))
        if not evaluate:
            call_gradients(t.call_gradients, (like, t, row, count, g, int(done > first)))
        done += count
    slab_errors[which], slab_errors[t.slabs + which] = error, weight
    return lay.OK


@jit.kernel
def slabs_batch(like, t, updates_made, start, rows, thread):
    """As `whole_batch`."""
    threads, slabs = t.threads, t.slabs
    status, scale = lay.OK, 1.0 / divisor(t, rows, 1.0)
    for s in range(share(slabs, threads, thread), share(slabs, threads, thread + 1)):
        if status == lay.OK:
            status = slab(like, t, s, updates_made, start, rows, scale, thread)
    return conclude(like, t, updates_made, rows, status, thread)


@jit.kernel
def batches_read_ahead(like, t, updates_made, start, count):
    """`count` small batches, read at once: reading one at a time would be most of the work."""
    size = t.batch_size
    rows = min(count * size, t.n_samples - start)
    status = call_read_rows(t.call_read_rows, (like, t, start, 0, rows, 0))
    if status == lay.OK and t.call_online:
        return call_batches(t.call_online, (like, t, updates_made, rows))
    done = 0
    while done < rows and status == lay.OK:
        t.shift = done
        status = whole_batch(like, t, updates_made, start + done, min(size, rows - done), _ZERO)
        updates_made += int(status == lay.OK)
        status = lay.OK if status == lay.NO_WEIGHT else status
        if status == lay.OK:
            pointer(_DOUBLE, t.results)[lay.R_BATCHES] += 1.0
        done += size
    t.shift = 0
    return status


@jit.entry
def run(like, table, first, last, thread):
    """Batches `first` ... `last` - 1 as the layout table says; a status (layout.OK ...)."""
    t = lay.header(table)
    n, size = t.n_samples, t.batch_size
    results = pointer(_DOUBLE, t.results)
    before = results[lay.R_UPDATES]
    status, b, updates_made = lay.OK, first, _ZERO
    while b < last and status == lay.OK:
        start = b * size
        count = min(t.batches_ahead, last - b)
        rows = min(size, n - start)
        if t.slabs:
            status = slabs_batch(like, t, updates_made, start, rows, thread)
        elif t.batches_ahead > 1:  # one thread's work alone
            status = batches_read_ahead(like, t, updates_made, start, count)
            updates_made = np.int64(results[lay.R_UPDATES] - before)
        else:
            status = whole_batch(like, t, updates_made, start, rows, thread)
        if t.batches_ahead == 1:
            updates_made += int(status == lay.OK)
            status = lay.OK if status == lay.NO_WEIGHT else status
            if thread == 0 and status == lay.OK:
                results[lay.R_BATCHES] += 1.0
        b += count
    return status
