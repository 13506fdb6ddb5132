"""The commands: train, predict, evaluate, info."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

import fastbp
from fastbp.cli import display, explaining, exporting, machine, stored
from fastbp.cli.options import (
    Data,
    Group,
    Missing,
    Model,
    Task,
    Threads,
    Unseen,
    check_writable,
    hidden_units,
    thread_count,
)
from fastbp.data.columns import Labels, Number
from fastbp.optimizers import SOLVERS
from fastbp.tabular import scores
from fastbp.tabular.files import read_table, write_table
from fastbp.tabular.prepare import Prepared, prepare
from fastbp.tabular.preprocess import Preprocessing, class_ids, in_units, likeliest, truth
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
def train(
    data: Data,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    hidden: Annotated[str, typer.Option(help='Units of the hidden layers; "" for none.')] = "64,64",
    activation: Annotated[str, typer.Option(help="Of the hidden layers.")] = "relu",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training part.")] = 100,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples per update; lbfgs takes them all.")
    ] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="The optimizer's own by default.")
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(help="By name: sgd, adam, adamw, rmsprop, …, or lbfgs, on all rows at once."),
    ] = "adam",
    validation: Annotated[
        float, typer.Option(help="The part of the rows to hold out for the scores; 0 for none.")
    ] = 0.2,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of split, weights and order; drawn by default.")
    ] = None,
    out: Annotated[str, typer.Option(help="Where to write the model.")] = "model.safetensors",
    task: Annotated[
        Task,
        typer.Option(
            help="auto: text and booleans are classes, and whole numbers are if there are at most "
            "20 different ones and at least twice as many rows."
        ),
    ] = Task.auto,
    missing: Annotated[
        Missing,
        typer.Option(
            help="Rows with a missing value: an error, dropped, or filled with the column's mean "
            "(text: the most common category). Holds for later predictions too."
        ),
    ] = Missing.error,
    unseen: Annotated[
        Unseen,
        typer.Option(
            help="A category not seen in training: an error, or none of the categories (zero)."
        ),
    ] = Unseen.error,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column not to use; may be given several times."),
    ] = None,
    threads: Threads = "auto",
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
) -> None:
    """Train a network on a file and write it, with the columns' transformation, to a model file."""
    units = hidden_units(hidden)
    if not 0.0 <= validation < 1.0:
        raise UserError(f"--validation must be at least 0 and below 1, got {validation}")
    n_threads = thread_count(threads)
    check_writable(out, data)
    seed = secrets.randbits(32) if seed is None else seed
    prepared = prepare(
        read_table(data),
        target,
        task=task.value,
        ignore=ignore or [],
        missing=missing.value,
        unseen=unseen.value,
        validation=validation,
        rng=np.random.default_rng(seed),
    )
    try:
        trainer = _build(
            prepared.transformation,
            [fastbp.Dense(n, activation) for n in units],
            optimizer,
            learning_rate,
            dtype=dtype,
            batch_size=batch_size,
            seed=seed,
            n_threads=n_threads,
        )
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    except MemoryError as error:
        raise UserError(f"--hidden {hidden}: not enough memory, {error}") from None
    _announce(prepared, trainer.network, data, seed)
    inputs = _fit(trainer, prepared, epochs)
    _finish(trainer.network, prepared, inputs, out, n_threads)


def _build(
    change: Preprocessing,
    hidden: list[fastbp.Dense],
    optimizer: str,
    learning_rate: float | None,
    *,
    dtype: str,
    batch_size: int,
    seed: int,
    n_threads: int | Literal["auto"],
) -> fastbp.Trainer:
    """A trainer of a network with these hidden layers, for a table's inputs and its target."""
    softmax = isinstance(change.target, Labels)
    last = fastbp.Dense(change.n_outputs, "softmax" if softmax else "linear")
    trainer = fastbp.Trainer(
        fastbp.Network(change.n_inputs, [*hidden, last], dtype=dtype, seed=seed),
        "cross_entropy" if softmax else "mse",
        optimizer,
        batch_size=None if optimizer in SOLVERS else batch_size,
        seed=seed,
        n_threads=n_threads,
    )
    if learning_rate is not None:
        trainer.learning_rate = learning_rate
    return trainer


