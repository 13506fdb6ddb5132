"""What comes from files and steers a terminal is written as repr does."""

from __future__ import annotations

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import QUICK, fail, folder, run, write_csv

import fastbp
from fastbp.cli import display
from fastbp.cli.commands import app

__all__ = ["folder"]

ESCAPE, BELL, TURN, TITLE = "\x1b[2J", "\x07", "\u202e", "\x1b]0;mine\x07"
NAME = f"größe{ESCAPE}{TURN}"
LABELS = [f"ja\n{ESCAPE}", f"nein\r{TITLE}", f"\x9b31m{TURN}été 日本"]


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture
def trained() -> str:
    rng = np.random.default_rng(0)
    size = rng.normal(size=60)
    kinds = [LABELS[i % 3] for i in range(60)]
    grade = [LABELS[int(v > 0)] for v in size]
    columns = {NAME: size, f"kind{BELL}": kinds, f"goal{ESCAPE}": grade}
    pq.write_table(pa.table(columns), "data.parquet")
    write_csv(
        "data.csv", {k: ["a" if isinstance(v, str) else v for v in c] for k, c in columns.items()}
    )
    return run("train", "data.parquet", "--target", f"goal{ESCAPE}", *QUICK)


def test_no_command_prints_what_steers_a_terminal(trained: str) -> None:
    said = [
        trained,
        run("info", "model.safetensors"),
        run("evaluate", "model.safetensors", "data.parquet"),
        run("explain", "model.safetensors", "data.parquet"),
        run("export", "model.safetensors", "--format", "c", "--out", "net.h"),
        fail("train", "data.parquet", "--target", f"none{ESCAPE}"),
        fail("train", "data.csv", "--target", f"goal{ESCAPE}", "--ignore", f"x{TURN}"),
        fail("predict", "model.safetensors", f"no{ESCAPE}file"),
        fail("info", f"no{TURN}file"),
        fail("train", "data.parquet", "--target", NAME, "--threads", f"{ESCAPE}"),
        fail("bench", f"no{ESCAPE}file"),
    ]
    for text in said:
        assert harmless(text), repr(text)


def test_info_shows_names_as_repr_does(trained: str) -> None:
    said = run("info", "model.safetensors").replace(" ", "")
    for shown in (r"größe\x1b[2J\u202e", r"kind\x07", r"ja\n\x1b[2J"):
        assert shown in said
    assert r"target'goal\x1b[2J'" in said
    assert r"\x9b31m\u202eété日本" in "".join(c for c in said if c not in "│\n")


def test_a_name_takes_one_line(trained: str) -> None:
    (line,) = [ln for ln in run("info", "model.safetensors").splitlines() if "target" in ln]
    assert r"ja\n\x1b[2J, nein\r\x1b]0;mine\x07" in line


def test_a_file_of_which_there_is_only_a_name(trained: str) -> None:
    """A damaged one, of a forged model too: what is said of it holds text of its own."""
    network = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    network.save("m", {"table": {"version": ESCAPE + "x"}})
    assert harmless(fail("info", "m"))
    columns = [{"name": ESCAPE, "kind": "number", "mean": 0.0, "scale": 1.0}] * 2
    network.save(
        "m",
        {
            "table": {
                "version": 1,
                "columns": columns,
                "target": columns[0],
                "missing": ESCAPE,
                "unseen": "zero",
            }
        },
    )
    assert harmless(fail("info", "m"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_predictions_are_shown_to_a_terminal_and_given_to_a_pipe(
    trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = run("predict", "model.safetensors", "data.parquet", "--probabilities")
    assert LABELS[0] in piped
    assert f"probability_{LABELS[0]}" in piped
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit):
        app(["predict", "model.safetensors", "data.parquet", "--probabilities"])
    assert harmless(out.getvalue())
    assert r"probability_ja\n\x1b[2J" in out.getvalue()


def test_what_can_be_read_stays() -> None:
    for text in ("größe", "日本 ελ", 'a\\b "quoted"', "🙂", ""):
        assert display.plain(text) == text
    for text in ("\x00", "\x7f", "\x85", "\u2028", "\u200b", "\u2066", "\ufeff", "\udc80", "\n"):
        assert display.plain(text) == repr(text)[1:-1]


# -- numbers in what is stored with a model --------------------------------------------------------


@pytest.mark.parametrize("label", [2**63, -(2**63) - 1, 10**400])
def test_classes_beyond_64_bits_are_refused(label: int) -> None:
    network = fastbp.Network(1, [fastbp.Dense(2, "softmax")], seed=0)
    number = {"name": "x", "kind": "number", "mean": 0.0, "scale": 1.0}
    target = {"name": "y", "kind": "integer", "classes": [0, label]}
    stored = {"version": 1, "columns": [number], "target": target, "missing": "error"}
    network.save("m", {"table": {**stored, "unseen": "zero"}})
    for command in (("info", "m"), ("predict", "m", "data.csv")):
        assert "the stored target has classes beyond 64 bits" in fail(*command)
