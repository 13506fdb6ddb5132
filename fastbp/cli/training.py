"""The command train: a network for a table's target, trained on it, scored and written."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal, cast

import numpy as np
import typer
from numpy.typing import NDArray

import fastbp
from fastbp.cli import display, stored
from fastbp.cli.options import (
    Data,
    Missing,
    Task,
    Threads,
    Unseen,
    check_writable,
    hidden_units,
    thread_count,
)
from fastbp.cli.scoring import outputs_of, show_scores
from fastbp.data.columns import Labels
from fastbp.optimizers import SOLVERS
from fastbp.optimizers.names import OPTIMIZER_NAMES
from fastbp.tabular.files import read_table
from fastbp.tabular.prepare import Prepared, prepare
from fastbp.tabular.preprocess import Preprocessing
from fastbp.tabular.table import UserError, quoted


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
            [fastbp.Dense(n, cast(Any, activation)) for n in units],
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
    name = OPTIMIZER_NAMES.find("optimizer", optimizer)
    last = fastbp.Dense(change.n_outputs, "softmax" if softmax else "linear")
    trainer = fastbp.Trainer(
        fastbp.Network(change.n_inputs, [*hidden, last], dtype=cast(Any, dtype), seed=seed),
        "cross_entropy" if softmax else "mse",
        name,
        batch_size=None if name in SOLVERS else batch_size,
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
    show_scores(change, part, outputs_of(network, X, part, n_threads), where)
    try:
        network.save(out, {stored.KEY: stored.to_json(change)})
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}") from None
    except fastbp.ModelFileError as error:
        raise UserError(str(error)) from None
    display.say(f"model written to {out}")
