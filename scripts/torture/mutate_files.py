#!/usr/bin/env python3
"""Damage files in 20,000 and more ways; each must be refused, or load to what it was.

Refused means fastbp's own error. Anything else, a load to something different, more memory than
the file's own size and 1 MB (as Python and numpy report it), or more than ten seconds is a failure,
and the exit status is 1; the file is kept then.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp.files import checkpoints as checkpoint
from fastbp.files import container, model_file, tree
from fastbp.files.container import ModelFileError

ROOT = Path(__file__).parents[2]


class Kind(NamedTuple):
    """A kind of file: its reader, what identifies contents, and whole files put into a folder."""

    format: container.Kind
    read: Callable[[Path], Any]
    contents: Callable[[Any], bytes]
    make: Callable[[Path], list[Path]]


def golden_models(_: Path) -> list[Path]:
    folder = ROOT / "tests" / "golden" / "models"
    return sorted(p for p in folder.glob("*.safetensors") if not p.name.startswith("refused"))


def checkpoints(folder: Path) -> list[Path]:
    """Write checkpoints of trainers of several kinds, inside an epoch and at its end."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    made = []
    for index, (optimizer, batch_size) in enumerate(
        [
            ("sgd", 16),
            ("adam", 7),
            (fastbp.SGD(fastbp.StepDecay(0.1, every=3)), 8),
            ("lbfgs", None),
        ]
    ):
        network = fastbp.Network(3, [fastbp.Dense(5, "tanh"), fastbp.Dense(2)], seed=index)
        trainer = fastbp.Trainer(network, "mse", optimizer, batch_size=batch_size, seed=index)
        saver = fastbp.Checkpoint(folder / str(index), every_epochs=1)
        early = fastbp.EarlyStopping("loss", patience=50)
        trainer.fit(X, y, epochs=3, callbacks=[early, saver])
        made += sorted((folder / str(index)).iterdir())
        made.append(folder / f"{index}.safetensors")
        trainer.save(made[-1])
    return made


def packed(state: Any) -> bytes:
    arrays: dict[str, Any] = {}
    encoded = tree.encode(state, "state", arrays)
    values = {name: (a.dtype.str, a.shape, a.tobytes().hex()) for name, a in arrays.items()}
    return container.dumps([encoded, values])


KINDS = {
    "model": Kind(model_file._KIND, model_file.read, model_file._to_bytes, golden_models),
    "checkpoint": Kind(checkpoint._KIND, checkpoint.read, packed, checkpoints),
}

SIZES = [
    0, -1, 2**24, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, 10**400, 1e308, "1e999", "NaN", "-0",
    "1.0", "true", "null", "[]", '"7"',
]  # fmt: skip
PLAIN_SIZES = [
    0, -1, 2**24, 2**24 + 1, 2**31, 2**53, 2**63, 2**64, 10**400, -(10**400), 1e308, 3.0, True,
    None, "7", [],
]  # fmt: skip
Damage = Callable[[random.Random, bytes, bytes], bytes]  # of a file, perhaps by parts of another


def split(blob: bytes) -> tuple[bytes, bytes]:
    end = 8 + int.from_bytes(blob[:8], "little")
    return blob[8:end], blob[end:]


