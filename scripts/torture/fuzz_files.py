#!/usr/bin/env python3
"""Coverage-guided fuzzing of the readers of models and checkpoints with atheris.

    pip install atheris; python scripts/torture/fuzz_files.py --kind checkpoint --seconds 600

Inputs start from whole files. Each must be refused with ModelFileError, or be read and written
back to a file that reads the same; of a checkpoint a trainer must be made, or that be refused.
atheris ends the process, with the input in a file, where one does anything else. What the file says
of its SHA-256 is taken as right: fuzzing finds no digests, and nothing behind that check would be
seen. Options after ``--`` are libFuzzer's. forge_files.py knows the fields of a checkpoint.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "fastbp.files.container",
        "fastbp.files.model_file",
        "fastbp.files.checkpoints",
        "fastbp.files.tree",
        "fastbp.training.settings",
        "fastbp.training.batches",
        "fastbp.training.engine",
        "fastbp.training.fit",
        "fastbp.training.resuming",
        "fastbp.training.session",
    ]
):
    from fastbp.files import checkpoints as checkpoint
    from fastbp.files import container, model_file, tree
    from fastbp.trainer import Trainer

KINDS = {"model": model_file._KIND, "checkpoint": checkpoint._KIND}


class InMemory(io.BytesIO):
    """A file of a size that `os.fstat` is not asked for."""

    def fileno(self) -> int:
        return -1


class Stat:
    """Takes the place of ``os`` in the reader: the size is that of the input."""

    def __init__(self, size: int) -> None:
        self.st_size = size


def read(data: bytes, kind: container.Kind) -> tuple[object, dict[str, container.Array], int]:
    container._digest = lambda fields, *_: fields.get("sha256", "")  # type: ignore[assignment]
    container.os.fstat = lambda _: Stat(len(data))  # type: ignore[assignment, attr-defined]
    with container.naming("input"):
        value, arrays, version = container._from_file(InMemory(data), kind)  # type: ignore[arg-type]
        if kind is KINDS["checkpoint"]:
            found = tree.decode(value["state"], arrays)
            if version == kind.version:
                Trainer._of(found)
    return value, arrays, version


def one_input(data: bytes, kind: container.Kind) -> None:
    try:
        found = read(data, kind)
    except container.ModelFileError:
        return
    again = container.pack(kind, *found)
    assert container.pack(kind, *read(again, kind)) == again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="folder that keeps what was found (a new one)")
    parser.add_argument("--kind", choices=KINDS, default="model")
    options, more = parser.parse_known_args()
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="fastbp-corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # in a process of its own: what is loaded here before it is instrumented never will be
        make = "import sys; from pathlib import Path; from mutate_files import KINDS; "
        make += "print(*KINDS[sys.argv[1]].make(Path(sys.argv[2])), sep='\\n')"
        paths = subprocess.run(
            [sys.executable, "-c", make, options.kind, folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for index, path in enumerate(paths):
            shutil.copy(path, corpus / f"whole-{index}")
    limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048"]
    arguments = [sys.argv[0], str(corpus), *limits, "-max_len=16384", "-print_final_stats=1"]
    atheris.Setup(
        [*arguments, *(a for a in more if a != "--")],
        lambda data: one_input(data, KINDS[options.kind]),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
