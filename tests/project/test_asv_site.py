"""The site of asv's recorded results: enough of them, and nothing is asked from the network."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import chromium, needs_chromium
from gate import site
from gate.build import CannotMeasure

#: tags and attributes by which a page loads something as it is opened
_LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, if this is a checkout with its history."""
    commits = [json.loads(path.read_text())["commit_hash"] for path in _recorded()]
    if not all(map(site.known, commits)):
        pytest.skip("this checkout doesn't have the commits that were measured")
    target = tmp_path_factory.mktemp("asv") / "html"
    assert site.publish(target, "../tracking.html") >= len(commits)
    return target


def _recorded() -> list[Path]:
    return list(site.results([site.RECORDED]))


def test_what_is_recorded_is_a_history() -> None:
    """Ten commits at least, and sixty benchmarks that most of them have a figure for."""
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in _recorded()]
    assert len({run["commit_hash"] for run in measured}) >= 10
    commits: Counter[tuple[str, int]] = Counter()
    for run in measured:
        place = run["result_columns"].index("result")
        for name, found in run["results"].items():
            figures = enumerate(found[place] or [])  # one that is skipped is NaN
            commits.update((name, number) for number, x in figures if x is not None and x == x)
    assert sum(n >= len(measured) - 1 for n in commits.values()) >= 60
    assert sum(path.stat().st_size for path in _recorded()) < 400_000


def test_no_file_of_the_record_names_a_folder_of_the_machine() -> None:
    for path in site.RECORDED.rglob("*.json"):
        assert not re.search(r"/(home|root|work|tmp|usr)/", path.read_text(encoding="utf-8")), path


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if (tag, name) in _LOADS]


def test_the_page_loads_what_stands_beside_it(published: Path) -> None:
    loads = _Loads()
    loads.feed((published / "index.html").read_text(encoding="utf-8"))
    assert len(loads.found) > 15
    for address in loads.found:
        assert "//" not in address
        assert (published / address).is_file(), address


def test_a_file_that_is_not_at_hand_is_an_error() -> None:
    known = (
        '<script src="https://cdn.example/flot/0.8.3/jquery.flot.min.js" integrity="x"></script>'
    )
    assert site.local(known) == '<script src="vendor/jquery.flot.js"></script>'
    with pytest.raises(ValueError, match=r"loads another\.js"):
        site.local('<script src="https://cdn.example/another.js"></script>')


def test_results_of_unknown_commits_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a shallow clone, where not even one may be left."""
    monkeypatch.setattr(site, "known", lambda commit: False)
    (tmp_path / "into").mkdir()
    assert site.collect([site.RECORDED], tmp_path / "into") == 0
    assert capsys.readouterr().err.count("left out") == len(_recorded())
    with pytest.raises(CannotMeasure, match="no results"):
        site.publish(tmp_path / "html")


@pytest.fixture
def address(published: Path) -> Iterator[str]:
    """Where the site is served on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing is said of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@needs_chromium
def test_in_a_browser_nothing_leaves_the_machine(address: str, tmp_path: Path) -> None:
    """The grid, the list and a graph are drawn, and every request goes to the site itself."""
    with chromium(tmp_path / "profile") as page:
        page.home = address
        for view, drawn in (
            ("#/", "document.querySelectorAll('#summarygrid-display canvas').length"),
            ("#/summarylist", "document.querySelectorAll('#summarylist-body td').length"),
            (
                "#kernels.Updates.time_update",
                "document.querySelectorAll('#main-graph canvas').length",
            ),
        ):
            page.open(f"{address}index.html{view}")
            page.wait(f"{drawn} > 0 && location.pathname === '/index.html'")
        assert page.problems == []
