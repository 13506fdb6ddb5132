"""The three products of a layer, over panels (see layout.py), by register tiles.

r = rows of the batch, i = inputs, o = outputs
    forward    z[r, o]  = b[o] + sum_i a[r, i] W[i, o]
    delta      d'[r, i] = sum_o d[r, o] W[i, o], zero where a clamped activation is
    gradient   G[i, o]  = sum_r a[r, i] d[r, o]

Each sum is one chain in the order of its index, whatever the tile, so that results do not depend
on how rows are shared out. Operands of the tile (tiles.py): c[m] = init[m] + sum_k a[m, k] b[k].

Tiles, dot products and transpositions are called by address: numba optimises a callee anew in
each caller's module, and with 28 tiles in it the loop of epoch.py took 70 s to compile.
"""

from __future__ import annotations

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_tiles
from fastbp.kernels.compiling.simd import at, cast, lanes_of
from fastbp.kernels.compiling.target import TILE_ROWS, TILE_VECTORS
from fastbp.kernels.maths.dots import DOT_ROWS, dot
from fastbp.kernels.maths.tiles import PANELS_AT_ONCE, tile, transpose_block, vector_row, wide_row

# At most so many rows of at most one vector are done in place: a call costs more than they do.
_FEW_ROWS = 2
_FEW_GRADIENT_ROWS = 8
# Terms of the sum a pass: one panel's rows then stay in L2 beside the rows of A that stream past.
_PASS = 2048


@jit.cfunc(roles.tiles)
def tiles(a, am, ak, b, bk, init, im, c, cm, k, low, mask, masked, rows, vectors):
    """One panel's columns of a product: `rows` rows in tiles of nearly equal height."""
    n = (rows + TILE_ROWS - 1) // TILE_ROWS
    height = rows // n + 1
    count = rows - n * (height - 1)  # so many tiles have one row more than the others
    if count == 0:
        height -= 1
        count = n
    done = 0
    while count:
        tile(
            height,
            vectors,
            (
                at(a, done * am), am, ak, b, bk, at(init, done * im), im, at(c, done * cm), cm, k,
                low, at(mask, done * cm), masked, count,
            ),
        )  # fmt: skip
        done += count * height
        n -= count
        count = n
        height -= 1


@jit.cfunc(roles.dots)
def dots(a, am, w, n_in, bias, c, cm, rows, n_out):
    """The forward product of a narrow layer: one dot product an output, lanes along the inputs."""
    vector = lanes_of(c)
    zero = cast(c, 0)
    for i in range(rows * cm):
        c[i] = zero
    n = (n_in + vector - 1) // vector
    for o in range(n_out):
        weights = at(w, o * 2 * vector)
        shift = -o * vector if n & 1 else 0  # a last panel of one vector has shorter rows
        r = 0
        while r < rows:
            many = rows - r >= DOT_ROWS
            to = at(c, r * cm + o)
            dot(many, (at(a, r * am), am, weights, 2 * vector * n_out, n, shift, bias[o], to, cm))
            r += DOT_ROWS if many else 1


@jit.cfunc(roles.transpose)
def transpose(source, source_stride, target, target_stride, rows, columns):
    """``target[j, i] = source[i, j]`` for at most a vector of rows, and any columns."""
    vector = lanes_of(source)
    j = 0
    if rows == vector:
        while columns - j >= vector:
            to = at(target, j * target_stride)
            transpose_block(at(source, j), source_stride, to, target_stride)
            j += vector
    for c in range(j, columns):
        for r in range(rows):
            target[c * target_stride + r] = source[r * source_stride + c]


@jit.kernel
def over_panels(by, a, am, panels, k, init, init_step, c, cm, low, mask, masked, rows, columns):
    """``c = max(init + a B, low)`` with B in panels of `k` rows; the forward and delta products.

    `by` is the address of `tiles`. `init` is one row (`init_step` 1), or a panel's width of zeros
    (`init_step` 0).
    """
    vector = lanes_of(c)
    none = cast(c, -float("inf"))
    if rows <= _FEW_ROWS and columns <= vector:
        for r in range(rows):
            to, at_mask = at(c, r * cm), at(mask, r * cm)
            vector_row((at(a, r * am), 1, panels, vector, init, to, k, low, at_mask, masked))
        return
    j = 0
    if rows <= _FEW_ROWS:
        span = PANELS_AT_ONCE * TILE_VECTORS * vector
        width = TILE_VECTORS * vector
        while columns - j >= span:
            for r in range(rows):
                start, to, mask_j = at(init, j * init_step), at(c, r * cm + j), at(mask, r * cm + j)
                row, b = at(a, r * am), at(panels, j * k)
                wide_row((row, b, k * width, start, init_step * width, to, k, low, mask_j, masked))
            j += span
    while j < columns:
        vectors = 2 if columns - j > vector else 1
        width = vectors * vector
        b, to, mask_j = at(panels, j * k), at(c, j), at(mask, j)
        start, step, first = at(init, j * init_step), 0, 0
        while first < k:
            count = min(_PASS, k - first)
            last = first + count == k
            call_tiles(
                by,
                (
                    at(a, first), am, 1, at(b, first * width), width, start, step, to, cm, count,
                    low if last else none, mask_j, masked if last else 0, rows, vectors,
                ),
            )  # fmt: skip
            start, step = to, cm
            first += count
        j += width


@jit.kernel
def gradient_piece(by, a, am, d, dm, zeros, accumulate, g, first, last, width, rows):
    """Rows `first` ... `last` - 1 of one panel of the gradient, `width` columns wide.

    `a` are the values whose columns become the gradient's rows, `d` those of the panel's columns.
    """
    none = cast(g, -float("inf"))
    start, step = (g, width) if accumulate else (zeros, 0)
    if width == lanes_of(g) and last - first <= _FEW_GRADIENT_ROWS and rows <= _FEW_ROWS:
        for m in range(last - first):
            to, init = at(g, m * width), at(start, m * step)
            vector_row((at(a, first + m), am, d, dm, init, to, rows, none, g, 0))
        return
    vectors = width // lanes_of(g)
    call_tiles(
        by,
        (
            at(a, first), 1, am, d, dm, start, step, g, width, rows,
            none, g, 0, last - first, vectors,
        ),
    )  # fmt: skip