def _announce(prepared: Prepared, network: fastbp.Network, data: str, seed: int) -> None:
    """Say what has been made of the file, and what will be trained on it."""
    change = prepared.transformation
    classes = isinstance(change.target, Labels)
    for line in prepared.notes:
        display.say(f"note: {line}")
    what = f"classification, {change.n_outputs} classes" if classes else "regression"
    display.say(f"target {quoted(change.target.name)}: {what} ({prepared.reason})")
    count, how = len(prepared.validation), "stratified" if classes else "random"
    held = f", {count} held out ({how})" if prepared.held_out else ""
    display.say(f"{data}: {len(prepared.train)} rows to train on{held}")
    units = [str(layer.units) for layer in network.layers[:-1]]
    display.say(
        f"network: {change.n_inputs} inputs from {len(change.columns)} columns, hidden layers "
        f"{', '.join(units) or 'none'}, {network.n_parameters} parameters, seed {seed}"
    )


def _fit(trainer: fastbp.Trainer, prepared: Prepared, epochs: int) -> NDArray[Any]:
    """Train on the training part; the inputs of the part that the network is to be scored on."""
    change, dtype = prepared.transformation, trainer.network.dtype
    X, y = change.inputs(prepared.train, dtype), change.targets(prepared.train, dtype)
    held_out = None
    if prepared.held_out:
        part = prepared.validation
        held_out = change.inputs(part, dtype), change.targets(part, dtype)
    with display.progress() as progress:
        try:
            trainer.fit(X, y, epochs, validation_data=held_out, progress=progress)
        except fastbp.DivergenceError as error:
            raise UserError(str(error)) from None
    return held_out[0] if held_out else X


def _finish(
    network: fastbp.Network,
    prepared: Prepared,
    X: NDArray[Any],
    out: str,
    n_threads: int | Literal["auto"],
) -> None:
    """Score the network on the rows held out, or on all where none were, and write it."""
    change = prepared.transformation
    part = prepared.validation if prepared.held_out else prepared.train
    where = "rows held out" if prepared.held_out else "training rows: nothing was held out"
    _show_scores(change, part, _outputs(network, X, part, n_threads), where)
    try:
        network.save(out, {stored.KEY: stored.to_json(change)})
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}") from None
    except fastbp.ModelFileError as error:
        raise UserError(str(error)) from None
    display.say(f"model written to {out}")


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
    outputs = _outputs(network, change.inputs(usable, network.dtype), usable, n_threads)
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
    outputs = _outputs(network, change.inputs(usable, network.dtype), usable, n_threads)
    _show_scores(change, usable, outputs, f"rows of {data}")


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


# -- what the commands share -----------------------------------------------------------------------


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


def _outputs(
    network: fastbp.Network, X: NDArray[Any], table: Table, n_threads: int | Literal["auto"]
) -> NDArray[Any]:
    outputs = network.predict(X, n_threads=n_threads)
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        row = table.rows[bad[0]]
        raise UserError(f"{table.path}: row {row}: the network's output is not finite")
    return outputs


def _show_scores(change: Preprocessing, table: Table, outputs: NDArray[Any], where: str) -> None:
    goal = change.target
    if isinstance(goal, Number):
        figures = scores.regression(truth(goal, table), in_units(goal, outputs))
    else:
        figures = scores.classification(
            class_ids(goal, table), outputs.argmax(axis=1), len(goal.labels)
        )
    rows = [(name, f"{value:.4g}") for name, value in figures.items()]
    display.table(f"Scores on {len(table)} {where}", ("score", "value"), rows)
