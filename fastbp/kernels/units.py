"""Using a unit's gradient: the update, and the derived copy of the weights that it changed."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import jit, roles
from fastbp.kernels import layout as lay
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.simd import at, call_transpose, call_update, lanes_of, pointer

_DOUBLE = np.float64(0.0)


@jit.kernel
def transpose(tag, t, unit):
    """Write the derived transpose of the rows of weights that a unit has just updated."""
    record = at(t, HEADER + unit[lay.U_LAYER] * RECORD)
    if unit[lay.U_KIND] != lay.UNIT_WEIGHTS or record[lay.L_WT] < 0 or record[lay.L_NARROW]:
        return
    params = pointer(tag, t[lay.PARAMS])
    vector = lanes_of(params)
    n_in, n_out = record[lay.L_IN], record[lay.L_OUT]
    width = unit[lay.U_WIDTH]
    columns = min(width, n_out - unit[lay.U_COLUMN])
    source = at(params, unit[lay.U_OFFSET])
    i = unit[lay.U_FIRST]
    while i < unit[lay.U_LAST]:
        # W's rows i ... i + vector - 1 become one vector of lanes in a panel of the transpose.
        panel = i // (2 * vector) * (2 * vector)
        panel_width = 2 * vector if n_in - panel > vector else vector
        target = at(
            params,
            record[lay.L_WT] + panel * n_out + unit[lay.U_COLUMN] * panel_width + i - panel,
        )
        from_row = at(source, (i - unit[lay.U_FIRST]) * width)
        height = min(vector, unit[lay.U_LAST] - i)
        call_transpose(t[lay.TRANSPOSE], (from_row, width, target, panel_width, height, columns))
        i += vector


@jit.doorway(roles.use)
def use(tag, t, unit, g):
    """Update one unit's parameters with its gradient."""
    params = pointer(tag, t[lay.PARAMS])
    offset = unit[lay.U_OFFSET]
    call_update(
        t[lay.UPDATE],
        (
            at(params, offset),
            g,
            at(pointer(tag, t[lay.SLOT0]), offset),
            at(pointer(tag, t[lay.SLOT1]), offset),
            at(pointer(tag, t[lay.SLOT2]), offset),
            unit[lay.U_LENGTH],
            pointer(_DOUBLE, t[lay.HYPER]),
        ),
    )
    transpose(tag, t, unit)
