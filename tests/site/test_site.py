"""The built site of the documentation, driven in a browser: every page, search, keyboard, axe-core.

`./scripts/docs` builds it. Where it is not built these tests are skipped; with FASTBP_SITE=1, as
`.ci/run` sets it, that is an error.
"""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Page, chromium
from paths import ROOT

SITE = ROOT / "docs" / "_build" / "html"
BUILT = (SITE / "index.html").is_file() and CHROMIUM is not None
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
ROLES = ["scikit-learn", "keras", "pytorch", "numba", "teaching", "deploying", "asv", "tables"]
#: pages of every kind, for what takes a second each
KINDS = [
    "index", *(f"start/{role}" for role in ROLES), "start/index", "guide/index", "guide/training",
    "guide/pictures", "theory/losses", "theory/backpropagation", "cookbook/index", "api/index",
    "api/losses", "api/compiled", "api/command_line", "api/environment",
    "api/generated/fastbp.Trainer", "api/generated/fastbp.jit.train_step",
    "design/index", "design/lab", "performance", "tracking", "reliability", "search",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    not BUILT and os.environ.get("FASTBP_SITE") != "1",
    reason="the site is not built, or there is no Chromium: ./scripts/docs builds it",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """The address of the site, on loopback."""
    assert (SITE / "index.html").is_file(), "the site is not built"
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None, "there is no Chromium on this machine"
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.home = home
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    browser.problems.clear()
    return browser


def pages() -> list[str]:
    """Every page of the site but that of asv, whose scripts are its own."""
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return [name for name in found if not name.startswith(("asv/", "_static/"))]


def test_every_page_opens_and_fits(page: Page, home: str) -> None:
    """No error, no request that leaves the machine, one heading, nothing wider than 400 px."""
    names = pages()
    assert {f"start/{role}.html" for role in ROLES} <= set(names)
    for name in names:
        page.open(home + name, width=400, height=800)
        # the page itself must not scroll sideways; wide tables and code do in their own boxes
        wide = page.run("document.documentElement.scrollWidth")
        assert wide <= 400, f"{name} is {wide} px wide"
        if name not in ("genindex.html", "py-modindex.html"):
            assert page.run("document.querySelectorAll('h1').length") == 1, name
        for picture in page.run(
            "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
        ):
            raise AssertionError(f"{name}: {picture} is not there")
        assert page.problems == [], name


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("early stopping", ["guide/stopping", "guide/training", "EarlyStopping"]),
        ("ONNX", ["guide/export", "start/deploying", "to_onnx"]),
        ("learning rate", ["theory/schedules", "cookbook/learning_rate", "guide/training"]),
        ("install", ["guide/installing"]),
        ("class weights", ["cookbook/imbalanced", "guide/training", "theory/losses"]),
        ("scikit-learn", ["start/scikit-learn"]),
        ("cross entropy", ["theory/losses", "CrossEntropy"]),
        ("resume", ["guide/stopping", "cookbook/resum"]),
    ],
)
def test_search_finds_the_right_page(page: Page, home: str, words: str, right: list[str]) -> None:
    page.open(f"{home}search.html?q={words.replace(' ', '+')}")
    page.wait("document.querySelectorAll('#search-results li a').length >= 3")
    page.wait("!document.querySelector('#search-results h2')?.textContent.includes('Searching')")
    links = page.run(
        "[...document.querySelectorAll('#search-results li')].slice(0, 3)"
        ".map(item => item.querySelector('a').href)"
    )
    assert any(part in link for link in links for part in right), links
    assert page.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(page: Page, home: str, dark: bool) -> None:
    faults = []
    for name in KINDS:
        for width in (400, 1200):
            page.open(f"{home}{name}.html", width=width, dark=dark)
            page.run(AXE + "; 0")
            found = page.run(
                "axe.run({resultTypes: ['violations']}).then(r => r.violations"
                ".filter(v => ['serious', 'critical'].includes(v.impact))"
                ".map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200),"
                " v.nodes[0].failureSummary.slice(0, 300)]))"
            )
            faults += [(name, width, *fault) for fault in found]
    assert faults == []


def test_dark_is_dark(page: Page, home: str) -> None:
    shades = []
    for dark in (False, True):
        page.open(f"{home}guide/training.html", dark=dark)
        colour = page.run("getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(part) for part in colour[4:-1].split(",")[:3]))
    light, dark_one = shades
    assert light > 700
    assert dark_one < 150


def test_the_keyboard_is_enough(page: Page, home: str) -> None:
    """Tab reaches the link over the navigation, Ctrl+K the search, which Enter starts."""
    page.open(f"{home}guide/training.html")
    page.key("Tab", 9)
    assert page.run("document.activeElement.getAttribute('href')") == "#main-content"
    page.key("k", 75, modifiers=2)
    page.wait("document.activeElement.matches('input[type=search]')")
    page.call("Input.insertText", text="ONNX")
    page.call("Input.dispatchKeyEvent", type="char", text="\r", key="Enter")
    page.wait("location.pathname.endsWith('search.html')")
    page.wait("document.querySelectorAll('#search-results li a').length > 0")
    assert page.problems == []


def test_a_fault_would_be_found(page: Page, home: str, tmp_path: Path) -> None:
    """A page that is too wide, asks elsewhere and has a picture without text."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<html><body><h1>x</h1><div style='width:900px'>y</div><img src='http://127.0.0.1:9/a.png'>"
    )
    page.open(broken, width=400)
    assert page.run("document.documentElement.scrollWidth") > 400
    page.run(AXE + "; 0")
    found = page.run("axe.run().then(r => r.violations.map(v => v.id))")
    assert "image-alt" in found
    assert any("asked for http://127.0.0.1:9/a.png" in problem for problem in page.problems)
