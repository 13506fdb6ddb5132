"""asv's site of results that asks for nothing on the network.

Of what is recorded in the repository (`asv_benchmarks/results`) and of what `asv run` has measured
in this checkout. asv's page loads its scripts from content delivery networks; here it has them
beside it, from `docs/_vendor/asv`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asv.commands.publish import Publish
from asv.config import Config

from gate.build import FOLDER, ROOT, CannotMeasure, git

RECORDED = FOLDER / "results"
VENDOR = ROOT / "docs" / "_vendor" / "asv"
#: what asv's page calls a file, where that isn't its name here
_OTHER_NAMES = {"jquery-3.3.1.min.js": "jquery.min.js"}
_REMOTE = re.compile(r'<(script src|link rel="stylesheet" href)="https?://[^">]*/([^"/>]+)"[^>]*>')


def known(commit: str) -> bool:
    """Whether this checkout has that commit: a shallow one has few."""
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except (CannotMeasure, OSError):  # no such commit, no repository, no git
        return False
    return True


def results(folders: list[Path]) -> Iterator[Path]:
    """Each commit's file of results."""
    for folder in folders:
        for path in sorted(folder.glob("*/*.json")):
            if path.name != "machine.json":
                yield path


def collect(folders: list[Path], into: Path) -> int:
    """Put all results together, those of a later folder over the earlier; how many there are.

    A commit that this checkout doesn't have is left out, and told of; so are, silently, benchmarks
    that nobody has measured.
    """
    benchmarks: dict[str, Any] = {}
    for folder in folders:
        if (described := folder / "benchmarks.json").exists():
            benchmarks |= json.loads(described.read_text(encoding="utf-8"))
        for machine in folder.glob("*/machine.json"):
            (into / machine.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(machine, into / machine.parent.name)
    taken, measured = set(), {"version"}  # of the format
    for path in results(folders):
        run = json.loads(path.read_text(encoding="utf-8"))
        commit = run["commit_hash"]
        if known(commit):
            shutil.copy(path, into / path.parent.name)
            taken.add((path.parent.name, path.name))
            measured |= run["results"].keys()
        else:
            print(f"left out: this checkout has no commit {commit[:8]}", file=sys.stderr)
    shown = {name: about for name, about in benchmarks.items() if name in measured}
    (into / "benchmarks.json").write_text(json.dumps(shown), encoding="utf-8")
    return len(taken)


def local(html: str) -> str:
    """asv's page, with what it loads in the folder ``vendor`` beside it.

    Raises
    ------
    ValueError
        It loads something that isn't in `VENDOR`: a newer asv, perhaps.
    """

    def here(found: re.Match[str]) -> str:
        asked = found[2].replace(".min.js", ".js") if "flot" in found[2] else found[2]
        name = _OTHER_NAMES.get(asked, asked)
        if not (VENDOR / name).is_file():
            raise ValueError(f"asv's page loads {found[2]}, which {VENDOR} doesn't have")
        return f'<{found[1]}="vendor/{name}">'

    return _REMOTE.sub(here, html)


def publish(target: Path, home: str | None = None) -> int:
    """Make the site, whose project's name links to `home`; how many results it shows."""
    before = os.getcwd()
    os.chdir(FOLDER)  # asv takes the paths of its configuration from there
    try:
        conf: Any = Config.load("asv.conf.json")
        with tempfile.TemporaryDirectory() as folder:
            shown = collect([RECORDED, FOLDER / conf.results_dir], Path(folder))
            if not shown:
                raise CannotMeasure("there are no results of commits that this checkout has")
            conf.results_dir, conf.html_dir = folder, str(target)
            conf.project_url = home or conf.project_url
            Publish.run(conf=conf, pull=False)
    finally:
        os.chdir(before)
    shutil.copytree(VENDOR, target / "vendor")
    index = target / "index.html"
    index.write_text(local(index.read_text(encoding="utf-8")), encoding="utf-8")
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="publish", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=FOLDER / ".asv" / "html", metavar="FOLDER",
        help="what becomes of it is written anew (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--home", metavar="URL", help="what the project's name links to")
    options = parser.parse_args(arguments)
    try:
        shown = publish(options.folder.absolute(), options.home)
    except CannotMeasure as error:
        print(f"nothing published: {error}", file=sys.stderr)
        return 2
    print(f"the site of {shown} results: {options.folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
