"""The commands, of which predict, evaluate and info stand here."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

import fastbp
from fastbp.cli import display, explaining, exporting, machine, stored, training
from fastbp.cli.options import (
    Data,
    Group,
    Model,
    Threads,
    check_writable,
    thread_count,
)
from fastbp.cli.scoring import outputs_of, show_scores
from fastbp.data.columns import Number
from fastbp.tabular.files import read_table, write_table
from fastbp.tabular.preprocess import Preprocessing, in_units, likeliest
from fastbp.tabular.table import Table, UserError, quoted

app = typer.Typer(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train multi-layer perceptrons on CSV and Parquet files.",
)


app.command()(machine.warmup)
app.command()(machine.bench)
app.command()(exporting.export)
app.command()(explaining.explain)
app.command()(training.train)


def _version(asked: bool) -> None:
    if asked:
        display.say(f"fastbp {fastbp.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        display.say_lines(ctx.get_help())


@app.command()
def predict(
    model: Model,
    data: Data,
    out: Annotated[
        str | None, typer.Option(help="A .csv or .parquet file; by default CSV to the terminal.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column for each class.")
    ] = False,
    threads: Threads = "auto",
) -> None:
    """Predict the target for each row of a file, in the rows' order.

    A model trained with --missing drop leaves the prediction of rows with missing values empty.
    """
    if out is not None:
        if not out.lower().endswith((".csv", ".parquet")):
            raise UserError(f"{out}: --out must end in .csv or .parquet")
        check_writable(out, data, model)
    n_threads = thread_count(threads)
    network, change = stored.load_with_columns(model)
    if probabilities and isinstance(change.target, Number):
        raise UserError(f"{model}: a regression has no --probabilities")
    table = read_table(data)
    usable, rows = _usable(change, table, target=False)
    if len(usable) < len(table):
        count = len(table) - len(usable)
        display.note(f"note: {count} row(s) with missing values have an empty prediction")
    outputs = outputs_of(network, change.inputs(usable, network.dtype), usable, n_threads)
    goal = change.target
    if isinstance(goal, Number):
        columns = {"prediction": pa.array(in_units(goal, outputs))}
    else:
        columns = {"prediction": likeliest(goal, outputs)}
        for i, name in enumerate(goal.names if probabilities else []):
            columns[f"probability_{name}"] = pa.array(np.ascontiguousarray(outputs[:, i]))
    place = np.cumsum(rows) - 1
    order = pa.array(place, mask=~rows)  # null, and so is what is taken, for unusable rows
    found = pa.table({name: values.take(order) for name, values in columns.items()})
    if out is None:
        display.csv(found)
    else:
        write_table(found, out)


@app.command()
def evaluate(model: Model, data: Data, threads: Threads = "auto") -> None:
    """Score a model on a file that has the target column."""
    network, change = stored.load_with_columns(model)
    n_threads = thread_count(threads)
    table = read_table(data)
    table.column(change.target.name)
    usable, _ = _usable(change, table, target=True)
    if len(usable) < len(table):
        display.note(f"note: {len(table) - len(usable)} row(s) with missing values left out")
    outputs = outputs_of(network, change.inputs(usable, network.dtype), usable, n_threads)
    show_scores(change, usable, outputs, f"rows of {data}")


@app.command()
def info(model: Model) -> None:
    """Print a model's layers and the columns stored with it."""
    network, change = stored.load(model)
    display.say_lines(repr(network))
    if change is None:
        display.say("no columns are stored with this model")
        return
    rows = []
    for column in change.columns:
        if isinstance(column, Number):
            rows.append((column.name, "number", f"mean {column.mean:g}, scale {column.scale:g}"))
        else:
            kind = "boolean" if column.boolean else "text"
            rows.append((column.name, kind, _listed(column.categories)))
    display.say()
    display.table("Columns", ("column", "kind", "transformation"), rows)
    goal = change.target
    what = (
        f"regression, mean {goal.mean:g}, scale {goal.scale:g}"
        if isinstance(goal, Number)
        else f"classification, {len(goal.labels)} classes: {_listed(goal.names)}"
    )
    display.say(f"target {quoted(goal.name)}: {what}")
    display.say(f"missing values: {change.missing}; unseen categories: {change.unseen}")


def _listed(words: Any) -> str:
    more = f", ... ({len(words)} in all)" if len(words) > 8 else ""
    return ", ".join(map(display.plain, words[:8])) + more


def _usable(
    change: Preprocessing, table: Table, *, target: bool
) -> tuple[Table, NDArray[np.bool_]]:
    """The rows that the model takes, all unless it drops those with missing values; and which."""
    if change.missing != "drop":
        return table, np.ones(len(table), np.bool_)
    rows = change.complete(table, target=target)
    if not rows.any():
        raise UserError(f"{table.path}: every row has a missing value")
    return table.keep(rows), rows
