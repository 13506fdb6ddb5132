"""Whether an object file is one, so that LLVM's loader may have it.

The loader trusts what it is given and ends the process where that leads elsewhere. Looked at are
the head, the table of sections and what it says of places and sizes, and that the symbols' names
are there: what another program's file, or a part of one, hasn't. ELF is gone through (numba makes
it on Windows too); of Mach-O only the head is looked at.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from fastbp.kernels.compiling import target

_HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, ...
_ENTRIES = {2: 24, 4: 24, 9: 16, 11: 24}  # bytes of a symbol, of a relocation with addend, without
_SYMTAB, _STRTAB, _NOBITS = 2, 3, 8
# This machine's number in ELF files, where it is known.
_MACHINE = {"x86_64": 62, "aarch64": 183}.get(target.TRIPLE.partition("-")[0])


def is_whole(code: bytes, names: Iterable[str]) -> bool:
    """Whether these are an object file's bytes, for this machine, and it has these symbols."""
    if sys.platform == "darwin":
        return code[:4] == b"\xcf\xfa\xed\xfe" and all(n.encode() in code for n in names)
    if len(code) < _HEAD.size:
        return False
    ident, kind, machine, _, _, _, start, _, _, _, _, each, count, strings = _HEAD.unpack_from(code)
    here = _MACHINE or machine
    if ident[:7] != b"\x7fELF\x02\x01\x01" or (kind, machine) != (1, here):
        return False  # not of 64 bits, little endian and relocatable
    if each != _SECTION.size or not 0 <= strings < count or start + count * each > len(code):
        return False
    sections = list(_SECTION.iter_unpack(code[start : start + count * each]))
    known = b""
    for _, kind, _, _, offset, size, link, _, _, entry in sections:
        if kind == _NOBITS:
            continue
        if offset + size > len(code) or link >= count:
            return False
        if kind in _ENTRIES and (entry != _ENTRIES[kind] or size % entry):
            return False
        if kind == _STRTAB and (not size or code[offset + size - 1]):
            return False
        if kind == _SYMTAB:
            if sections[link][1] != _STRTAB:
                return False
            place, length = sections[link][4:6]
            known = code[place : place + length]
    ends = (name.encode() + b"\0" for name in names)  # one name may be the end of another
    return sections[strings][1] == _STRTAB and all(end in known for end in ends)
