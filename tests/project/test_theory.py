"""The pages under docs/theory tell every public kind: a section, a formula and a source each."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import pytest
from paths import ROOT

import fastbp
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.layers.activations import WITH_SETTINGS as ACTIVATION_CLASSES
from fastbp.layers.initializers import INITIALIZERS
from fastbp.layers.initializers import WITH_SETTINGS as INITIALIZER_CLASSES
from fastbp.objectives.losses import LOSSES
from fastbp.objectives.metrics import METRICS
from fastbp.optimizers import OPTIMIZERS
from fastbp.optimizers.schedules import SCHEDULES

THEORY = ROOT / "docs" / "theory"
#: "Kingma & Ba 2015", "Maas et al. 2013", "Huber 1964" or "Marquardt (1963)"
_CITED = re.compile(r"([A-Z]\w+(?: & [A-Z]\w+| et al\.)?)(?:'s)? \(?((?:1[89]|20)\d\d)\b")
_SECTION = re.compile(r"^(?:#{2,4} `(\w+)`$|- \*\*`(\w+)`\*\*)", re.MULTILINE)


def sections(page: str) -> dict[str, str]:
    """The text under each heading that is a name, and of each entry of a list that begins so."""
    text = (THEORY / f"{page}.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    found = {}
    for match in _SECTION.finditer(text):
        rest = text[match.end() :]
        end = re.search(r"^#{1,4} |^- \*\*", rest, re.MULTILINE)
        name = match[1] or match[2]
        assert name not in found, f"{page} has two sections {name}"
        found[name] = " ".join(rest[: end.start() if end else len(rest)].split())
    return found


def cited(*things: Any) -> set[str]:
    """The sources that docstrings of these name."""
    texts = [" ".join((inspect.getdoc(thing) or "").split()) for thing in things if thing]
    return {f"{who} {year}" for text in texts for who, year in _CITED.findall(text)}


def functions(kernels: Any) -> list[Any]:
    """The Python functions of an entry of a table of kernels."""
    found = [getattr(kernels, name, None) for name in ("forward", "backward", "kernel")]
    return [kernel.function for kernel in found if kernel is not None]


def of_activations() -> dict[str, tuple[Any, ...]]:
    return {
        name: (ACTIVATION_CLASSES.get(name), *functions(kernels))
        for name, kernels in ACTIVATIONS.items()
    }


SETTINGS = (
    "l1", "l2", "dropout", "max_norm", "trainable", "clip_norm", "clip_value", "accumulate",
)  # fmt: skip
#: by page: each name that must have a section, and whose docstrings tell its sources
KINDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "activations": of_activations(),
    "losses": {name: (kind, *functions(kind()._kernel)) for name, kind in LOSSES.items()},
    "metrics": {name: (type(metric),) for name, metric in METRICS.items()},
    "optimizers": {kind.__name__: (kind,) for kind in OPTIMIZERS.values()},
    "schedules": {kind.__name__: (kind,) for kind in SCHEDULES},
    "layers": {
        name: (INITIALIZER_CLASSES.get(name),) for name in {**INITIALIZERS, **INITIALIZER_CLASSES}
    },
    "regularisation": dict.fromkeys(SETTINGS, ()),
}
each = pytest.mark.parametrize(("page", "name"), [(p, name) for p in KINDS for name in KINDS[p]])


@pytest.mark.parametrize("page", KINDS)
def test_sections_are_those_of_the_library(page: str) -> None:
    assert set(sections(page)) == set(KINDS[page])


@each
def test_a_section_has_a_formula_and_its_docstrings_sources(page: str, name: str) -> None:
    text = sections(page)[name]
    if page != "layers" and name != "trainable":
        assert text.count("$$") >= 2, "no formula"
    missing = {source for source in cited(*KINDS[page][name]) if source not in text}
    assert not missing, missing


@pytest.mark.parametrize("page", ["activations", "losses", "optimizers"])
def test_every_section_has_a_source(page: str) -> None:
    for name, text in sections(page).items():
        source = text.partition("Source: ")[2]
        assert re.search(r"\b(1[89]|20)\d\d\b", source), name


def test_layers_and_regularisation_have_the_sources_of_settings() -> None:
    """Those of `Dense` and `Trainer`: how weights start, and what holds them back."""
    pages = ("layers", "regularisation")
    text = " ".join((THEORY / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    text = " ".join(text.split())
    sources = cited(fastbp.Dense, fastbp.Trainer)
    assert len(sources) > 2
    assert all(source in text for source in sources), sources


def test_sources_are_found_in_docstrings() -> None:
    assert cited(*KINDS["activations"]["gelu"]) == {"Hendrycks & Gimpel 2016"}
    assert "Marquardt 1963" in cited(fastbp.LevenbergMarquardt)
    assert cited(fastbp.Adagrad) == {"Duchi et al. 2011"}


def test_optimizers_tell_what_they_keep() -> None:
    for name, text in sections("optimizers").items():
        assert "State: " in text, name


def test_schedules_tell_their_settings_and_defaults() -> None:
    for kind in SCHEDULES:
        settings = []
        for name, setting in inspect.signature(kind).parameters.items():
            default = setting.default
            shown = json.dumps(default) if isinstance(default, str) else repr(default)
            shown = "1/3" if default == 1 / 3 else shown
            settings.append(name if default is setting.empty else f"{name}={shown}")
        signature = f"`{kind.__name__}({', '.join(settings)})`"
        assert signature in sections("schedules")[kind.__name__], signature


def test_every_public_class_of_a_kind_is_linked() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in THEORY.glob("*.md"))
    bases = (fastbp.Loss, fastbp.Metric, fastbp.Optimizer, fastbp.Schedule)
    bases += (fastbp.Activation, fastbp.Initializer)
    kinds = [
        name
        for name in fastbp.__all__
        if inspect.isclass(kind := getattr(fastbp, name)) and issubclass(kind, bases)
    ]
    assert len(kinds) > 40
    absent = [n for n in kinds if f"{{py:class}}`fastbp.{n}`" not in text]
    assert set(absent) <= {base.__name__ for base in bases}, absent


def test_formulas_are_of_what_mathml_is_made_of() -> None:
    """`latex2mathml` leaves what it doesn't know as it is, and draws & of `aligned` as a letter."""
    unknown = re.compile(r"\\begin\{(?!cases|array)\w+\}|\\mathrm|\\_|\\erf\b|\\(?:lvert|rvert)")
    for page in THEORY.glob("*.md"):
        found = unknown.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found}"
