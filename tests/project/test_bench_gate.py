"""The benchmarks' gate: its statistics exactly, its reports, and its answers to bad input."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate import build, judge, measure, trials
from gate.build import CannotMeasure, Installed
from gate.judge import Figure, Timing, confirmed, false_alarms, interval
from gate.page import page
from gate.report import markdown, text
from gate.run import Options, write
from paths import ROOT

QUIET = [-0.01, -0.005, 0.0, 0.004, 0.01, -0.003, 0.002]


def test_interval_of_five_is_their_range() -> None:
    """A resample's median is the smallest in 5.8 % of the cases, more than the 0.5 % cut off."""
    assert interval([0.3, 0.1, 0.2, 0.5, 0.4]) == judge.Interval(0.3, 0.1, 0.5)


def test_interval_is_the_bootstrap_distributions() -> None:
    """For n = 11, P(median of a resample ≤ x_(i)) = P(Binomial(11, i / 11) ≥ 6)."""
    n, found = 11, interval(list(range(11)))

    def below(i: int) -> float:
        p = i / n
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(6, n + 1))

    low = next(i for i in range(1, n + 1) if below(i) > 0.005) - 1
    assert below(low) < 0.004 or below(low + 1) > 0.006  # not decided by the resampling's own noise
    assert (found.low, found.median, found.high) == (low, 5, 10 - low)


@pytest.mark.parametrize("wrong", [[], [0.1] * 4, [0.1] * 5 + [math.nan], [0.1] * 5 + [math.inf]])
def test_interval_refuses(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="finite log ratios"):
        interval(wrong)


@pytest.mark.parametrize(
    ("head", "control", "verdict"),
    [
        (QUIET, QUIET, "same"),
        ([x + 0.1 for x in QUIET], QUIET, "worse"),
        ([x - 0.1 for x in QUIET], QUIET, "better"),
        ([x + 0.04 for x in QUIET], QUIET, "same"),  # certain, and below the factor
        ([0.1, 0.1, 0.1, 0.1, -0.1], QUIET, "same"),  # beyond it, and not certain
        ([x + 0.1 for x in QUIET], [20 * x for x in QUIET], "noisy"),  # the control goes as far
    ],
)
def test_verdicts(head: list[float], control: list[float], verdict: str) -> None:
    assert Timing(head, control).verdict(1.05) == verdict


@pytest.mark.parametrize(
    ("base", "head", "tolerance", "both_ways", "verdict"),
    [
        (100, 100, 0.0, False, "same"),
        (100, 101, 0.0, False, "worse"),
        (100, 99, 0.0, False, "better"),
        (100, 99, 0.0, True, "worse"),
        (100, 104, 0.04, False, "same"),
        (100, 105, 0.04, False, "worse"),
        (0, 1, 0.0, False, "worse"),
        (0, 0, 0.0, False, "same"),
        (1, math.nan, 0.5, False, "worse"),
        (1, math.inf, 0.5, False, "worse"),
    ],
)
def test_figures(base: float, head: float, tolerance: float, both_ways: bool, verdict: str) -> None:
    assert Figure(base, head, tolerance, both_ways).verdict() == verdict


def test_only_what_is_worse_twice_fails() -> None:
    first = {"a": "worse", "b": "worse", "c": "same", "d": "worse"}
    assert confirmed(first, {"a": "worse", "b": "same", "c": "worse"}) == ["a"]


def noise(seed: int, n: int = 200) -> dict[str, Any]:
    """Log ratios of 100 benchmarks of several spreads, with tails much longer than a normal's."""
    rng = np.random.default_rng(seed)
    return {f"b{i}": 0.002 * (1 + i % 20) * rng.standard_t(3, n) for i in range(100)}


@pytest.mark.parametrize("pairs", [5, 12])
def test_false_alarms_are_rare(pairs: int) -> None:
    assert false_alarms(noise(0), pairs, 1.05, 500) <= 0.01


