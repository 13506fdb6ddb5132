"""The asv suite: complete, skipped where a commit lacks something, and of use to other projects."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asv.config import Config
from gate import measure, trials, worker
from gate.build import FOLDER, ROOT, Installed
from gate.measure import Process, figures, one_pair

import fastbp
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.kernels.functions.losses import LOSSES
from fastbp.kernels.updates.updates import UPDATES

PAGE = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")
#: a suite with one of each kind, and what becomes of them
TOY = """
import os

class Toy:
    params = (1, 2)

    def setup_cache(self):
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write("x")
        return {"held": 5}

    def setup(self, cache, n):
        if n == 2:
            raise NotImplementedError("this commit has no 2")

    def time_it(self, cache, n):
        sum(range(1000 * n))

    def track_it(self, cache, n):
        return cache["held"]
    track_it.tolerance = 0.5
    track_it.both_ways = True
    track_it.unit = "apples"

def track_noise():
    return 1.0
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All benchmarks; in a process of their own, as their import sets environment variables."""
    here = Installed("listing", sys.executable, {})
    with closing(Process(here, tmp_path_factory.mktemp("listing"))) as process:
        found: list[dict[str, Any]] = process.ask("list")
    return found


def parameters(listed: list[dict[str, Any]], benchmark: str) -> set[str]:
    """The first parameters of one benchmark."""
    pattern = re.compile(re.escape(benchmark) + r"\('(\w+)'")
    return {found[1] for b in listed if (found := pattern.match(b["name"]))}


@pytest.mark.parametrize(
    ("benchmark", "table"),
    [
        ("kernels.Activations.time_activation", {k for k, v in ACTIVATIONS.items() if v.forward}),
        ("kernels.Losses.time_loss", set(LOSSES)),
        ("kernels.Updates.time_update", set(UPDATES)),
    ],
)
def test_every_kernel_is_timed(
    listed: list[dict[str, Any]], benchmark: str, table: set[str]
) -> None:
    """asv's parameters must be the same on every commit, so they are lists, not these tables."""
    assert parameters(listed, benchmark) == table, "see asv_benchmarks/benchmarks/kernels.py"


def test_suites_are_there_and_units_are_told(listed: list[dict[str, Any]]) -> None:
    names = [b["name"] for b in listed]
    assert len(set(names)) == len(names)
    suites = {name.partition(".")[0] for name in names}
    assert suites == {"epoch", "kernels", "startup", "memory", "quality", "predict", "solvers"}
    assert parameters(listed, "epoch.Epoch.time_epoch") == set("ABCDEFGH")
    assert not [b["name"] for b in listed if b["unit"] == "unit"]
    judged = {b["name"] for b in listed if b["type"] == "time" or b["tolerance"] is not None}
    # for looking at, not for judging: rates are times the other way up, and of a peak a good part
    # is what the system has cached of files
    assert {name.partition("(")[0].rpartition(".")[0] for name in set(names) - judged} == {
        "epoch.Rates",
        "memory.Peak",
    }
    assert set(trials.SLOWDOWNS.values()) <= judged
    assert {n for n in names if re.search(trials.ONLY, n)} == set(trials.SLOWDOWNS.values())


def test_configuration() -> None:
    conf = Config.load(str(FOLDER / "asv.conf.json"))
    for package in ("numpy", "numba", "llvmlite"):
        (version,) = conf.matrix["req"][package]
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    fixed = conf.matrix["env_nobuild"]
    assert fixed["PYTHONHASHSEED"] == ["0"]
    assert {"OMP_NUM_THREADS", "NUMBA_NUM_THREADS"} <= set(fixed)
    for folder in (conf.env_dir, conf.results_dir, conf.html_dir):
        assert folder.startswith(".asv/")
    assert "asv_benchmarks/.asv/" in (ROOT / ".gitignore").read_text().splitlines()


COMMON = """
import os, sys
sys.path.insert(0, sys.argv[1])
before = os.environ.get("FASTBP_CACHE_DIR")
from benchmarks import common
kept = os.environ.pop("FASTBP_CACHE_DIR")
if before:
    os.environ["FASTBP_CACHE_DIR"] = before  # of the tests, which has machine code already
os.environ.pop("FASTBP_BENCH_ALL", None)

def skips(error):
    try:
        with common.skipped_where_missing():
            raise error
    except Exception as raised:
        return type(raised).__name__

found = [skips(error) for error in (ImportError(), AttributeError(), KeyError(), ValueError())]
os.environ["FASTBP_BENCH_ALL"] = "1"
found.append(skips(ImportError()))
peer = common.in_training("A", "float32", 1)
trained = peer.weights()
common.restart(peer, "A", "float32")
first = all((a == b).all() for a, b in zip(peer.weights(), common.start_of("A", "float32")))
moved = any((a != b).any() for a, b in zip(peer.weights(), trained))
print("\\n" + repr([*found, first, moved, kept]))
"""


