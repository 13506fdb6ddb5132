"""What people who join are told, and what runs on their changes: it is there, and it agrees."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from layering import MODULES, PACKAGE, imports
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from paths import ROOT

import fastbp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TEMPLATES = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
#: programs of runners and of a shell, beside those of the checkout
PROGRAMS = {"python", "source", "test", "grep", "cat", "echo", "git", "cd"}
#: of their lines: what is said of a command, not run
SHELL = {"if", "then", "else", "fi"}
#: folders of a runner that a workflow makes
MADE = ("dist", "empty", "docs/_build", "asv_benchmarks/.asv")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Any) -> Iterator[Any]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])


def pythons(job: Any) -> set[str]:
    """The versions that a job names: in its matrix, and in its steps."""
    matrix = job.get("strategy", {}).get("matrix", {})
    found = {*matrix.get("python", [])} | {row["python"] for row in matrix.get("include", [])}
    for step in job.get("steps", []):
        named = step.get("with", {}).get("python-version", "")
        found |= {version for version in named.split() if version[0].isdigit()}
    return found


# -- workflows -------------------------------------------------------------------------------------


def test_what_workflows_there_are() -> None:
    assert {path.stem for path in WORKFLOWS} >= {
        "tests", "lint", "docs", "package", "gate", "release", "everything"
    }  # fmt: skip


@each_workflow
def test_workflows_are_complete(path: Path) -> None:
    workflow = load(path)
    assert workflow["name"] == path.stem
    assert True in workflow, "on: is a truth value in YAML 1.1"
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert set(job["needs"] if isinstance(job.get("needs"), list) else [job.get("needs")]) <= {
            None, *workflow["jobs"]
        }  # fmt: skip
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
        else:
            assert 0 < job["timeout-minutes"] <= 90
            assert job["steps"]
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+)", step["uses"])


def test_one_version_of_each_action() -> None:
    used = {step["uses"] for path in WORKFLOWS for step in steps(load(path)) if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used), sorted(used)


@each_workflow
def test_pythons_are_supported(path: Path) -> None:
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    for job in load(path)["jobs"].values():
        assert all(version in supported for version in pythons(job)), pythons(job)


def test_pythons_that_are_claimed_are_tested() -> None:
    label = "Programming Language :: Python :: 3."
    claimed = {
        entry.rpartition(" ")[2]
        for entry in PROJECT["project"]["classifiers"]
        if entry.startswith(label)
    }
    assert min(map(Version, claimed)) in SpecifierSet(PROJECT["project"]["requires-python"])
    for name, job in (("tests", "tests"), ("package", "alone")):
        found = load(GITHUB / "workflows" / f"{name}.yml")["jobs"][job]
        assert claimed <= pythons(found)
        # what isn't claimed may fail, what is may not
        may_fail = found.get("continue-on-error", "")
        allowed = set(re.findall(r"matrix\.python == '([\d.]+)'", may_fail))
        assert allowed == pythons(found) - claimed
    (everything,) = load(GITHUB / "workflows" / "everything.yml")["jobs"].values()
    assert pythons(everything) == claimed
    (own,) = re.findall(r"^    for version in (.*); do$", read(".ci/run"), re.MULTILINE)
    assert set(own.split()) == claimed


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def absent(command: str) -> list[str]:
    """What a command of a workflow names and this checkout doesn't have."""
    found = []
    for line in command.splitlines():
        words = shlex.split(line, comments=True)
        while words and words[0] in SHELL:
            words = words[1:]
        if not words or words[0].startswith("["):
            continue
        program = words[0].partition("=")[0]
        if "/" in program:
            words[0] = program = program.removeprefix("./")
            found += [program] * (not os.access(ROOT / program, os.X_OK))
        elif program == words[0]:  # not a variable that is set
            found += [program] * (program not in PROGRAMS)
        if words[:2] == ["python", "-m"]:
            module = {"build": "build", "twine": "twine"}.get(words[2])
            known = module in extra("package") if module else find_spec(words[2])
            found += [words[2]] * (not known)
        for word in words[1:]:
            name = word.removeprefix("checkout/")
            if "/" in name and "$" not in name and "*" not in name and not name.startswith(MADE):
                found += [name] * (not (ROOT / name).exists())
            if named := re.fullmatch(r"\.\[([\w,]+)\]", word):
                known_extras = PROJECT["project"]["optional-dependencies"]
                found += [one for one in named[1].split(",") if one not in known_extras]
    return found