def joined(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def flip_bits(r: random.Random, blob: bytes, _: bytes) -> bytes:
    found = bytearray(blob)
    for _ in range(r.choice([1, 1, 2, 8, 64])):
        found[r.randrange(len(found))] ^= 1 << r.randrange(8)
    return bytes(found)


def flip_weights(r: random.Random, blob: bytes, _: bytes) -> bytes:
    header, data = split(blob)
    found = bytearray(data)
    found[r.randrange(len(found))] ^= 1 << r.randrange(8)
    return joined(header, bytes(found))


def cut(r: random.Random, blob: bytes, _: bytes) -> bytes:
    return blob[: r.randrange(len(blob))]


def cut_out(r: random.Random, blob: bytes, _: bytes) -> bytes:
    at = r.randrange(len(blob))
    return blob[:at] + blob[at + r.randint(1, 64) :]


def add(r: random.Random, blob: bytes, _: bytes) -> bytes:
    at = r.choice([len(blob), r.randrange(len(blob))])
    return blob[:at] + r.randbytes(r.randint(1, 64)) + blob[at:]


def splice(r: random.Random, blob: bytes, other: bytes) -> bytes:
    (header, data), (header_2, data_2) = split(blob), split(other)
    a, b = r.randrange(len(header)), r.randrange(len(header_2))
    way = r.randrange(4)
    if way == 0:
        return joined(header_2, data)
    if way == 1:
        return joined(header, data_2)
    if way == 2:
        return joined(header[:a] + header_2[b:], data)
    return joined(header[:a] + header_2[b : b + 40] + header[a:], data)


def absurd_sizes(r: random.Random, blob: bytes, _: bytes) -> bytes:
    if r.random() < 0.1:
        return (
            r.choice([r.randrange(2**64), 2**63, 2**24, 100_000_000]).to_bytes(8, "little")
            + (blob[8:])
        )
    header, data = split(blob)
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", header))
    at = r.choice(numbers)
    size = r.choice([*SIZES, r.randrange(2 ** r.randint(1, 70))])
    return joined(header[: at.start()] + str(size).encode() + header[at.end() :], data)


def double_keys(r: random.Random, blob: bytes, _: bytes) -> bytes:
    header, data = split(blob)
    members = list(re.finditer(rb'(\\?")[^"\\]*\\?":(\[[^\[\]]*\]|\\?"[^"\\]*\\?"|\d+)', header))
    member = r.choice(members)
    text = member.group()
    if r.random() < 0.5:  # another value under the same key
        text = re.sub(rb"\d", lambda digit: str(r.randrange(10)).encode(), text)
    at = r.choice([member.start(), r.choice(members).start()])
    return joined(header[:at] + text + b"," + header[at:], data)


def not_finite(r: random.Random, blob: bytes, _: bytes) -> bytes:
    """With the digest that the file then demands: only a look at the values can tell."""
    header, data = split(blob)
    entries = json.loads(header)
    ((entry, text),) = entries.pop("__metadata__").items()
    kind = next(kind.format for kind in KINDS.values() if kind.format.entry == entry)
    fields = json.loads(text)
    tensors = kind.tensors(fields[kind.key], fields["format_version"])
    weights = [
        name
        for name, (_, shape) in tensors.items()
        if name.startswith(("layers.", "state.weights.")) and 0 not in shape
    ]
    name = r.choice(weights)
    start, end = entries[name]["data_offsets"]
    dtype = np.dtype("<f4" if tensors[name][0] == "F32" else "<f8")
    values = np.frombuffer(data[start:end], dtype).copy()
    values[r.randrange(len(values))] = r.choice([np.nan, -np.nan, np.inf, -np.inf])
    data = data[:start] + values.tobytes() + data[end:]
    raw = {name: data[slice(*entries[name]["data_offsets"])] for name in tensors}
    digest = container._digest(fields, tensors, raw)
    return joined(header.replace(fields["sha256"].encode(), digest.encode()), data)


def signed_sizes(r: random.Random, blob: bytes, _: bytes) -> bytes:
    """Another size where the file says one, and the digest that it then demands."""
    header, data = split(blob)
    entries = json.loads(header)
    ((entry, text),) = entries["__metadata__"].items()
    kind = next(kind.format for kind in KINDS.values() if kind.format.entry == entry)
    fields = json.loads(text)
    value = fields[kind.key]
    if kind.key == "model":
        sizes = [(value, "n_inputs"), *((layer, "units") for layer in value["layers"])]
    else:
        sizes = [(shape, i) for *_, shape in value["tensors"] for i in range(len(shape))]
    demanded = partial(kind.tensors, value, fields["format_version"])
    demanded()  # as long as nothing is wrong: what it raises below, the other size has caused
    holder, key = r.choice(sizes)
    holder[key] = r.choice([size for size in PLAIN_SIZES if size != holder[key]])
    with suppress(TypeError, ValueError, KeyError):  # refused before its digest is looked at
        tensors = demanded()
        raw = {name: data[slice(*entries[name]["data_offsets"])] for name in tensors}
        fields["sha256"] = container._digest(fields, tensors, raw)
    entries["__metadata__"] = {entry: container.dumps(fields).decode()}
    return joined(json.dumps(entries, separators=(",", ":")).encode(), data)


def nonsense(r: random.Random, blob: bytes, _: bytes) -> bytes:
    header, data = split(blob)
    a, b = sorted(r.randrange(len(header)) for _ in range(2))
    piece = r.choice(
        [header[a:b] * r.randint(2, 9), header[a:b][::-1], r.randbytes(b - a), b"[" * 3000]
    )
    return joined(header[:a] + piece + header[b:], data)


DAMAGES: list[Damage] = [
    flip_bits, flip_weights, cut, cut_out, add, splice, absurd_sizes, double_keys, not_finite,
    signed_sizes, nonsense,
]  # fmt: skip


def outcome(kind: Kind, path: Path, whole: bytes, bound: int) -> str:
    """ "refused", "same", or what is wrong."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        found = kind.read(path)
    except ModelFileError:
        result = "refused"
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    else:
        result = "same"
    held = tracemalloc.get_traced_memory()[1] - before
    if held > bound:
        return f"{result}, but it took {held} bytes of {bound}"
    if result == "same" and kind.contents(found) != whole:
        return "loads to something else"
    return result


def torture(kind: Kind, count: int, seed: int, folder: Path) -> tuple[Counter[Any], list[str]]:
    """`count` damaged files of one kind: (damage, outcome) counted, and failures."""
    r, counts, failures = random.Random(seed), Counter[Any](), []
    paths = kind.make(folder)
    originals = [path.read_bytes() for path in paths]
    contents = [kind.contents(kind.read(path)) for path in paths]
    path = folder / "damaged"
    tracemalloc.start()
    for index in range(count):
        which = r.randrange(len(originals))
        blob, damage = originals[which], DAMAGES[index % len(DAMAGES)]
        damaged = damage(r, blob, r.choice(originals))
        path.write_bytes(damaged)
        signal.alarm(10)
        result = outcome(kind, path, contents[which], len(split(blob)[1]) + 1_000_000)
        signal.alarm(0)
        counts[damage.__name__, result if result in ("refused", "same") else "FAILED"] += 1
        if result not in ("refused", "same"):
            kept = Path(tempfile.mkdtemp(prefix="fastbp-torture-")) / f"{damage.__name__}-{index}"
            kept.write_bytes(damaged)
            failures.append(f"{kept}: {result}")
    tracemalloc.stop()
    return counts, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="of each kind (20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    failed = False
    for name in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            counts, failures = torture(KINDS[name], options.files, options.seed, Path(folder))
        for damage in DAMAGES:
            row = [f"{counts[damage.__name__, o]:6} {o}" for o in ("refused", "same", "FAILED")]
            print(f"{name} {damage.__name__:14}", *row)
        print(f"{name}: {counts.total()} files, {len(failures)} failures")
        print(*failures[:20], sep="\n", end="\n" if failures else "")
        failed |= bool(failures)
    sys.exit(failed)


if __name__ == "__main__":
    main()
