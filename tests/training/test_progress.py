"""What a person sees of a `fit`: on a terminal, elsewhere, and when it ends in whatever way."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_fits import X, Y, build
from terminal import Terminal

import fastbp
from fastbp.kernels.compiling import notice
from fastbp.training import progress


@pytest.fixture
def terminal(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Where every moment is drawn."""
    if os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    made = Terminal(getattr(request, "param", 80))
    seen = types.SimpleNamespace(stderr=made.stream, modules=sys.modules)
    monkeypatch.setattr(progress, "sys", seen)  # pytest sets sys.stderr before each test
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    yield made
    made.close()


class Failing(fastbp.Callback):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise self.error("mine")


def no_bar_is_open() -> bool:
    import tqdm

    return not tqdm.tqdm._instances


def test_a_bar(terminal: Terminal) -> None:
    history = build(metrics=["mae"]).fit(X, Y, 4, validation_split=0.5)
    text, drawn = terminal.close(), terminal.lines()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    for epoch in range(3):  # drawn over one another
        loss, val_loss = history.loss[epoch], history.val_loss[epoch]
        shown = f"loss {loss:#.3g}, val_loss {val_loss:#.3g}, "
        moment = [line for line in drawn if shown in line]
        assert moment[0].startswith(f"epoch {epoch + 1}/4 |")
        assert re.search(r"\| loss .*, [\d.]+[kMG]?/s, \d+:\d\d left$", moment[0])
    last = f"loss {history.loss[3]:#.3g}, val_loss {history.val_loss[3]:#.3g}"
    assert re.search(
        rf"^epoch 4/4 \|█+\| {last}, [\d.]+[kMG]?/s, took (\d\.\d s|\d+:\d\d)$", drawn[-1]
    )
    assert no_bar_is_open()


@pytest.mark.parametrize("terminal", [20, 60, 80, 120], indirect=True, ids=str)
def test_it_fits(terminal: Terminal, request: Any) -> None:
    build(metrics=["mae", "r2"]).fit(X, Y, 4, validation_split=0.5)
    width = request.node.callspec.params["terminal"]
    drawn = terminal.lines()
    assert max(map(len, drawn)) <= width
    assert all(line.startswith("epoch ") for line in drawn)
    assert ("/s, " in drawn[-1], "val_loss" in drawn[-1], ", mae" in drawn[-1]) == (
        width >= 60, width >= 80, width >= 120,
    )  # fmt: skip


def test_columns_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.columns(io.StringIO()) == 80
    size = os.terminal_size((0, 0))
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: size)
    assert progress.columns(types.SimpleNamespace(fileno=lambda: 2)) == 80  # none is known
    size = os.terminal_size((132, 24))
    assert progress.columns(types.SimpleNamespace(fileno=lambda: 2)) == 132


def test_short_fits_leave_nothing_but_what_was_asked_for(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_DELAY", 1e9)
    trainer = build()
    for _ in range(3):
        trainer.fit(X, Y, 5)
        trainer.fit(X, Y, 0, progress=True)
    assert terminal.written == b""
    for _ in range(3):
        trainer.fit(X, Y, 5, progress=True)
    assert terminal.close().count("\n") == 3
    assert [line for line in terminal.lines() if "took" in line] == [
        line for line in terminal.lines() if line.startswith("epoch 5/5") and "took" in line
    ]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_it_is_closed_by_what_ends_a_fit(terminal: Terminal, error: type[BaseException]) -> None:
    trainer = build()
    with pytest.raises(error, match="mine"):
        trainer.fit(X, Y, 10, callbacks=[Failing(error)])
    assert no_bar_is_open()
    assert terminal.close().endswith("\n")
    assert terminal.lines()[-1].startswith("epoch 2/10 ")


def test_early_stopping(terminal: Terminal) -> None:
    stopping = fastbp.EarlyStopping("loss", patience=0, min_delta=1e9)
    history = build().fit(X, Y, 50, callbacks=[stopping])
    assert len(history.loss) == 2
    assert terminal.lines()[-1].startswith("epoch 2/50 ")
    assert terminal.close().endswith("\n")


def test_a_resumed_fit_begins_where_it_stopped(terminal: Terminal, tmp_path: Path) -> None:
    def train() -> fastbp.Checkpoint:
        return fastbp.Checkpoint(tmp_path, every_epochs=1)

    build().fit(X, Y, 2, callbacks=[train()], progress=False)
    assert terminal.written == b""
    build().fit(X, Y, 5, callbacks=[train()], resume=tmp_path)
    drawn = terminal.lines()
    assert drawn[0].startswith("epoch 3/5 |█")
    assert drawn[-1].startswith("epoch 5/5 ")


def test_divergence_is_logged_on_lines_of_its_own(terminal: Terminal) -> None:
    log = logging.getLogger("fastbp")
    handler = logging.StreamHandler(terminal.stream)
    log.addHandler(handler)
    try:
        trainer = build(1e3, on_divergence="reduce")
        with pytest.raises(fastbp.DivergenceError):
            trainer.fit(X, Y, 1000)
    finally:
        log.removeHandler(handler)
    told = [line for line in terminal.lines() if "halved" in line]
    assert len(told) == 5
    assert all(re.match(r"the loss became|a weight became", line) for line in told)
    assert told[-1].endswith("5 of 5 times")


def test_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_logged", True)  # that kernels are compiled, if it is so
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("fastbp").handlers)
    caplog.set_level(logging.INFO, "fastbp")
    build(1e6, on_divergence="stop").fit(X, Y, 1000)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    caplog.clear()
    stopping = fastbp.EarlyStopping("loss", patience=0, min_delta=1e9)
    build().fit(X, Y, 50, callbacks=[stopping])
    assert caplog.messages == ["the fit has ended early: loss has not become better for 1 epochs"]


