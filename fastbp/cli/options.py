"""What the commands take: the group that tells mistakes, kinds of options, and their checks."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from fastbp.cli.display import plain
from fastbp.tabular.table import UserError, quoted


class Group(TyperGroup):
    """Tells every mistake of the user's in one line, with exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except UserError as error:
            code = complain(str(error))
        except Exception as error:
            if not hasattr(error, "format_message"):  # typer's own, about the command line
                raise
            code = complain(error.format_message())
        sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None


def complain(message: str) -> int:
    """Print a mistake as one line; returns the exit code."""
    print("error:", plain(" ".join(message.splitlines())), file=sys.stderr)
    return 2


class Task(str, Enum):
    auto = "auto"
    classification = "classification"
    regression = "regression"


class Missing(str, Enum):
    error = "error"
    drop = "drop"
    mean = "mean"


class Unseen(str, Enum):
    error = "error"
    zero = "zero"


Data = Annotated[str, typer.Argument(metavar="DATA", help="A CSV or Parquet file.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file that fastbp train wrote.")]
Threads = Annotated[str, typer.Option(help="The most threads to use, or auto.")]


def hidden_units(text: str) -> list[int]:
    """The layers' units, from text such as "64,64"; none from an empty one."""
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise UserError(f"--hidden takes units such as 64,64, got {quoted(text)}") from None


def thread_count(text: str) -> int | Literal["auto"]:
    """The library's `n_threads`, from text: "auto" or a number from 1 up."""
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UserError(f"--threads takes auto or a number from 1 up, got {quoted(text)}")
    return int(text)


def check_writable(path: str, *inputs: str) -> None:
    """Complain before the work is done that its result could not be written, or over an input."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise UserError(f"{path}: there is no folder {folder}")
    if Path(path).is_dir():
        raise UserError(f"{path}: is a folder")
    for other in inputs:
        if Path(path).exists() and Path(other).exists() and Path(path).samefile(other):
            raise UserError(f"{path}: is the file to read, --out must be another one")
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise UserError(f"{path}: not writable")
