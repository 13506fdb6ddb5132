"""Both revisions side by side, each installed into an environment of its own, by asv."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asv import (
    environment,
    plugin_manager,  # noqa: F401  importing it makes virtualenv and git known to asv
)
from asv.config import Config
from asv.repo import get_repo

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "asv_benchmarks"
KEPT = FOLDER / ".asv" / "gate"


class CannotMeasure(Exception):
    """Nothing can be said about the revisions."""


@dataclass(frozen=True)
class Installed:
    """A revision, ready to run."""

    commit: str
    python: str
    variables: dict[str, str]
    environment: str = ""  # asv's name of it, which has all versions


def git(*arguments: str, **variables: str) -> str:
    """Run git with these arguments, and return what it prints.

    Raises
    ------
    CannotMeasure
        With git's own message.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, env={**os.environ, **variables}, capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise CannotMeasure(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def commit_of(revision: str) -> str:
    """The commit that ``REV``, ``REV+FILE.patch`` or ``.`` (tracked files as they are) means.

    A patched revision becomes a commit that no branch holds; the checkout is not touched.
    """
    if revision == ".":
        return git("stash", "create") or commit_of("HEAD")
    name, plus, patch = revision.partition("+")
    commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") if name else ""
    if not plus:
        return commit
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (
        ("NAME", "bench_gate"), ("EMAIL", "bench_gate@localhost"), ("DATE", "2000-01-01T00:00:00Z")
    )}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git("read-tree", commit, **index)
        git("apply", "--cached", str(Path(patch).resolve()), **index)
        tree = git("write-tree", **index)
    return git("commit-tree", tree, "-p", commit, "-m", f"{name} with {Path(patch).name}", **who)


@contextmanager
def alone() -> Iterator[None]:
    """One gate at a time: two would disturb each other, and share environments.

    Raises
    ------
    CannotMeasure
        Another one is at work.
    """
    import fcntl

    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotMeasure("another gate is at work in this checkout") from None
        yield


def install(commit: str, place: str, python: str | None) -> Installed:
    """Install a commit into the environment `place`, which is kept for later runs.

    Raises
    ------
    CannotMeasure
        There is no such Python, or the commit can't be built.
    """
    before = os.getcwd()
    os.chdir(FOLDER)  # asv takes the paths of its configuration from there
    try:
        conf: Any = Config.load("asv.conf.json")
        conf.env_dir = str(KEPT / place)
        conf.pythons = [python] if python else conf.pythons
        environments = list(environment.get_environments(conf, None))
        if len(environments) != 1:
            raise CannotMeasure(f"no Python {conf.pythons[0]} was found on PATH")
        env = environments[0]
        env.create()
        env.install_project(conf, get_repo(conf), commit)
        return Installed(commit, env.find_executable("python"), dict(env.env_vars), env.name)
    except (environment.EnvironmentUnavailable, subprocess.CalledProcessError, OSError) as error:
        raise CannotMeasure(f"{commit[:8]} can't be installed: {error}") from error
    finally:
        os.chdir(before)
