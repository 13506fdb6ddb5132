"""What tells one run's samples from another's: sizes, kinds of numbers, and digests of the values.

Of what is in memory every value counts, read at the memory's speed; of memory maps only 64 rows,
evenly spaced, do: reading them through could take longer than the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Samples, Source, is_map
from fastbp.kernels.layout import ALIGNMENT
from fastbp.kernels.maths import digest

Array = NDArray[Any]
#: by the name of the array: "about" (sizes and kind), "whole" (None for a map) and "sample"
Fingerprint = dict[str, dict[str, "str | None"]]

_SAMPLES = 64  # rows of the sample; format 1 of checkpoints had no more
_BLOCK = 8 * digest.LANES  # bytes
_MOST = 1 << 24  # bytes at a time; Ctrl-C is heard in between
_COPIED = 1 << 18  # bytes that are copied at a time, where rows are not contiguous


def of(samples: Samples | None, dtype: str) -> Fingerprint | None:
    """The fingerprint of X, y and, where there are any, sample weights.

    Parameters
    ----------
    samples : Samples or None
        None gives None.
    dtype : {"float32", "float64"}
        That of the network, whose kernels are there already.
    """
    if samples is None:
        return None
    found: Fingerprint = {}
    for name, source in zip(("X", "y", "sample_weight"), samples, strict=True):
        if source is not None:
            rows = _rows(source)
            found[name] = {
                "about": f"{source.n} x {source.n_features} {source.kind}",
                "whole": None if is_map(source.array) else _whole(rows, dtype),
                "sample": _sample(rows),
            }
    return found


def differences(what: str, before: Fingerprint | None, now: Fingerprint | None) -> list[str]:
    """What differs, in words; samples alone are compared where one side has no more."""
    found = []
    before, now = before or {}, now or {}
    for name in sorted({*before, *now}):
        a, b = before.get(name), now.get(name)
        if a is not None and b is not None:
            digests = "whole" if a["whole"] and b["whole"] else "sample"
            texts = [f"{side['about']} {side[digests]}" for side in (a, b)]
        else:
            texts = [f"{side['about']} {side['sample']}" if side else "none" for side in (a, b)]
        if texts[0] != texts[1]:
            found.append(f"{what} {name} was {texts[0]!r}, is {texts[1]!r}")
    return found


def _rows(source: Source) -> Array:
    """The array of a source's own rows: it may be a part of a greater one."""
    skipped = source.address - source.array.ctypes.data
    first = skipped // source.row_stride if skipped else 0
    return source.array[first : first + source.n]


def _sample(rows: Array) -> str:
    chosen = np.unique(np.linspace(0, len(rows) - 1, _SAMPLES).astype(np.int64))
    return hashlib.sha256(np.ascontiguousarray(rows[chosen]).tobytes()).hexdigest()[:16]


def _whole(rows: Array, dtype: str) -> str:
    absorb = digest.absorb.compiled(dtype)
    rest, raw = np.zeros(_BLOCK, np.uint8), np.empty(digest.LANES + ALIGNMENT // 8, np.uint64)
    # On a cache line's boundary: elsewhere it takes up to 1.4 times as long.
    lanes = raw[-raw.ctypes.data % ALIGNMENT // 8 :][: digest.LANES]
    lanes[:] = np.arange(1, 1 + digest.LANES)
    held = size = 0
    for piece in _pieces(rows):
        size += len(piece)
        if held:
            taken = min(_BLOCK - held, len(piece))
            rest[held : held + taken] = piece[:taken]
            held, piece = held + taken, piece[taken:]
            if held < _BLOCK:
                continue
            absorb(0.0, lanes.ctypes.data, rest.ctypes.data, digest.LANES)
        count = len(piece) // _BLOCK * _BLOCK
        if count:
            words = piece[:count] if piece.ctypes.data % 8 == 0 else piece[:count].copy()
            absorb(0.0, lanes.ctypes.data, words.ctypes.data, count // 8)
        held = len(piece) - count
        rest[:held] = piece[count:]
    last = hashlib.sha256(lanes.tobytes())
    last.update(rest[:held].tobytes() + size.to_bytes(8, "little"))
    return last.hexdigest()[:16]


def _pieces(rows: Array) -> Iterator[NDArray[np.uint8]]:
    """The bytes of all values in order, some at a time."""
    if rows.flags.c_contiguous:
        flat = rows.reshape(-1).view(np.uint8)
        yield from (flat[i : i + _MOST] for i in range(0, len(flat), _MOST))
        return
    step = max(1, _COPIED * len(rows) // max(1, rows.nbytes))
    for i in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[i : i + step]).reshape(-1).view(np.uint8)