def test_silence_and_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    for choice in (None, False):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        build().fit(X, Y, 3, progress=choice)
        assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    for choice in (True, "lines"):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        history = build(metrics=["mae"]).fit(X, Y, 3, progress=choice, validation_split=0.5)
        lines = sys.stderr.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == 3
        for epoch, line in enumerate(lines):
            loss, val_loss = history.loss[epoch], history.val_loss[epoch]
            mae, val_mae = history.mae[epoch], history.val_mae[epoch]
            assert line.startswith(
                f"epoch {epoch + 1}/3  loss {loss:.6g}  val_loss {val_loss:.6g}  mae {mae:.6g}"
                f"  val_mae {val_mae:.6g}  "
            )
            assert line.endswith(" samples/s")
    monkeypatch.setattr(sys, "stderr", None)  # of a program without a console
    for choice in (None, True, "lines"):
        build().fit(X, Y, 1, progress=choice)


def test_lines_on_a_terminal(terminal: Terminal) -> None:
    build().fit(X, Y, 3, progress="lines")
    assert terminal.close().count("\n") == len(terminal.lines()) == 3
    assert "█" not in terminal.close()


def test_without_tqdm(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    build().fit(X, Y, 3)
    assert terminal.written == b""
    build().fit(X, Y, 3, progress=True)
    assert len(terminal.lines()) == 3


def test_a_pools_workers_are_silent(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    monkeypatch.setattr(multiprocessing.current_process(), "_name", "SpawnPoolWorker-1")
    build().fit(X, Y, 3)
    assert terminal.close() == ""


def test_in_the_background(terminal: Terminal) -> None:
    build().fit_async(X, Y, 3).result(30)
    assert terminal.written == b""  # the terminal is the program's
    both = [build().fit_async(X, Y, 50, progress=True) for _ in range(2)]
    for handle in both:
        assert len(handle.result(30).loss) == 50
        assert handle.progress is not None
        assert handle.progress.epoch == 49
    assert no_bar_is_open()
    assert terminal.close()[-1] in "\r\n"  # the cursor is where a line begins


def test_a_first_fit_says_that_it_compiles(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.Bar, "warm", False)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    compile_ = fastbp.training.fit.work_on
    made = []

    def slowly(*arguments: Any) -> Any:
        waiting = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
        for timer in waiting:
            timer.join()
        made.append(waiting)
        if len(made) == 1:
            raise KeyboardInterrupt
        return compile_(*arguments)

    monkeypatch.setattr(fastbp.training.fit, "work_on", slowly)
    trainer = build()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, 3)
    assert no_bar_is_open()
    trainer.fit(X, Y, 3)
    drawn = terminal.lines()
    assert [line[:9] for line in drawn if line.startswith("starting")] == 3 * ["starting:"]
    assert drawn[-1].startswith("epoch 3/3 |█")
    assert terminal.close().count("\n") == 2


def test_below_another_bar_nothing_is_left(terminal: Terminal) -> None:
    import tqdm

    for _ in tqdm.trange(3, file=terminal.stream, ncols=80):
        build().fit(X, Y, 2)
    wiped = r"took \d\.\d s\x1b\[A\n\r +\x1b\[A\r"
    assert len(re.findall(wiped, terminal.close())) == 3
    assert no_bar_is_open()


def test_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ipywidgets: the bar is text on stderr, which a notebook shows."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    build().fit(X, Y, 3)
    assert "epoch 3/3 |" in sys.stderr.getvalue()  # type: ignore[attr-defined]


class Gone(io.StringIO):
    """A terminal that has been closed by its other side."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("choice", [None, True, "lines"])
def test_a_terminal_that_is_gone_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, choice: Any
) -> None:
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Gone())
    assert len(build().fit(X, Y, 3, progress=choice).loss) == 3


@pytest.mark.parametrize(
    ("choice", "error"), [("bar", ValueError), (1, TypeError), ([], TypeError)]
)
def test_what_it_takes(choice: Any, error: type[Exception]) -> None:
    trainer = build()
    before = trainer.network.get_weights()
    for fit in (trainer.fit, trainer.fit_async):
        with pytest.raises(error, match="progress must be None, True, False, 'lines' or a callab"):
            fit(X, Y, progress=choice)
    for p, q in zip(before, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert trainer.history is None


def test_figures_of_a_callable() -> None:
    seen: list[fastbp.Progress] = []
    logger = fastbp.LearningRateLogger()
    build(metrics=["mae"]).fit(X, Y, 2, progress=seen.append, callbacks=[logger])
    history = build(metrics=["mae"]).fit(X, Y, 2)
    ends = [p for p in seen if p.done_epoch]
    assert ends[0].figures == {"loss": history.loss[0], "mae": history.mae[0], "learning_rate": 0.1}
    assert ends[1].figures["mae"] == history.mae[1]


def test_tqdm_is_imported_for_a_bar_only() -> None:
    code = """
import sys
import numpy as np
import fastbp
from fastbp.kernels.compiling import notice
from fastbp.training import progress

class Terminal:
    def __getattr__(self, name): return getattr(sys.__stderr__, name)
    def isatty(self): return True

net = fastbp.Network(3, [fastbp.Dense(2)], seed=0)
trainer = fastbp.Trainer(net, "mse", seed=0)
X, Y = np.ones((8, 3)), np.ones((8, 2))
trainer.fit(X, Y)
trainer.fit(X, Y, progress="lines")
progress._DELAY = 1e9
sys.stderr = Terminal()
trainer.fit(X, Y, 5)
assert not {"tqdm", "tensorboard"} & set(sys.modules)
progress._DELAY = 0.0
trainer.fit(X, Y, 5)
assert "tqdm" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
