"""The command export: a model as C source or as an ONNX graph."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from fastbp import export as out_of_python
from fastbp.cli import display, stored
from fastbp.cli.options import check_writable
from fastbp.files import atomic
from fastbp.tabular.files import read_table
from fastbp.tabular.table import UserError


class Format(str, Enum):
    c = "c"
    onnx = "onnx"


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file.")],
    out: Annotated[str, typer.Option(help="Where to write it, such as net.h or net.onnx.")],
    format: Annotated[Format, typer.Option(help="C99 header or ONNX graph.")],
    name: Annotated[
        str | None, typer.Option(help="What C names begin with; the file's own name by default.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="C: weights of a byte each.")] = False,
    data: Annotated[
        str | None, typer.Option(help="A file to measure --int8's error on; else random numbers.")
    ] = None,
    math: Annotated[
        bool, typer.Option("--math/--no-math", help="C: whether to use math.h.")
    ] = True,
) -> None:
    """Write a model for programs that have no Python, its columns' transformation included."""
    network, change = stored.load(model)
    check_writable(out, *([model] if data is None else [model, data]))
    if (int8 or data or name or not math) and format is not Format.c:
        raise UserError("--int8, --data, --name and --no-math are for --format c")
    if data is not None and (not int8 or change is None):
        raise UserError("--data measures --int8, of a model that fastbp train wrote")
    table = None
    if change is not None:  # rows without a value have been dropped before
        missing: Literal["error", "mean"] = "mean" if change.missing == "mean" else "error"
        table = out_of_python.Table(change.columns, change.target, missing, change.unseen)
    notes = []
    try:
        if format is Format.onnx:
            content = out_of_python.to_onnx(network, table=table).SerializeToString()
        else:
            name = name or re.sub(r"\W", "_", Path(out).stem, flags=re.ASCII)
            X = None
            if data is not None and change is not None:
                rows = read_table(data)
                if change.missing == "drop":
                    rows = rows.keep(change.complete(rows, target=False))
                if not len(rows):
                    raise UserError(f"{data}: every row has a missing value")
                X = change.inputs(rows, network.dtype)
            header = out_of_python.to_c(
                network, name=name, math=math, int8=int8, data=X, table=table
            )
            content = header.text.encode()
            notes.append(
                f"{name}_predict: {header.weight_bytes} bytes of constants, "
                f"{header.scratch_bytes} of stack"
            )
            if int8:
                where = data or "random inputs"
                notes.append(
                    f"int8: the network's outputs differ by {header.max_error:.3g} at most, "
                    f"{header.rms_error:.3g} root mean square, on {where}"
                )
        atomic.write(out, content)
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise UserError('--format onnx needs: pip install "fastbp[onnx]"') from None
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{model}: {error}") from None
    for line in notes:
        display.say(line)
    display.say(f"{format.value} written to {out}")