def test_missing_features_skip_and_weights_start_again(tmp_path: Path) -> None:
    """Nothing else is skipped, nothing at all where all has to run; caches are a commit's own."""
    environment = {
        **os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1]), "ASV_COMMIT": "abc",
        "ASV_CONF_DIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", COMMON, str(FOLDER)], env=environment, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    skip = "NotImplementedError"
    kept = str(tmp_path / ".asv" / "kernels" / "abc")
    expected = [skip, skip, skip, "ValueError", "ImportError", True, True, kept]
    assert done.stdout.splitlines()[-1] == repr(expected)


def test_the_worker_runs_benchmarks_as_asv_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = tmp_path / "toy_suite", tmp_path / "log"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "toy.py").write_text(TOY)
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.setattr(sys, "path", list(sys.path))
    session = worker.Session(str(folder), str(tmp_path))
    found = {b["name"]: b for b in session.list()}
    assert set(found) == {
        "toy.Toy.time_it(1)", "toy.Toy.time_it(2)", "toy.Toy.track_it(1)", "toy.Toy.track_it(2)",
        "toy.track_noise",
    }  # fmt: skip
    track = found["toy.Toy.track_it(1)"]
    assert (track["tolerance"], track["both_ways"], track["unit"]) == (0.5, True, "apples")
    assert found["toy.track_noise"]["tolerance"] is None
    assert session.prepare(track["id"])
    assert session.value() == 5
    session.done()
    assert session.prepare(found["toy.Toy.time_it(1)"]["id"])
    assert 0 < session.seconds() < 1
    assert not session.prepare(found["toy.Toy.time_it(2)"]["id"])
    assert log.read_text() == "x"  # what setup_cache made is kept


def test_pairs_of_processes_and_skipped_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")
    (tmp_path / "benchmarks" / "toy.py").write_text(TOY)
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    revisions = {role: Installed("a", sys.executable, {}) for role in measure.ROLES}
    both = [{"id": f"toy.Toy.time_it-{i}", "name": f"n{i + 1}"} for i in range(2)]
    seconds = one_pair(revisions, both, tmp_path, random.Random(0))
    assert seconds["n2"] is None
    assert seconds["n1"] is not None
    assert set(seconds["n1"]) == set(measure.ROLES)
    assert 0 < max(seconds["n1"].values()) < 1
    track = {"name": "t", "type": "track", "tolerance": 0.0, "both_ways": False, "unit": ""}
    values = figures(
        revisions,
        [{**track, "id": "toy.Toy.track_it-0"}, {**track, "id": "toy.Toy.track_it-1", "name": "u"}],
        tmp_path,
    )
    assert values["t"] is not None
    assert values["t"].verdict() == "same"
    assert values["u"] is None


def block_of(kind: str, words: str) -> str:
    """The page's block of a kind that has these words."""
    blocks = re.findall(rf"^```{kind}[^\n]*\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    (found,) = (block for block in blocks if words in block)
    return str(found)


def test_the_pages_example_for_other_projects_runs(tmp_path: Path) -> None:
    """Its two files, in a repository of their own, under asv."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")
    (tmp_path / "benchmarks" / "training.py").write_text(block_of("python", "class TimeTraining"))
    configuration = json.loads(block_of("json", '"benchmark_dir"'))
    (tmp_path / "asv.conf.json").write_text(json.dumps(configuration))
    environment = {
        **os.environ, "HOME": str(tmp_path), "ASV_PYTHONPATH": str(Path(fastbp.__file__).parents[1])
    }  # fmt: skip
    asv = [sys.executable, "-m", "asv"]
    run = ["run", "--quick", "--show-stderr", "--environment", f"existing:{sys.executable}"]
    for command in (["git", "init", "-q"], [*asv, "machine", "--yes"], [*asv, *run]):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for words in ("training.TimeTraining.time_epoch", "training.TimeTraining.track_loss"):
        assert words in done.stdout
    assert "failed" not in done.stdout
    assert "n/a" not in done.stdout