def test_the_simulation_sees_a_gate_that_cries_wolf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without interval and control, every benchmark tosses two coins."""
    monkeypatch.setattr(
        Timing,
        "verdict",
        lambda self, factor: "worse" if np.median(self.log_ratios) > 0 else "same",
    )
    assert false_alarms(noise(0), 5, 1.0001, 100) > 0.5


@pytest.mark.parametrize(("spread", "at_least"), [(0.01, 1.0), (0.03, 0.9)])
def test_ten_per_cent_are_seen(spread: float, at_least: float) -> None:
    rng = np.random.default_rng(3)

    def worse() -> bool:
        head, control = spread * rng.standard_normal((2, 12))
        return Timing(list(head + math.log(1.1)), list(control)).verdict(1.05) == "worse"

    assert np.mean([worse() and worse() for _ in range(100)]) >= at_least


def test_every_role_comes_first_second_and_third() -> None:
    for orders in measure._BALANCED:
        for place in range(3):
            assert sorted(order[place] for order in orders) == sorted(measure.ROLES)


def timed(monkeypatch: pytest.MonkeyPatch, pair_seconds: float, **options: Any) -> Any:
    """`measure.timings` with measurements made up: head takes 1.2 times as long."""
    clock = [0.0]

    def one_pair(revisions: Any, benchmarks: Any, folder: Any, rng: Any) -> Any:
        clock[0] += pair_seconds
        return {
            "a": {"base": 2.0, "head": 2.4, "control": 2.0},
            "b": None,
        }

    monkeypatch.setattr(measure, "one_pair", one_pair)
    monkeypatch.setattr(measure.time, "monotonic", lambda: clock[0])
    return measure.timings(
        {}, [{"name": "a"}, {"name": "b"}], Path(), rng=random.Random(0), report=lambda _: None,
        **options,
    )  # fmt: skip


def test_pairs_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timed(monkeypatch, 10.0, pairs=12, until=75.0)
    assert found["b"] is None
    assert np.allclose(found["a"].log_ratios, [math.log(1.2)] * 7)
    assert found["a"].control == [0.0] * 7


def test_a_budget_for_too_few_pairs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotMeasure, match="--budget"):
        timed(monkeypatch, 10.0, pairs=12, until=45.0)


def a_run() -> dict[str, Any]:
    """A gate run with every kind of verdict."""
    slow = Timing([x + 0.1 for x in QUIET], QUIET).figures(1.05)
    return {
        "base": "v1", "head": "<b>&v2", "commits": {"base": "1" * 40, "head": "2" * 40},
        "factor": 1.05, "failed": ["epoch.Epoch.time_epoch('C', 'float32', 1)"],
        "benchmarks": {
            "predict.Row.time_row('A')": Timing(QUIET, QUIET).figures(1.05),
            "epoch.Epoch.time_epoch('C', 'float32', 1)": slow,
            "epoch.Epoch.time_epoch('D', 'float32', 1)":
                Timing(QUIET, [20 * x for x in QUIET]).figures(1.05),
            "quality.Learned.track_loss('digits, SGD')": Figure(0.5, 0.6, 0.01, True).figures(),
            "memory.Held.track_allocations('C')": Figure(0, 0, 0.0).figures(),
            "kernels.Losses.time_loss('new')": {"kind": "skipped", "verdict": "skipped"},
        },
        "again": {"epoch.Epoch.time_epoch('C', 'float32', 1)": slow},
        "machine": "a CPU", "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


def test_reports_put_what_is_worse_first(tmp_path: Path) -> None:
    run = a_run()
    lines = text(run).splitlines()
    assert lines[1].startswith("epoch.Epoch.time_epoch('C', 'float32', 1)")
    assert "worse!" in lines[1]
    assert "1.105" in lines[1]
    assert "WORSE, and worse again: epoch.Epoch.time_epoch('C'" in lines[-1]
    table = [line for line in markdown(run).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}
    assert len(table) == 2 + len(run["benchmarks"])
    write(run, str(tmp_path / "deep" / "gate"))
    assert json.loads((tmp_path / "deep" / "gate.json").read_text()) == run
    run["failed"] = []
    assert text(run).splitlines()[-1] == "No regression."


class Elements(HTMLParser):
    """Counts elements, and holds that each that is opened is closed."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str | None] = []
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.seen.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_stands_alone() -> None:
    run = a_run()
    elements = Elements(page(run))
    assert elements.seen.count("tr") == 1 + len(run["benchmarks"])
    assert elements.seen.count("circle") == 3
    assert not elements.addresses
    assert "&lt;b&gt;&amp;v2" in page(run)
    with pytest.raises(AssertionError):
        Elements("<p><b></p>")
    run["benchmarks"] = {"x": Figure(1, 2, 0.0).figures()}
    assert "circle" not in Elements(page(run)).seen


