"""The Jacobian of the residuals by backpropagation, and its product with itself.

b = samples of a block, k = outputs, p = parameters that are trained, in `get_weights`' order
r = w^½ (output - target), one for every sample and output; J = [∂r/∂parameters, r], (b k, p + 1)

Everything behind the derivatives is float64, whatever the network's dtype: J'J has the square of
J's condition. J's columns are taken in *strips* of two vectors; of J'J there are the tiles on and
above the diagonal, tile (i, j) at (j (j + 1) / 2 + i) times a tile's size, so that what stands
above it in its strip lies before it in memory. What J's padding holds is finite and goes nowhere
but into the padding of J'J.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.backward import backward
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_block, call_read_rows, call_tiles
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.maths.rows import widened
from fastbp.kernels.passes import clear
from fastbp.kernels.pieces import layer_input
from fastbp.kernels.team import barrier, first_bad_status, share

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)

#: the solver's own table: sizes, then addresses. SAMPLES is of a block, LD from row to row of J.
#: FAILED is 1 where a pivot was not above 0. At TRAINED stands what of each layer J has columns of,
#: its WEIGHTS, its BIASES or both.
P, STRIPS, WIDTH, SAMPLES, LD, J, PRODUCTS, FACTOR, TILES, ZEROS, FAILED, TRAINED = range(12)
SIZE = 16
WEIGHTS, BIASES = 1, 2


@jit.kernel
def tile_at(own, matrix, i, j):
    """Tile (i, j) of a matrix kept like J'J."""
    size = own[WIDTH] * own[WIDTH]
    return at(pointer(_DOUBLE, own[matrix]), (j * (j + 1) // 2 + i) * size)


@jit.kernel
def multiply_add(own, a, b, ld, init, step, c, k):
    """c = init + a' b for strips of k rows, into one tile; `step` is init's from row to row."""
    w = own[WIDTH]
    call_tiles(own[TILES], (a, 1, ld, b, ld, init, step, c, w, k, -math.inf, c, 0, w, 2))


@jit.kernel
def derivatives(like, t, trained, row, out):
    """One sample's derivatives by all that is trained, from its activations and deltas.

    By whole vectors: what is written too far is written over by what comes next.
    """
    base, one = pointer(like, t.workspace), np.float64(1.0)
    done = 0
    for number in range(t.lowest_layer, t.n_layers):
        layer, parts = layer_of(t, number), trained[number]
        n_in, n_out, ld_in = layer.n_in, layer.n_out, layer.ld_in
        a = at(base, layer_input(t, number, row, ld_in))
        d = at(base, layer.deltas + row * layer.ld_out)
        if parts & WEIGHTS:
            if n_out == 1:
                widened(at(out, done), a, np.float64(d[0]), n_in)
            else:
                for i in range(n_in):
                    widened(at(out, done + i * n_out), d, np.float64(a[i]), n_out)
            done += n_in * n_out
        if not parts & BIASES:
            continue
        if layer.bias == lay.BIAS_SHARED:
            total = 0.0
            for j in range(n_out):
                total += np.float64(d[j])
            out[done] = total
            done += 1
        elif layer.bias == lay.BIAS_PER_UNIT:
            widened(at(out, done), d, one, n_out)
            done += n_out


@jit.kernel
def jacobian_rows(like, t, own, first, rows):
    """J's rows of samples in workspace rows `first` ..., which have been through the network."""
    base, jacobian = pointer(like, t.workspace), pointer(_DOUBLE, own[J])
    trained = pointer(_INT, own[TRAINED])
    last = layer_of(t, t.n_layers - 1)
    k, ld = last.n_out, last.ld_out
    a, d = at(base, last.outputs), at(base, last.deltas)
    targets, weights = at(base, t.targets), at(base, t.sample_weights)
    for output in range(k):
        for r in range(first, first + rows):
            for j in range(ld):
                d[r * ld + j] = cast(d, 0)
            d[r * ld + output] = cast(d, math.sqrt(np.float64(weights[r])))
        backward(like, t, first, rows)
        for r in range(first, first + rows):
            row = at(jacobian, (r * k + output) * own[LD])
            if weights[r] == 0:  # whatever its values: 0 times infinity would be NaN
                clear(row, own[LD])
                continue
            derivatives(like, t, trained, r, row)
            off = np.float64(a[r * ld + output]) - np.float64(targets[r * ld + output])
            row[own[P]] = math.sqrt(np.float64(weights[r])) * off


@jit.kernel
def products(own, rows, accumulate, thread, threads):
    """This thread's share of the tiles of J'J, over the J's first `rows` rows."""
    strips, w = own[STRIPS], own[WIDTH]
    pairs = strips * (strips + 1) // 2
    begin, end = share(pairs, threads, thread), share(pairs, threads, thread + 1)
    jacobian, zeros = pointer(_DOUBLE, own[J]), pointer(_DOUBLE, own[ZEROS])
    pair = 0
    for j in range(strips):
        for i in range(j + 1):
            if begin <= pair < end:
                c = tile_at(own, PRODUCTS, i, j)
                init, step = (c, w) if accumulate else (zeros, 0)
                a, b = at(jacobian, i * w), at(jacobian, j * w)
                multiply_add(own, a, b, own[LD], init, step, c, rows)
            pair += 1


@jit.entry
def normal_equations(like, table, own_table, first, last, thread):
    """J'J over blocks `first` ... `last` - 1 of the samples, added to that of those before."""
    t, own = lay.header(table), pointer(_INT, own_table)
    results, threads = pointer(_DOUBLE, t.results), t.threads
    status = lay.OK
    for block in range(first, last):
        start = block * own[SAMPLES]
        rows = min(own[SAMPLES], t.n_samples - start)
        row, end = share(rows, threads, thread), share(rows, threads, thread + 1)
        count = end - row
        if count > 0:
            status = call_read_rows(t.call_read_rows, (like, t, start + row, row, count, thread))
            if status == lay.OK:
                call_block(t.call_passes, (like, t, row, count, lay.FORWARD, 0, 0))
                jacobian_rows(like, t, own, row, count)
        results[lay.R_STATUS + thread] = float(status)
        barrier(t)
        status = first_bad_status(t)
        if status != lay.OK:
            return status
        products(own, rows * t.n_outputs, block > 0, thread, threads)
        barrier(t)
    return status
