"""Classes of settings that are compared by their fields, as dataclasses are, and made quickly.

The standard library writes methods anew for each dataclass, which for fastbp's takes a third of the
time of its import. How two are compared and shown needs no method of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, eq: bool = True) -> Callable[[type], type]:
        """Decorate as ``dataclasses.dataclass`` does, in half the time."""
        assert frozen, "one that can be changed has no hash"

        def decorated(kind: type) -> type:
            own = vars(kind)
            kind.__repr__ = own.get("__repr__", _shown)
            if eq:
                kind.__eq__ = own.get("__eq__", _equals)
                kind.__hash__ = own.get("__hash__") or _hashed  # None beside an __eq__ of its own
            return dataclasses.dataclass(frozen=True, eq=False, repr=False)(kind)

        return decorated


def _compared(one: Any) -> tuple[Any, ...]:
    return tuple(getattr(one, field.name) for field in dataclasses.fields(one) if field.compare)


def _equals(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hashed(self: Any) -> int:
    return hash(_compared(self))


@recursive_repr("...")
def _shown(self: Any) -> str:
    shown = [f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"
