"""Records of ``int64`` that numpy and kernels both read by name, declared once.

numba has records of its own. Here a type takes their place whose name is a word: numba writes the
names of all argument types into a function's symbol, and its own name of a record is that of every
field with its type and offset, which is kilobytes for the layout table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import (
    intrinsic,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
)

_I64 = ir.IntType(64)


class View(types.Type):  # type: ignore[misc]
    """numba's type of a record in memory: a pointer to its first field, which is read by name."""

    def __init__(self, record: Record) -> None:
        super().__init__(name=record.name)
        self.record = record


class Record:
    """The fields of a record.

    Parameters
    ----------
    name : str
        Its own name; no two records share one.
    *fields : str
        Names of ``int64`` fields, in order.
    size : int or None
        Values that it takes, if that is more than it has fields.
    nested : Record
        By the name of a field: a record that stands in this one, behind the other fields.

    Attributes
    ----------
    fields : dict
        The place of each field, in values; of a nested record, of its first.
    size : int
    dtype : numpy.dtype
        The structured dtype for arrays of it.
    """

    fields: dict[str, int]
    size: int
    dtype: np.dtype[Any]

    def __init__(self, name: str, *fields: str, size: int | None = None, **nested: Record) -> None:
        kinds: dict[str, Record | None] = {**dict.fromkeys(" ".join(fields).split()), **nested}
        self.name, self.nested = name, nested
        self.fields = {}
        end = 0
        for field, kind in kinds.items():
            self.fields[field] = end
            end += 1 if kind is None else kind.size
        self.size = end if size is None else size
        assert end <= self.size, f"{name} has {end} values, more than {self.size}"
        spec: Any = {
            "names": list(kinds),
            "formats": [np.int64 if kind is None else kind.dtype for kind in kinds.values()],
            "offsets": [8 * place for place in self.fields.values()],
            "itemsize": 8 * self.size,
        }
        self.dtype = np.dtype(spec)
        self.view = View(self)

    def at_address(self) -> Any:
        """An intrinsic: the record at an ``int64`` address, or where a pointer or view points."""
        return _casting(self.view)

    def numbered(self, behind: int = 0) -> Any:
        """An intrinsic: the same of records that stand one behind the other, by its number.

        The first of them is `behind` values behind the address.
        """
        return _casting(self.view, self.size, behind)


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


def _casting(view: View, size: int = 0, behind: int = 0) -> Any:
    def place(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = context.get_value_type(view)
        if sig.args[0] == types.int64:
            return builder.inttoptr(args[0], target)
        return builder.bitcast(args[0], target)

    if not size:

        @intrinsic
        def of(typingctx, where):
            return view(where), place

        return of

    @intrinsic
    def of_number(typingctx, where, number):
        def codegen(context, builder, sig, args):
            offset = builder.mul(args[1], _I64(size))
            if behind:
                offset = builder.add(offset, _I64(behind))
            return builder.gep(place(context, builder, sig, args), [offset])

        return view(where, types.int64), codegen

    return of_number


@register_model(View)
class _Pointer(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, view: View) -> None:
        super().__init__(manager, view, _I64.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):  # type: ignore[misc]
    key = View

    def generic_resolve(self, view: View, name: str) -> Any:
        if name not in view.record.fields:
            return None  # numba says that there is no such attribute
        nested = view.record.nested.get(name)
        return types.int64 if nested is None else nested.view


def _place(builder: Any, view: View, pointer: Any, name: str) -> Any:
    return builder.gep(pointer, [_I64(view.record.fields[name])])


@lower_getattr_generic(View)
def _read(context: Any, builder: Any, view: View, pointer: Any, name: str) -> Any:
    place = _place(builder, view, pointer, name)
    return place if name in view.record.nested else builder.load(place)


@lower_setattr_generic(View)
def _write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    builder.store(args[1], _place(builder, sig.args[0], args[0], name))