def extra(name: str) -> set[str]:
    """The packages that an extra names."""
    requirements = PROJECT["project"]["optional-dependencies"][name]
    return {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}


@each_workflow
def test_commands_are_there(path: Path) -> None:
    commands = [step["run"] for step in steps(load(path)) if "run" in step]
    assert commands
    for command in commands:
        assert absent(command) == [], command


@pytest.mark.parametrize(
    "wrong",
    [
        "./scripts/tset", "python scripts/gate/gatte HEAD", "python -m tox", "make all",
        'python -m pip install ".[testing]"', "if true; then\n  rm -r dist\nfi",
        "python checkout/.ci/smoke", "python -m pip install -r docs/requirements.txt",
    ],
)  # fmt: skip
def test_commands_that_are_not_there_are_noticed(wrong: str) -> None:
    assert absent(wrong)


def test_the_gate_has_its_python() -> None:
    (job,) = load(GITHUB / "workflows" / "gate.yml")["jobs"].values()
    (needed,) = re.findall(r'"pythons": \["([\d.]+)"\]', read("asv_benchmarks/asv.conf.json"))
    assert pythons(job) == {needed}


# -- lint, in three places -------------------------------------------------------------------------


def test_hooks_run_what_ci_runs() -> None:
    script = read("scripts/lint")
    parts = re.findall(r'^    (\w+)\) "\$python" -m (\w+)', script, re.MULTILINE)
    assert [tool for _, tool in parts] == ["ruff", "ruff", "mypy"]
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "versions stand in pyproject.toml alone"
    hooks = {hook["entry"]: hook for hook in repository["hooks"]}
    assert list(hooks) == [f"./scripts/lint {part}" for part, _ in parts]
    assert all(hook["pass_filenames"] is False for hook in hooks.values())
    assert 'stage "lint and types" ./scripts/lint\n' in read(".ci/run")
    (job,) = load(GITHUB / "workflows" / "lint.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["./scripts/lint"]
    assert os.access(ROOT / "scripts" / "lint", os.X_OK)


def test_lint_refuses_what_it_has_not() -> None:
    command = ["bash", str(ROOT / "scripts" / "lint"), "check", "chek"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "error: give some of: check, format, types\n"


@pytest.mark.parametrize("folder", ["bin", "Scripts"])
def test_environments_of_every_system_are_found(folder: str, tmp_path: Path) -> None:
    """Windows has no bin in them."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/env.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / folder).mkdir(parents=True)
    python = tmp_path / ".venv" / folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    installed = 'cksum <"$root/pyproject.toml"'
    lines = [
        "source scripts/env.sh",
        f'printf "%s %s\\n" "$({installed})" "$root" >"$venv/.fastbp-test"',
        'make_env test && printf "%s\\n" "$python"',
    ]
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)], cwd=tmp_path,
        capture_output=True, text=True, timeout=60,
        env={name: value for name, value in os.environ.items() if name != "PYTHON"},
    )  # fmt: skip
    assert done.stdout == f"{python.resolve()}\n", done.stderr


# -- versions --------------------------------------------------------------------------------------

RELEASES = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", CHANGELOG, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_changelog_has_releases() -> None:
    assert len(RELEASES) == CHANGELOG.count("\n## ")
    assert RELEASES[0] == ("Unreleased", "")
    assert RELEASES[1][0] == fastbp.__version__
    versions = [Version(version) for version, _ in RELEASES[1:]]
    assert versions == sorted(versions, reverse=True)
    dates = [date.fromisoformat(day) for _, day in RELEASES[1:]]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)) <= KINDS
    assert re.findall(r"^\[(.+?)\]: http", CHANGELOG, re.MULTILINE) == [v for v, _ in RELEASES]


def test_the_citation_is_of_the_last_release() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title"} <= set(citation)
    assert (citation["version"], citation["date-released"]) == RELEASES[1]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"] == PROJECT["project"]["authors"]
    assert citation["repository-code"] == PROJECT["project"]["urls"]["Source"]


def test_one_address_everywhere() -> None:
    """A placeholder: whoever publishes the first release changes it where this test looks."""
    source = PROJECT["project"]["urls"]["Source"]
    owner, name = source.removeprefix("https://github.com/").split("/")
    places = [*ROOT.glob("*.md"), *GITHUB.rglob("*.*"), *(ROOT / "docs").rglob("*.md")]
    places += [ROOT / "CITATION.cff", ROOT / "pyproject.toml"]
    found = {
        address
        for path in places
        if "_build" not in path.parts
        for address in re.findall(
            rf"github(?:usercontent)?\.com/([\w.-]+/{name})\b", path.read_text(encoding="utf-8")
        )
    }
    assert found == {f"{owner}/{name}"}


# -- what GitHub shows -----------------------------------------------------------------------------

INPUTS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def test_which_templates_there_are() -> None:
    assert {path.stem for path in TEMPLATES} == {"bug", "slow", "idea", "config"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_issue_templates(path: Path) -> None:
    template = load(path)
    if path.stem == "config":
        assert set(template) == {"blank_issues_enabled", "contact_links"}
        for link in template["contact_links"]:
            assert set(link) == {"name", "url", "about"}
        return
    assert set(template) == {"name", "description", "labels", "body"}
    ids = [field["id"] for field in template["body"]]
    assert len(set(ids)) == len(ids)
    assert any(field["validations"]["required"] for field in template["body"][:1])
    for field in template["body"]:
        assert field["type"] in INPUTS
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert field["attributes"]["label"]
        if field["type"] == "checkboxes":
            assert all(option["label"] for option in field["attributes"]["options"])


def commands_of(text: str) -> Iterator[str]:
    """What is between backquotes and looks like a path of the checkout."""
    for quoted in re.findall(r"`([^`\n]+)`", text):
        for word in quoted.split():
            if re.match(r"(\./|\.ci/|\.github/)?\w[\w./-]*/", word) and "…" not in word:
                yield word.removeprefix("./")


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md"]
)
def test_paths_that_are_named_are_there(name: str) -> None:
    text = read(name)
    named = {path for path in commands_of(text) if not path.startswith((".venv/", "docs/_build/"))}
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert missing == []
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / name).parent.joinpath(target).exists(), target


def test_the_picture_of_the_layout_is_right() -> None:
    """Every arrow is an import, every package is on it, and all lead down to the kernels."""
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```$", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    plain = re.sub(r'\[".*?"\]', "", picture)
    arrows = set(re.findall(r"^    (\w+) --> (\w+)$", plain, re.MULTILINE))
    assert len(arrows) == picture.count("-->")
    there = {
        (name.partition(".")[0], other.partition(".")[0])
        for name in MODULES
        for other in imports(name)
    }
    assert arrows <= there
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    drawn = {name for arrow in arrows for name in arrow}
    assert packages <= drawn
    # nothing that is left out may be missing: what A imports can be reached from A
    reached = {name: {name} for name in drawn}
    for _ in drawn:
        for above, below in arrows:
            reached[above] |= reached[below]
    for above, below in there:
        if above in drawn and below in drawn:
            assert below in reached[above], f"{above} imports {below}"


def test_the_security_policy_says_what_is_a_placeholder() -> None:
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        for paragraph in read(name).split("\n\n"):
            assert "example.org" not in paragraph or "placeholder" in paragraph


def test_an_sdist_has_what_this_reads() -> None:
    patterns = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    read_here = [
        ".ci", ".github", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "LICENSE",
        "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "asv_benchmarks",
        "docs", "fastbp", "scripts", "tests",
    ]  # fmt: skip
    for name in read_here:
        assert (ROOT / name).exists()
        assert any(fnmatch(name, pattern.removeprefix("/")) for pattern in patterns), name
