"""fastbp explain: what is printed, and the page, clicked through in a browser."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, chromium, needs_chromium
from examples import worked_example
from problems import T, X, textbook
from typer.testing import CliRunner

import fastbp
from fastbp.cli.commands import app
from fastbp.cli.page import frames
from fastbp.cli.stored import load
from fastbp.data.columns import Number


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r"^const D = (.*);$", page, re.MULTILINE)
    return dict(json.loads(text))


def test_the_textbook_on_the_terminal() -> None:
    said = run("explain")
    for words in ("0.298371108760003", "0.138498562", "0.0821670406", "0.35891648", "0.149780716"):
        assert words in said
    said = run("explain", "--weights-only", "--after", "10000", "--format", "json")
    step = json.loads(said)
    assert step["error"] == pytest.approx(3.510187782978859e-05, rel=1e-12)
    assert "| w5 |" in run("explain", "--format", "markdown")
    assert r"\begin{longtable}" in run("explain", "--format", "latex")


def test_a_model_and_a_row_of_its_data() -> None:
    rng = np.random.default_rng(0)
    size, kind = rng.normal(100, 20, 60), rng.choice(["red", "blue"], 60)
    rows = [f"{s:.3f},{c},{'big' if s > 100 else 'small'}" for s, c in zip(size, kind, strict=True)]
    Path("data.csv").write_text("\n".join(["size,colour,class", *rows]) + "\n")
    run("train", "data.csv", "--target", "class", "--epochs", "2", "--hidden", "4", "--seed", "1")
    step = json.loads(run("explain", "model.safetensors", "data.csv", "--row", "7",
                          "--format", "json"))  # fmt: skip
    net = fastbp.Network.load("model.safetensors")
    assert step["loss"] == "cross_entropy"
    assert step["targets"] == ([1, 0] if size[6] > 100 else [0, 1])
    column = load("model.safetensors")[1].columns[0]  # type: ignore[union-attr]
    assert isinstance(column, Number)
    expected = (round(size[6], 3) - column.mean) / column.scale
    assert step["inputs"][0] == pytest.approx(expected, rel=1e-6)
    found = fastbp.trace(net, step["inputs"], step["targets"], "cross_entropy")
    assert step == found.to_dict()
    both = ("--inputs", "1,0,1", "--targets", "1")
    run("explain", "model.safetensors", *both, "--optimizer", "adam", "--learning-rate", "0.1")
    for arguments, words in (
        (["model.safetensors"], "give a file with a row"),
        (["model.safetensors", "data.csv", "--row", "61"], "there are 60 rows"),
        (["model.safetensors", "data.csv", *both], "DATA goes with a model"),
        (["model.safetensors", "--inputs", "1,2", "--targets", "1"], "x must be one sample of 3"),
        (["--inputs", "a,b"], "--inputs takes numbers"),
        (["--loss", "mist"], "loss must be one of"),
        (["--optimizer", "lbfgs"], "optimizer must be one that updates batch by batch"),
        (["nothing.safetensors"], "No such file"),
        (["--html", "none/x.html"], "there is no folder"),
    ):
        assert words in run("explain", *arguments, code=2)


def test_frames() -> None:
    assert frames(0) == [0]
    assert frames(30) == list(range(31))
    many = frames(10_000)
    assert many[:4] == [0, 1, 2, 3]
    assert many[-1] == 10_000
    assert len(many) <= 40
    assert many == sorted(set(many))


def test_the_page_is_whole_and_small() -> None:
    assert "page written to step.html" in run("explain", "--html", "step.html", "--updates", "20")
    page = Path("step.html").read_text("utf-8")
    template = importlib.resources.files("fastbp.cli").joinpath("page.html").read_text("utf-8")
    assert len(template) < 24_000
    links = set(re.findall(r"https?://[^\"' ]+", page))
    assert links == {"http://www.w3.org/2000/svg"}  # a name, which nobody looks up
    shown = data_of(page)
    assert [frame["update"] for frame in shown["frames"]] == list(range(21))
    at = next(p["id"] for p in shown["parameters"] if p["name"] == "w5")
    for after in (0, 13):
        step = fastbp.trace(textbook(), X, T, after=after)
        frame = shown["frames"][after]
        assert frame["error"] == step.error
        assert frame["d"][1] == step.layers[1].deltas.tolist()
        assert frame["g"][at] == step.weight("w5").gradient
        assert frame["n"][at] == step.weight("w5").new_weight


def test_large_layers_and_deep_networks_are_cut() -> None:
    widths = [784, *[32] * 20, 10]
    layers = [fastbp.Dense(n, "tanh") for n in widths[1:-1]] + [fastbp.Dense(10, "softmax")]
    fastbp.Network(784, layers, seed=0).save("big.safetensors")
    pixels = ",".join(["0.5"] * 784)
    run("explain", "big.safetensors", "--inputs", pixels, "--targets", "3", "--html", "big.html",
        "--updates", "3")  # fmt: skip
    shown = data_of(Path("big.html").read_text("utf-8"))
    assert len(shown["levels"]) == 6
    assert all(len(level["slots"]) <= 6 for level in shown["levels"])
    assert shown["levels"][0]["slots"][3]["gap"] == ["…", "779", "more"]
    assert shown["levels"][3]["slots"][0]["gap"] == ["…", "17", "layers"]
    assert shown["levels"][0]["slots"][-1]["name"] == "i784"
    assert len(Path("big.html").read_text("utf-8")) < 120_000


def test_a_diverging_update_ends_the_slider() -> None:
    net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    net.save("linear.safetensors")
    run("explain", "linear.safetensors", "--inputs", "1e3", "--targets", "1", "--learning-rate",
        "1e30", "--html", "x.html")  # fmt: skip
    shown = data_of(Path("x.html").read_text("utf-8"))
    assert "the error is no longer finite" in shown["about"]
    assert len(shown["frames"]) < 10


def test_the_worked_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert worked_example.main() == 0
    said = capsys.readouterr().out
    for words in (
        "E              0.298371108760003   0.298371108760003   0.298371108760003",
        "E = 3.51018778297",
        "o1 = 0.015913620443",
        "o2 = 0.984064273514",
        "the same in all of them",
    ):
        assert words in said


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def opened(page: Page, *arguments: str, **window: Any) -> None:
    run("explain", "--html", "step.html", *arguments)
    page.problems.clear()
    page.open(Path("step.html").absolute(), **window)


def cells(page: Page) -> dict[tuple[str, str], float]:
    """The numbers of the table, by name and quantity."""
    found = page.run(
        "[...document.querySelectorAll('#numbers td[data-name]')]"
        ".map(c => [c.dataset.name, c.dataset.quantity, c.textContent])"
    )
    return {(name, what): number(text) for name, what, text in found}


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-8)


@needs_chromium
def test_clicking_through_the_steps(page: Page) -> None:
    opened(page)
    for after in (0, 10):
        if after:
            page.run("document.getElementById('first').click()")
            page.run("(s => { s.value = 10; s.dispatchEvent(new Event('input')); })"
                     "(document.getElementById('update'))")  # fmt: skip
        step = fastbp.trace(textbook(), X, T, after=after)
        assert page.run("document.getElementById('made').textContent") == str(after)
        assert number(page.run("document.getElementById('error').textContent")) == close(step.error)
        assert cells(page) == {("i1", "a"): 0.05, ("i2", "a"): 0.1}
        for layer, units in ((0, ("h1", "h2")), (1, ("o1", "o2"))):
            page.click("#next")
            shown = cells(page)
            for j, unit in enumerate(units):
                assert shown[unit, "z"] == close(step.layers[layer].net_inputs[j])
                assert shown[unit, "a"] == close(step.layers[layer].outputs[j])
        page.click("#next")
        shown = cells(page)
        assert shown["all", "error"] == close(step.error)
        assert [shown[o, "E"] for o in ("o1", "o2")] == close(step.errors.tolist())
        for layer, units in ((1, ("o1", "o2")), (0, ("h1", "h2"))):
            page.click("#next")
            shown, here = cells(page), step.layers[layer]
            for j, unit in enumerate(units):
                assert here.output_slopes is not None
                assert here.slopes is not None
                assert shown[unit, "output_slope"] == close(here.output_slopes[j])
                assert shown[unit, "slope"] == close(here.slopes[j])
                assert shown[unit, "delta"] == close(here.deltas[j])
        page.click("#next")
        shown = cells(page)
        for name in (f"w{i + 1}" for i in range(8)):
            weight = step.weight(name)
            assert shown[name, "gradient"] == close(weight.gradient)
            assert shown[name, "weight"] == close(weight.weight)
            assert shown[name, "new_weight"] == close(weight.new_weight)
        assert shown["E⁺", "error_after"] == close(step.error_after)
        assert page.run("document.getElementById('next').disabled")
    assert not page.problems


@needs_chromium
def test_keys_pointer_and_chain_rule(page: Page) -> None:
    opened(page, "--weights-only")
    step = "document.getElementById('step').textContent"
    detail = "document.getElementById('detail').textContent"
    for _ in range(6):
        page.key("ArrowRight", 39)
    assert page.run(step).startswith("Step 7 of 7")
    page.key("ArrowLeft", 37)
    page.key("ArrowRight", 39)
    page.run("document.getElementById('update').focus()")
    seen = []
    for _ in range(10):  # two biases among the weights
        page.key("Tab", 9)
        seen.append(page.run("document.activeElement.dataset.name"))
    assert seen == ["w1", "w2", "w3", "w4", "b1", "w5", "w6", "w7", "w8", "b2"]
    assert page.run("document.querySelectorAll('.edge[tabindex=\"0\"]').length") == len(seen)
    assert "(frozen)" in page.run(detail)
    box = page.run(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])"
        "(document.querySelector('[data-tag=\"5\"] text').getBoundingClientRect())"
    )
    page.mouse("mouseMoved", *box)
    said = page.run(detail)
    assert said.startswith(
        "∂E/∂w5 = ∂E/∂o1 · ∂o1/∂z_o1 · ∂z_o1/∂w5 = 0.741365 · 0.186816 · 0.59327 = 0.0821670406"
    )
    assert said.endswith("w5⁺ = w5 − 0.5 · ∂E/∂w5 = 0.4 − 0.5 · 0.082167 = 0.35891648")
    page.run("document.getElementById('update').focus()")
    page.key("ArrowRight", 39)  # moves the slider, not the step
    assert page.run("document.getElementById('made').textContent") == "1"
    assert page.run(step).startswith("Step 7 of 7")
    assert not page.problems


@needs_chromium
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_sticks_out(page: Page, width: int, large: bool) -> None:
    """At the last step, when most is shown; nor do nodes overlap."""
    model = []
    if large:
        layers = [fastbp.Dense(30, "relu"), fastbp.Dense(10, "softmax")]
        fastbp.Network(100, layers, seed=0).save("large.safetensors")
        model = ["large.safetensors", "--inputs", ",".join("1" * 100), "--targets", "3"]
    opened(page, *model, "--updates", "2", width=width)
    page.run("document.getElementById('last').click()")
    assert page.run("document.documentElement.scrollWidth") <= width
    outside = page.run(
        "[...document.querySelectorAll('svg')].flatMap(svg => (s => "
        "[...svg.querySelectorAll('text, circle, rect')].filter(e => (b => b.left < s.left - 1 || "
        "b.right > s.right + 1 || b.top < s.top - 1 || b.bottom > s.bottom + 1)"
        "(e.getBoundingClientRect())).map(e => e.outerHTML))(svg.getBoundingClientRect()))"
    )
    assert outside == []
    centres = page.run(
        "[...document.querySelectorAll('.node')].map(e => e.getBoundingClientRect())"
        ".map(b => [b.x + b.width / 2, b.y + b.height / 2])"
    )
    assert len(centres) == (15 if large else 8)
    for i, a in enumerate(centres):
        for b in centres[:i]:
            assert np.hypot(a[0] - b[0], a[1] - b[1]) > 52
    assert not page.problems
