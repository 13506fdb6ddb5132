"""Where everything stands: widths become offsets and padded strides of flat buffers.

A network's parameters are one flat buffer in two parts. The first holds what an optimizer updates,
layer by layer: the weights, then the bias row. The second is derived from it or constant. All
counts and offsets are in values of the network's dtype.

Weights stand in *panels*: columns are cut into panels of two vectors (the last one may be a single
vector), and a panel holds its part of every row, one row below the other, so that a product reads
them as they stand and a gradient tile is one contiguous piece.

    wide layer     rows = inputs,  panels over outputs;  plus, for the delta product, a derived copy
                   of the transpose: rows = outputs, panels over inputs
    narrow layer   (a few outputs, at least one vector of inputs) rows = outputs, panels over
                   inputs: its forward product is a dot product along the inputs, so that a lane is
                   never spent on padding, and the delta product reads the same panels

Rows of activations and deltas are padded to whole vectors. Padding of weights and deltas is zero;
padding of activations is finite and never read as an operand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastbp.kernels.compiling.records import Record
from fastbp.kernels.compiling.target import TILE_ROWS, TILE_VECTORS, lanes

# -- the layout table: one header, then one record a layer, all int64 ------------------------------
# Header: the network.
N_LAYERS, N_INPUTS, N_OUTPUTS, LD0, PARAMS, ZEROS, N_UPDATED = range(7)
# Header: the workspace. BASE is its address; the others are offsets into it.
BASE, A0, TARGETS, LD_TARGETS, WEIGHTS, SCRATCH, SCRATCH_SIZE, BLOCK = range(8, 16)
# Header: buffers of their own, by address.
INDEX, ROW_LOSS, SLABS, SLAB_G, SLAB_LOSS = range(16, 21)
# Header: the data, and the addresses of the functions that read it.
N, BATCH, SHUFFLE, SEED, EPOCH, SPLIT_BITS, LAZY = range(24, 31)
X, X_ROW, X_FEATURE, X_OFFSETS, X_GATHER = range(31, 36)
Y, Y_ROW, Y_FEATURE, Y_OFFSETS, Y_GATHER = range(36, 41)
W, W_ROW, W_FEATURE, W_OFFSETS, W_GATHER = range(41, 46)
# Header: what to do.
MODE, THREADS, BARRIER, YIELD, LOSS, LOSS_PARAMETERS, FUSED_LOSS, RESULTS, STOP_ON_NONFINITE = (
    range(46, 55)
)
HYPER, RATES, RATE_STRIDE, UPDATE, PREPARE, SLOT0, SLOT1, SLOT2, PIECES, N_PIECES = range(55, 65)
# Header: parts that every network shares, by address.
TILES, DOTS, TRANSPOSE, READ_ROWS, PASSES, GRADIENTS, TRAIN_PIECES, UPDATE_PIECE = range(65, 73)
# Header: MERGED says that all parameters are updated at once; POSITIONS is how many positions of
# the epoch a thread keeps at a time, in INDEX behind a record WINDOW.
MERGED, POSITIONS, CLASS_IDS = 73, 74, 75
# Header: AHEAD small batches are read at a time; the one under way begins SHIFT rows into them.
# ONLINE is the address of what does them where the network is tiny. OUTER is that of an update by
# one sample's gradient, or 0.
AHEAD, SHIFT, ONLINE, OUTER = 76, 77, 78, 79
LEAST_POSITIONS = 256
# SHARES: where each thread's pieces begin, and the end.
SHARES = 80
# What a step does to gradients and weights beside the optimizer (refine.py): addresses, or 0.
REFINE, SETTINGS, CLIP, NORMS, CONSTRAIN = 81, 82, 83, 84, 85
# LOWEST: the first layer that learns, below which no delta is needed. UPDATES: how many updates
# there were before a call, for dropout's masks, of which DROPOUT_SEED is the seed.
LOWEST, UPDATES, DROPOUT_SEED = 86, 87, 88
# MEASURE says which metrics are taken, MEASURED holds their sums (measure.py), or they are 0.
MEASURE, MEASURED, SLAB_MEASURED = 89, 90, 91
# M: the weights that metrics take, where those of the loss have class weights in them; else there
# is no M_GATHER, and COUNTS, the address of the workspace rows' weights for metrics, is WEIGHTS'.
M, M_ROW, M_FEATURE, M_OFFSETS, M_GATHER, COUNTS = range(92, 98)
# SCALING: the address of float64 values, which say how weights are read and what they divide.
SCALING = 98
HEADER = 104

# Weights are read times a power of two, W_BY or M_BY, and what was above 0 is at least LEAST: so
# weights of any size neither overflow nor vanish. MEAN is the mean that divides the error (see
# `steps.divisor`), times W_BY, or 0 where the sum of the weights does.
W_BY, M_BY, LEAST, MEAN = range(4)

# A layer's record. A is its outputs, Z the sums where a derivative needs them, X what the layer
# above reads: A, or after a dropout A times KEEP.
(
    L_IN,
    L_OUT,
    L_LD_IN,
    L_LD_OUT,
    L_NARROW,
    L_ROWS,
    L_COLUMNS,
    L_W,
    L_WT,
    L_B,
    L_BIAS,
    L_FORWARD,
    L_BACKWARD,
    L_PARAMETERS,
    L_CLAMP,
    L_MASK,
    L_A,
    L_Z,
    L_D,
    L_X,
    L_KEEP,
    L_DROPOUT,
    L_DROPOUT_PARAMETERS,
) = range(23)
RECORD = 24

BIAS_NONE, BIAS_PER_UNIT, BIAS_SHARED = 0, 1, 2

# A piece of the parameters, which is one run of values and is updated at once.
PIECE = Record("piece", "kind layer offset length column width first last")
piece_of, piece_at = PIECE.numbered(), PIECE.at_address()
PIECE_WEIGHTS, PIECE_BIAS, PIECE_SHARED_BIAS = range(3)

# The positions `first` ... `last` - 1 of an epoch whose samples a thread keeps.
WINDOW = Record("window", "first last epoch", size=8)
window_at = WINDOW.at_address()

# What is measured: so many sums in all, and so many metrics; a record METRIC for each follows.
MEASURES = Record("measures", "sums metrics")
measures_at = MEASURES.at_address()
# One metric: its function's address, the place of its sums among all, its settings' address.
METRIC = Record("metric", "function sums settings")
metric_of = METRIC.numbered()

# MODE: what a pass over rows does.
MODE_TRAIN, MODE_GRADIENTS, MODE_EVALUATE = range(3)

# What `passes` does to a block of rows.
FORWARD, FORWARD_AND_LOSS, ALL_PASSES = range(3)

# RESULTS: float64 figures that kernels leave behind. A batch's error is E before its update, and
# R_LAST_DIVISOR what its sum was divided by; the sums run on until Python sets them back. R_BATCHES
# counts batches, R_UPDATES those that had a weight. From R_STATUS on, one value a thread.
R_ERROR, R_WEIGHT, R_LAST_ERROR, R_LAST_DIVISOR, R_BATCHES, R_UPDATES, R_STATUS = *range(6), 8

# What a kernel returns. NO_WEIGHT stays inside: a batch whose weights are all 0 makes no update.
OK, NONFINITE_LOSS, BAD_X, BAD_Y, BAD_WEIGHT, NO_WEIGHT = range(6)

#: rows of weights in a piece: whole tiles and whole transposition squares; two vectors wide, its
#: gradient takes 14 KB of L1
PIECE_ROWS = 112 if TILE_ROWS == 14 else 96
#: layers of at most this many outputs, and at least a vector of inputs, are narrow
NARROW_OUTPUTS = 4
#: or of twice as many, where they have so many vectors of inputs
NARROW_VECTORS = 8
#: a batch that is not kept whole is cut into at most so many slabs, whatever the threads
TRAINING_SLABS, EVALUATION_SLABS = 8, 64
# SETTINGS: float64 figures for refine.py, some for all and some a layer; infinite is no bound.
S_CLIP_VALUE, S_CLIP_NORM, S_LAYERS, S_LAYER = 0, 1, 8, 4
S_L1, S_L2, S_MAX_NORM = range(3)
#: cache line, and the alignment of every buffer
ALIGNMENT = 64
_PAGE = 4096


def round_up(n: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not less than `n`."""
    return -(-n // multiple) * multiple


def row_stride(n: int, itemsize: int) -> int:
    """Values from one row of `n` to the next: whole vectors, and off multiples of a page.

    Rows that lie a page apart fall into the same cache sets.
    """
    stride = round_up(n, lanes(itemsize))
    if n > 1 and (stride * itemsize) % _PAGE == 0:
        stride += ALIGNMENT // itemsize
    return stride


@dataclass(frozen=True)
class LayerLayout:
    """One layer's place in the parameter buffer."""

    n_in: int
    n_out: int
    ld_in: int
    ld_out: int
    bias: int
    narrow: bool
    weights: int  # offset of the panels
    biases: int  # offset of the bias row (of zeros, in the derived part, for a layer without)
    transposed: int  # offset of the transpose's panels; `weights` where narrow; -1 where none

    @property
    def rows(self) -> int:
        """Rows of the stored matrix."""
        return self.n_out if self.narrow else self.n_in

    @property
    def columns(self) -> int:
        """Columns of the stored matrix, the dimension cut into panels."""
        return self.n_in if self.narrow else self.n_out


@dataclass(frozen=True)
class NetworkLayout:
    """The whole parameter buffer."""

    layers: tuple[LayerLayout, ...]
    itemsize: int
    n_updated: int  # values that an optimizer updates, at the buffer's front
    zeros: int  # offset of a panel's width of zeros
    size: int


def panels(columns: int, itemsize: int) -> list[tuple[int, int]]:
    """``(first column, width)`` of each panel over that many columns."""
    vector = lanes(itemsize)
    width = TILE_VECTORS * vector
    return [
        (j, width if columns - j > vector else vector)
        for j in range(0, round_up(columns, vector), width)
    ]


def panel_size(columns: int, itemsize: int) -> int:
    """Values in one row of all panels together."""
    return round_up(columns, lanes(itemsize))


def network_layout(
    n_inputs: int, widths: list[int], biases: list[int], itemsize: int
) -> NetworkLayout:
    """Lay out the parameters of a network with those layer widths and kinds of bias."""
    vector = lanes(itemsize)
    n_in, ld_in, offset = n_inputs, row_stride(n_inputs, itemsize), 0
    placed: list[LayerLayout] = []
    for n_out, bias in zip(widths, biases, strict=True):
        ld_out = row_stride(n_out, itemsize)
        narrow = (n_out <= NARROW_OUTPUTS and n_in >= vector) or (
            n_out <= 2 * NARROW_OUTPUTS and n_in >= NARROW_VECTORS * vector
        )
        rows, columns = (n_out, n_in) if narrow else (n_in, n_out)
        weights = offset
        offset += rows * panel_size(columns, itemsize)
        at_bias = offset
        if bias != BIAS_NONE:
            offset += ld_out
        transposed = weights if narrow else -1
        placed.append(
            LayerLayout(n_in, n_out, ld_in, ld_out, bias, narrow, weights, at_bias, transposed)
        )
        n_in, ld_in = n_out, ld_out
    n_updated = offset
    zeros = offset
    offset += TILE_VECTORS * vector
    final: list[LayerLayout] = []
    for index, layer in enumerate(placed):
        if layer.bias == BIAS_NONE:
            layer = replace(layer, biases=offset)
            offset += layer.ld_out
        if index > 0 and not layer.narrow:
            layer = replace(layer, transposed=offset)
            offset += layer.n_out * panel_size(layer.n_in, itemsize)
        final.append(layer)
    return NetworkLayout(tuple(final), itemsize, n_updated, zeros, offset)
