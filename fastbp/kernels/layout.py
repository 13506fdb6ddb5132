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

# -- the layout table: a record HEADER, then a record LAYER for each layer -------------------------

# Samples, targets or weights as they lie in somebody's arrays, and what reads them from there: an
# address or 0, and strides in bytes. Where there is no feature stride, `offsets` is the address of
# each feature's place in a row.
SOURCE = Record("address row_stride feature_stride offsets call_gather")

# What is called by its address is 0 where it isn't wanted, and has a name in call_...
HEADER = Record(
    # The network. `parameters` is an address, `zeros` a place among the parameters.
    "n_layers n_inputs n_outputs ld_inputs parameters zeros n_updated",
    # The workspace: its address, places in it, and sizes in values.
    "workspace samples targets ld_targets sample_weights scratch scratch_size rows_per_block",
    # Addresses of buffers, and the number of slabs, each of which has a gradient.
    "index row_errors slabs slab_gradients slab_errors",
    # Which samples. Those that are lazy are checked as they are read.
    "n_samples batch_size shuffle seed epoch split_bits lazy class_ids",
    # What to do. `results` and all that follows it are addresses, but for flags and sizes.
    "mode threads barrier call_yield call_loss loss_settings fused_loss results",
    "stop_on_nonfinite hyper rates rate_stride call_update call_prepare slot0 slot1 slot2",
    "pieces n_pieces",
    # Parts that every network shares.
    "call_tiles call_dots call_transpose call_read_rows call_passes call_gradients",
    "call_train_pieces call_update_piece",
    # Whether all parameters are updated at once; how many positions of the epoch a thread keeps at
    # a time, in `index` behind a record WINDOW.
    "merged positions_kept",
    # So many small batches are read at a time; the one under way begins `shift` rows into them.
    # What does them all where the network is tiny; what updates by one sample's gradient.
    "batches_ahead shift call_online call_outer",
    # Where each thread's pieces begin, and the end.
    "shares",
    # What a step does to gradients and weights beside the optimizer (refine.py).
    "call_refine refine_settings call_clip norms call_constrain",
    # The first layer that learns, below which no delta is needed. How many updates there were
    # before a call, for dropout's masks, and the masks' seed.
    "lowest_layer updates_before dropout_seed",
    # Which metrics are taken, and their sums, in all and of each slab (measure.py); or 0.
    "measures measured slab_measured",
    # The address of the rows' weights for metrics: those of the loss, but where these have class
    # weights in them, and `m` is read as well.
    "metric_weights",
    # The address of float64 values, which say how weights are read and what they divide.
    "scaling",
    x=SOURCE,
    y=SOURCE,
    w=SOURCE,
    m=SOURCE,
    whole_lines=True,
)
header = HEADER.at_address()
LEAST_POSITIONS = 256

# At `scaling`. Weights are read times a power of two, W_BY or M_BY; what was above 0 is at least
# LEAST: so weights of any size neither overflow nor vanish. MEAN is the mean that divides the error
# (see `steps.divisor`), times W_BY, or 0 where the sum of the weights does.
W_BY, M_BY, LEAST, MEAN = range(4)

# A layer, behind the header. `weights`, `transposed` and `biases` are places among the parameters;
# `outputs`, `sums`, `deltas`, `passed_on` and `kept` are in the workspace. The sums are kept apart
# where a derivative needs them, else they are the outputs' place; what the layer above reads,
# `passed_on`, is the outputs or, after a dropout, outputs times `kept`. `narrow` says which
# way the weights are stored (see above), as a matrix of `stored_rows` and `stored_columns`. Where
# the layer is `clamped`, its activation max(z, 0) is done by the product that makes z, and its
# slope by the product that makes the deltas, which are 0 where the outputs are.
LAYER = Record(
    "n_in n_out ld_in ld_out narrow stored_rows stored_columns weights transposed",
    "biases bias call_forward call_backward settings clamped outputs sums deltas passed_on kept",
    "call_dropout dropout_settings",
    whole_lines=True,
)
layer_of = LAYER.numbered(behind=HEADER.size)

BIAS_NONE, BIAS_PER_UNIT, BIAS_SHARED = 0, 1, 2

# A piece of the parameters, which is one run of values and is updated at once: its offset among
# them and its length, both in values. Of weights, it is rows `first` ... `last` - 1 of the stored
# matrix, in the panel that begins at `column` and is `width` wide.
PIECE = Record("kind layer offset length column width first last")
piece_of, piece_at = PIECE.numbered(), PIECE.at_address()
PIECE_WEIGHTS, PIECE_BIAS, PIECE_SHARED_BIAS = range(3)

# The positions `first` ... `last` - 1 of an epoch whose samples a thread keeps.
WINDOW = Record("first last epoch", whole_lines=True)
window_at = WINDOW.at_address()

# What is measured: so many sums in all, and so many metrics; a record METRIC for each follows.
MEASURES = Record("sums metrics")
measures_at = MEASURES.at_address()
# One metric: what takes it, the place of its sums among all, its settings' address.
METRIC = Record("call_metric sums settings")
metric_of = METRIC.numbered()

# `mode`: what a pass over rows does.
MODE_TRAIN, MODE_GRADIENTS, MODE_EVALUATE = range(3)

# What `passes` does to a block of rows.
FORWARD, FORWARD_AND_LOSS, ALL_PASSES = range(3)

# At `results`: float64 figures that kernels leave behind. A batch's error is E before its update,
# and R_LAST_DIVISOR what its sum was divided by; the sums run on until Python sets them back.
# R_BATCHES counts batches, R_UPDATES those that had a weight. From R_STATUS on, one value a thread.
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
# At `refine_settings`: float64 figures for refine.py, some for all, then, from REFINE_LAYERS on,
# REFINE_LAYER for each layer. An infinite one is no bound.
REFINE_CLIP_VALUE, REFINE_CLIP_NORM, REFINE_LAYERS, REFINE_LAYER = 0, 1, 8, 4
REFINE_L1, REFINE_L2, REFINE_MAX_NORM = range(3)
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
    def stored_rows(self) -> int:
        """Rows of the stored matrix."""
        return self.n_out if self.narrow else self.n_in

    @property
    def stored_columns(self) -> int:
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
