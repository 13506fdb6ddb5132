"""The commands about the machine: warmup and bench."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import fastbp
from fastbp.bench import bench as run_bench
from fastbp.cli import display
from fastbp.cli.options import Threads, thread_count
from fastbp.layers.names import ActivationName, dtype_name
from fastbp.objectives.names import LOSS_NAMES
from fastbp.tabular.table import UserError, quoted


def warmup(
    dtype: Annotated[str, typer.Option(help="float32, float64 or both.")] = "both",
) -> None:
    """Compile everything ahead of time, into the cache on disk."""
    dtypes = ("float32", "float64") if dtype == "both" else (dtype,)
    console = Console()
    columns = [
        TextColumn("compiling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        try:
            seconds = fastbp.warmup(cast(Any, dtypes), report=report)
        except ValueError:
            raise UserError(
                f"--dtype takes float32, float64 or both, got {quoted(dtype)}"
            ) from None
        bar.update(task, completed=bar.tasks[0].total, description="")
    display.say(f"ready in {seconds:.1f} s: {', '.join(dtypes)}")


def bench(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model file; else see --network.")
    ] = None,
    network: Annotated[str, typer.Option(help="Widths from inputs to outputs.")] = "16-64-64-1",
    activation: Annotated[str, typer.Option(help="Of the hidden layers.")] = "relu",
    loss: Annotated[
        str, typer.Option(help="mse, cross_entropy ...; sets the last activation.")
    ] = "",
    optimizer: Annotated[str, typer.Option(help="By name: sgd, adam, …")] = "adam",
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per update.")] = 64,
    samples: Annotated[int, typer.Option(min=1, help="Random samples in an epoch.")] = 32768,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    threads: Threads = "auto",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to train, about.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure training on this machine: speed, share of the roof, start-up, memory."""
    n_threads = thread_count(threads)
    try:
        net = _network(model, network, activation, loss, dtype)
        chosen = loss or _usual_loss(net)
        figures = run_bench(
            net, cast(Any, chosen), cast(Any, optimizer), batch_size=batch_size, n_samples=samples,
            n_threads=n_threads, seconds=seconds,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"{model}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    if as_json:
        display.say_lines(json.dumps(figures, indent=2))
        return
    widths = "-".join(str(n) for n in [net.n_inputs, *(layer.units for layer in net.layers)])
    display.table(
        f"{widths}, {chosen}, {optimizer}, batches of {batch_size}, {net.dtype}",
        ("figure", "value"),
        [(label, shown(figures)) for label, shown in _ROWS],
    )


def _megabytes(n: int | None) -> str:
    return "not told by the system" if n is None else f"{n / 1e6:,.1f} MB"


_ROWS: list[tuple[str, Any]] = [
    ("training", lambda f: f"{f['samples_per_second']:,.0f} samples/s"),
    ("products", lambda f: f"{f['gflops']:.1f} GFLOP/s"),
    ("of the roof", lambda f: f"{f['share_of_roof']:.0%} of {f['roof_gflops']:.1f} GFLOP/s"),
    ("threads", lambda f: f"{f['threads']}"),
    ("predicting", lambda f: f"{f['predict_rows_per_second']:,.0f} rows/s"),
    ("one row", lambda f: f"{f['predict_row_microseconds']:.1f} µs"),
    ("import", lambda f: f"{f['import_seconds']:.2f} s"),
    ("first fit, cold", lambda f: f"{f['cold_start_seconds']:.2f} s after import"),
    ("first fit, cached", lambda f: f"{f['cached_start_seconds']:.2f} s after import"),
    ("trainer's memory", lambda f: _megabytes(f["trainer_bytes"])),
    ("peak resident", lambda f: _megabytes(f["peak_resident_bytes"])),
    ("machine", lambda f: f["machine"]),
]

_LAST: dict[str, ActivationName] = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


def _network(
    model: str | None, widths: str, activation: str, loss: str, dtype: str
) -> fastbp.Network:
    if model is not None:
        return fastbp.Network.load(model)
    try:
        n_inputs, *units = [int(part) for part in widths.split("-")]
    except ValueError:
        units = []
    if not units:
        raise UserError(f"--network takes widths such as 16-64-64-1, got {quoted(widths)}")
    hidden = [fastbp.Dense(n, cast(Any, activation)) for n in units[:-1]]
    known = LOSS_NAMES.find("loss", loss) if loss else ""
    last = fastbp.Dense(units[-1], _LAST.get(known, "linear"))
    return fastbp.Network(n_inputs, [*hidden, last], dtype=dtype_name("dtype", dtype), seed=0)


def _usual_loss(net: fastbp.Network) -> str:
    """The loss that goes with the last layer's activation."""
    by_activation: dict[str, str] = {activation: loss for loss, activation in _LAST.items()}
    return by_activation.get(str(net.layers[-1].activation), "mse")
