"""The roofline: intensities by hand, and the picture's figures are those that the page tells."""

from __future__ import annotations

import json
import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from compare import bandwidth
from compare.cases import STANDARD, parse
from paths import ROOT

_LOADER = SourceFileLoader("roofline", str(ROOT / "scripts" / "compare" / "roofline"))
roofline = module_from_spec(spec_from_loader(_LOADER.name, _LOADER))
_LOADER.exec_module(roofline)
MEASURED = ROOT / "docs" / "pictures" / "measured" / "roofline.json"


@pytest.mark.parametrize(
    ("name", "operations", "moved"),
    [
        # 12 parameters, each read and written by an update a sample; 2 inputs and 2 targets
        ("A", 40, 4 * (2 + 2) + 4 * 2 * 12),
        # 1,088 + 4,160 + 65 parameters, with Adam's two values each; a batch of 64 shares an update
        ("C", 2 * (3 * (1024 + 4096 + 64) - 1024), 4 * (16 + 1) + 4 * 2 * 3 * 5313 / 64),
        # the target is a class, of 8 bytes
        ("E", 2 * (3 * 101_632 - 100_352), 4 * 784 + 8 + 4 * 2 * 101_770 / 128),
    ],
)
def test_intensity_by_hand(name: str, operations: int, moved: float) -> None:
    case = parse(STANDARD[name], name)
    assert case.flops == operations
    assert roofline.intensity(case) == pytest.approx(operations / moved, rel=1e-12)


def test_it_is_drawn_from_a_file_of_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not without bandwidths; with them each case is told and the picture is there."""
    file, picture = tmp_path / "results.json", tmp_path / "roofline.png"
    report = json.loads(MEASURED.read_text(encoding="utf-8"))
    del report["bandwidth"]
    file.write_text(json.dumps(report))
    with pytest.raises(SystemExit):
        roofline.main([str(file), str(picture)])
    assert "no bandwidths" in capsys.readouterr().err
    assert roofline.main([str(MEASURED), str(picture)]) == 0
    assert re.findall(r"^(\w): ", capsys.readouterr().out, re.MULTILINE) == list("ABCDEFGH")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_page_has_the_files_figures() -> None:
    """What stands in the table is what was measured, and no case is above its roof."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    report = json.loads(MEASURED.read_text(encoding="utf-8"))
    for name, (x, rate) in roofline.points(report).items():
        assert f"\n| {name} | {x:.3g} | {rate / 1e9:.3g} |\n" in page
        assert rate < roofline.roof(report)


def test_bandwidth_of_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are there for all, and positive, whatever the machine is at."""
    monkeypatch.setattr(bandwidth, "PLACES", {"near": 16 << 10, "far": 4 << 20})
    rates = bandwidth.measure(seconds=1e-4, rounds=2)
    assert list(rates) == ["near", "far"]
    assert min(rates.values()) > 0
