"""Records of ``int64`` that numpy, kernels and Python read by name, declared once.

A kernel is given an address and looks at the record that stands there, by an intrinsic: numba has
records, but none that its C callbacks could be given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

_I64 = ir.IntType(64)


class Record:
    """The fields of a record.

    Parameters
    ----------
    *fields : str
        Names of ``int64`` fields, in order.
    whole_lines : bool
        Whether it takes whole cache lines, of 8 values.
    **nested : Record
        By the name of a field: a record that stands in this one, behind the other fields.

    Attributes
    ----------
    fields : dict
        The place of each field, in values; of a nested record, of its first.
    size : int
        In values.
    dtype : numpy.dtype
        The structured dtype for arrays of it.
    """

    fields: dict[str, int]
    size: int
    dtype: np.dtype[Any]

    def __init__(self, *fields: str, whole_lines: bool = False, **nested: Record) -> None:
        kinds: dict[str, Record | None] = {**dict.fromkeys(" ".join(fields).split()), **nested}
        self.nested, self.fields = nested, {}
        end = 0
        for field, kind in kinds.items():
            self.fields[field] = end
            end += 1 if kind is None else kind.size
        self.size = -(-end // 8) * 8 if whole_lines else end
        spec: Any = {
            "names": list(kinds),
            "formats": [np.int64 if kind is None else kind.dtype for kind in kinds.values()],
            "offsets": [8 * place for place in self.fields.values()],
            "itemsize": 8 * self.size,
        }
        self.dtype = np.dtype(spec, align=True)

    def at_address(self) -> Any:
        """An intrinsic: the record at an ``int64`` address, or where a pointer or record stands."""

        @intrinsic
        def of(typingctx, where):
            record = from_dtype(self.dtype)  # when something is compiled: it takes its time

            def codegen(context, builder, sig, args):
                return _cast(builder, args[0], context.get_value_type(record))

            return record(where), codegen

        return of

    def numbered(self, behind: int = 0) -> Any:
        """An intrinsic: the same of records that stand one behind the other, by its number.

        The first of them is `behind` values behind the address.
        """
        size = self.size

        @intrinsic
        def of_number(typingctx, where, number):
            record = from_dtype(self.dtype)

            def codegen(context, builder, sig, args):
                first = _cast(builder, args[0], _I64.as_pointer())
                place = builder.add(builder.mul(args[1], _I64(size)), _I64(behind))
                return _cast(builder, builder.gep(first, [place]), context.get_value_type(record))

            return record(where, types.int64), codegen

        return of_number


def _cast(builder: Any, where: Any, to: Any) -> Any:
    """An address or a pointer as a pointer of that type."""
    if where.type == _I64:
        return builder.inttoptr(where, to)
    return builder.bitcast(where, to)


class Fields:
    """A record in memory, for Python: fields are read and written by name.

    Quicker than numpy's fields by an order of magnitude. Where even this takes too long, a cell of
    the buffer can be taken by the place that `Record.fields` says.

    Parameters
    ----------
    record : Record
    cells : memoryview
        ``int64``, from the record's first on.
    """

    __slots__ = ("_cells", "_places", "_record")

    def __init__(self, record: Record, cells: memoryview[int]) -> None:
        self._record, self._cells, self._places = record, cells, record.fields

    def __getitem__(self, name: str) -> int:
        return self._cells[self._places[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._cells[self._places[name]] = value

    def write(self, **values: int) -> None:
        """Write several fields, which takes less time than one by one."""
        cells, places = self._cells, self._places
        for name, value in values.items():
            cells[places[name]] = value

    def nested(self, name: str) -> Fields:
        """The record that stands in this one as a field."""
        return Fields(self._record.nested[name], self._cells[self._places[name] :])
