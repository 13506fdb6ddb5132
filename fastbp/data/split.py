"""Holding out the last part of the samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import warn
from fastbp.data.inputs import Samples, Source
from fastbp.data.values import CHUNK

_NAMED = 5  # classes that a warning names


def validation_split(
    samples: Samples, fraction: float, dtype: str, n_outputs: int, counts: bool = False
) -> tuple[Samples, Samples]:
    """The samples to train on, and the last `fraction` of them to validate on; nothing is copied.

    Parameters
    ----------
    samples : Samples
    fraction : float
        Of them that are held out.
    dtype : {"float32", "float64"}
        The network's, in which weights are above 0 or not.
    n_outputs : int
        Of the network.
    counts : bool
        Whether the targets are counts, of which 0 and 1 are no classes.

    Raises
    ------
    ValueError
        The fraction leaves no sample on one side, or none with a weight above 0 in `dtype`.

    Warns
    -----
    UserWarning
        Targets are classes (ids, one-hot rows, or 0 and 1 or -1 and 1 for a single output), and one
        side has, in rows of weight above 0, a class that the other hasn't.
    """
    n = samples[0].n
    cut = n - round(n * fraction)
    if not 0 < cut < n:
        raise ValueError(f"validation_split={fraction} of {n} samples leaves none on one side")
    x, y, w = samples
    head = _part(x, 0, cut), _part(y, 0, cut), w and _weights(w, 0, cut, fraction, dtype)
    tail = _part(x, cut, n), _part(y, cut, n), w and _weights(w, cut, n, fraction, dtype)
    if not counts:
        _compare_classes(head, tail, fraction, n_outputs)
    return head, tail


def _weights(source: Source, first: int, end: int, fraction: float, dtype: str) -> Source:
    """A part of the weights, with its own greatest one."""
    part = _part(source, first, end)
    greatest = float(np.dtype(dtype).type(part.array.max()))
    if greatest == 0:
        raise ValueError(f"validation_split={fraction} leaves one side with sample_weight all 0")
    return part._replace(greatest=greatest)


def _part(source: Source, first: int, end: int) -> Source:
    """Samples `first` ... `end` - 1; its array holds these and no others."""
    address = source.address + first * source.row_stride
    return source._replace(array=source.array[first:end], n=end - first, address=address)


def _compare_classes(head: Samples, tail: Samples, fraction: float, n_outputs: int) -> None:
    """Warn where one part has classes that the other hasn't."""
    seen = [_classes(part, n_outputs) for part in (head, tail)]
    first = 0
    if n_outputs == 1 and any(s is not None and s[0] for s in seen):
        first = -1
        if any(s is not None and s[1] for s in seen):
            return  # -1, 0 and 1 are no two classes
    elif n_outputs == 1:
        seen = [None if s is None else s[1:] for s in seen]
    if seen[0] is None or seen[1] is None:
        return
    trained, held_out = ({int(c) + first for c in np.flatnonzero(s)} for s in seen if s is not None)
    parts = [
        f"{_named(only)} {where}"
        for only, where in (
            (held_out - trained, "only among them"),
            (trained - held_out, "only among the others"),
        )
        if only
    ]
    if parts:
        n = tail[0].n
        warn(
            f"validation_split={fraction} holds out the last {n:,} of {head[0].n + n:,} samples, "
            f"with {' and '.join(parts)}: shuffle the rows of X and y before, or give "
            "validation_data"
        )


def _named(classes: set[int]) -> str:
    few = ", ".join(map(str, sorted(classes)[:_NAMED]))
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    return f"class{'es' if len(classes) > 1 else ''} {few}{more}"


def _classes(samples: Samples, n_outputs: int) -> NDArray[np.bool_] | None:
    """Which classes occur in rows of weight above 0; for one output, which of -1, 0 and 1.

    None where the targets are no classes, which their first values mostly tell.
    """
    x, y, weights = samples
    seen = np.zeros(n_outputs if n_outputs > 1 else 3, np.bool_)
    rows = max(1, CHUNK // n_outputs)
    first = min(rows, 1024)
    for start, end in [(0, min(first, x.n)), *((i, i + rows) for i in range(first, x.n, rows))]:
        block = np.asarray(y.array[start:end])
        if weights is not None:
            block = block[np.asarray(weights.array[start:end]) > 0]
        if y.class_ids:
            seen[block.astype(np.int64)] = True
        elif n_outputs == 1:
            block = block.reshape(-1)
            places = [block == value for value in (-1, 0, 1)]
            if not np.all(places[0] | places[1] | places[2]):
                return None
            seen |= [bool(place.any()) for place in places]
        else:
            block = block.reshape(-1, n_outputs)
            ones = block == 1
            if not (np.all(ones | (block == 0)) and np.all(ones.sum(axis=1) == 1)):
                return None
            seen |= ones.any(axis=0)
    return seen