def test_a_browser_loads_the_page(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), "")
    if not browser:
        pytest.skip("no chromium here: the page was parsed, not driven")
    (tmp_path / "page.html").write_text(page(a_run()), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/own",
         "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("<circle") == 3
    assert "worse again" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factor": 1.0}, "--factor"),
        ({"budget": 0.0}, "--budget"),
        ({"pairs": 4}, "--pairs"),
        ({"only": "("}, "--only"),
    ],
)
def test_bad_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotMeasure, match=message):
        Options("HEAD", "HEAD", **wrong).check()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one file and one commit, taken for the checkout."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "file").write_text("one\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    build.git("init", "-q")
    build.git("add", "file")
    build.git(*who, "commit", "-qm", "first")
    return tmp_path


def test_a_patched_revision_leaves_the_checkout_alone(repository: Path) -> None:
    patch = repository / "change.patch"
    patch.write_text("--- a/file\n+++ b/file\n@@ -1 +1 @@\n-one\n+two\n")
    commit = build.commit_of(f"HEAD+{patch}")
    assert build.git("show", f"{commit}:file") == "two"
    assert commit == build.commit_of(f"HEAD+{patch}")
    assert (repository / "file").read_text() == "one\n"
    assert build.git("status", "--porcelain", "--untracked-files=no") == ""


@pytest.mark.parametrize("revision", ["no-such", "HEAD+no-such.patch"])
def test_unknown_revisions_can_not_be_measured(repository: Path, revision: str) -> None:
    with pytest.raises(CannotMeasure, match="git"):
        build.commit_of(revision)


def test_the_command_exits_with_2_where_nothing_was_measured() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "gate" / "gate"), "no-such", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "could not measure" in done.stderr


def test_a_worker_that_dies_is_told_of(tmp_path: Path) -> None:
    nothing = Installed("none", sys.executable, {})
    with pytest.raises(CannotMeasure, match="prepare"):
        with_process(nothing, tmp_path, "prepare", "no.such.benchmark")


def with_process(revision: Installed, folder: Path, *command: Any) -> Any:
    process = measure.Process(revision, folder)
    try:
        return process.ask(*command)
    finally:
        process.close()


def test_slowdowns_are_patches_that_apply() -> None:
    assert {path.stem for path in trials.PATCHES.iterdir()} == set(trials.SLOWDOWNS)
    for name in trials.SLOWDOWNS:
        command = ["git", "apply", "--check", str(trials.patch(name))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{name} has to be made anew: {done.stderr}"


def test_trials_tell_the_right_name_and_the_spread() -> None:
    run = a_run()
    assert trials.flagged(run, "redundant_pass")
    assert not trials.flagged(run, "memory")
    null = trials.log_ratios([run])["predict.Row.time_row('A')"]
    assert null == QUIET  # the control's: the revisions differ
    table = trials.null_table([run])
    assert "1 of 1 runs" in table
    assert "gate runs (7 pairs, factor 1.05" in table
