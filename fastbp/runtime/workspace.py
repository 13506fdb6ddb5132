"""Where the values of samples stand as kernels work on them, and what kernels have left there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import dropout as dropping
from fastbp.kernels import layout as lay
from fastbp.kernels.compiling.records import Fields
from fastbp.kernels.compiling.target import lanes
from fastbp.layers.activations import kernel_of, record_of
from fastbp.runtime.memory import aligned_zeros, require_memory
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan

Array = NDArray[Any]


class Workspace:
    """The part of a program that holds inputs, outputs, sums and deltas of the rows at work.

    It writes the layers' records of the layout table, and the header's fields on the workspace.

    Parameters
    ----------
    header, records : Fields
        The program's layout table: its HEADER, and a LAYER for each layer.
    parameters : Parameters
        A network's.
    plan : Plan
        How many rows there are at a time.
    threads : int
        How many threads need scratch of their own.
    targeted : bool
        Whether targets, the samples' weights and deltas have places.
    drops : bool
        Whether layers drop outputs as their `dropout` says.
    sums : bool
        Whether every layer's weighted sums are kept beside its outputs.

    Attributes
    ----------
    values : ndarray
        All of it.
    weights : ndarray
        The part for the samples' weights, all 1; empty where they have no place.
    """

    def __init__(
        self,
        header: Fields,
        records: Sequence[Fields],
        parameters: Parameters,
        plan: Plan,
        threads: int,
        *,
        targeted: bool,
        drops: bool,
        sums: bool,
    ) -> None:
        self._parameters, self._layout = parameters, parameters.layout
        self._dtype = parameters.dtype
        self._header, self._records = header, records
        self._targeted, self._drops, self._sums = targeted, drops, sums
        self._kept: list[Array] = []  # what records point at
        self._offset = 0
        layers, held = self._layout.layers, plan.rows * plan.ahead
        header["samples"] = self._take(held * layers[0].ld_in)
        for index in range(len(layers)):
            self._describe(index)
            self._place(index, plan.rows)
        samples_weights = 0
        if targeted:
            header["targets"] = self._take(held * layers[-1].ld_out)
            header["sample_weights"] = samples_weights = self._take(held)
            size = max(tile_of(self._layout), *(layer.ld_out for layer in layers))
            header["scratch_size"], header["scratch"] = size, self._take(threads * size)
        slabs = plan.slabs * self._layout.n_updated if targeted else 0
        require_memory(
            f"a workspace for {plan.rows} rows of these layers takes",
            (self._offset + slabs) * self._layout.itemsize,
        )
        self.values = aligned_zeros(self._offset, self._dtype)
        header["workspace"] = self.values.ctypes.data
        self.weights = self.values[samples_weights:][: held if targeted else 0]
        self.weights[:] = 1.0

    @property
    def nbytes(self) -> int:
        """Bytes of all values, and of what belongs to layers."""
        return int(self.values.nbytes) + sum(int(array.nbytes) for array in self._kept)

    # -- what kernels have left --------------------------------------------------------------------

    def inputs(self, rows: int) -> Array:
        """The inputs of so many rows, without padding, as are all that follow."""
        first = self._layout.layers[0]
        return self._rows(self._header["samples"], rows, first.ld_in, first.n_in)

    def targets(self, rows: int) -> Array:
        """The rows' targets."""
        last = self._layout.layers[-1]
        return self._rows(self._header["targets"], rows, last.ld_out, last.n_out)

    def outputs(self, layer: int, rows: int) -> Array:
        """A layer's outputs."""
        return self._rows_of(layer, "outputs", rows)

    def sums(self, layer: int, rows: int) -> Array:
        """A layer's weighted sums, where they are kept: of the last layer, or of all."""
        return self._rows_of(layer, "sums", rows)

    def deltas(self, layer: int, rows: int) -> Array:
        """The error's derivatives by a layer's weighted sums."""
        return self._rows_of(layer, "deltas", rows)

    @contextmanager
    def without_slope(self, layer: int) -> Iterator[None]:
        """Leave the error's derivatives by a layer's outputs where those by its sums would be."""
        record = self._records[layer]
        kept, record["call_backward"] = record["call_backward"], 0
        try:
            yield
        finally:
            record["call_backward"] = kept

    def activation_settings(self, layer: int) -> int:
        """The address of the settings of a layer's activation, or 0 where it has none."""
        return self._records[layer]["settings"]

    def _rows_of(self, layer: int, field: str, rows: int) -> Array:
        at = self._layout.layers[layer]
        return self._rows(self._records[layer][field], rows, at.ld_out, at.n_out)

    def _rows(self, offset: int, rows: int, ld: int, n: int) -> Array:
        return self.values[offset:][: rows * ld].reshape(rows, ld)[:, :n]

    # -- how records are made ----------------------------------------------------------------------

    def _describe(self, index: int) -> None:
        """Write a layer's sizes, parameters' places and activation's kernels into its record."""
        layer, dense = self._layout.layers[index], self._parameters.layers[index]
        record, kind = self._records[index], kernel_of(dense.activation)
        record.write(
            n_in=layer.n_in,
            n_out=layer.n_out,
            ld_in=layer.ld_in,
            ld_out=layer.ld_out,
            narrow=layer.narrow,
            bias=layer.bias,
            stored_rows=layer.stored_rows,
            stored_columns=layer.stored_columns,
            weights=layer.weights,
            transposed=layer.transposed,
            biases=layer.biases,
        )
        # The last layer's sums are kept: fused losses and `Network.activations` read them.
        clamped = kind.clamped and not self._is_last(index) and not self._sums
        record["clamped"] = clamped
        if kind.forward is not None and not clamped:
            record["call_forward"] = kind.forward.address(self._dtype)
        if self._targeted and kind.backward is not None and not clamped:
            record["call_backward"] = kind.backward.address(self._dtype)
        if len(settings := record_of(dense.activation, self._dtype)):
            record["settings"] = self._hold(settings)

    def _place(self, index: int, rows: int) -> None:
        """Write where a layer's values stand, and what its dropout needs, into its record."""
        layer, dense = self._layout.layers[index], self._parameters.layers[index]
        record, kind, size = self._records[index], kernel_of(dense.activation), rows * layer.ld_out
        record["outputs"] = record["sums"] = record["passed_on"] = self._take(size)
        if kind.needs_z or ((self._sums or self._is_last(index)) and kind.forward is not None):
            record["sums"] = self._take(size)
        if self._drops and dense.dropout:
            record["passed_on"], record["kept"] = self._take(size), self._take(size)
            record["call_dropout"] = dropping.dropout.address(self._dtype)
            threshold = round(dense.dropout * 2**32)
            factors = 1.0 / (1.0 - dense.dropout), threshold >> 16, threshold & 0xFFFF
            record["dropout_settings"] = self._hold(np.array(factors, self._dtype))
        if self._targeted:
            record["deltas"] = self._take(size)

    def _is_last(self, index: int) -> bool:
        return index == len(self._layout.layers) - 1

    def _take(self, n: int) -> int:
        """Take a place for n values, at a cache line's boundary; return its offset."""
        offset = self._offset
        self._offset += lay.round_up(n, lay.ALIGNMENT // self._layout.itemsize)
        return offset

    def _hold(self, held: Array) -> int:
        """Keep an array as long as the workspace lives; return its address."""
        self._kept.append(held)
        return int(held.ctypes.data)


def tile_of(layout: lay.NetworkLayout) -> int:
    """Values of a gradient's tile."""
    return lay.PIECE_ROWS * 2 * lanes(layout.itemsize)
