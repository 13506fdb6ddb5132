#!/usr/bin/env python3
"""Processes that start at once on an empty cache, and where no cache can be written: all train.

Each of 8 processes trains in two threads from a cold start, 20 rounds on a new empty folder each;
all must end with the same bits. Then once each: fastbp installed read-only and no home; a cache
folder that can't be written; and a disk that is full, for which the process may write no file
beyond a size that no machine code fits in. POSIX only. Exits with 1 where any of them failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: settings under which kernels compile in a third of the time
QUICK = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "1"}
PROGRAM = """
import resource, signal, sys, threading, warnings
limit = int(sys.argv[1])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
warnings.simplefilter("ignore", RuntimeWarning)
import numpy as np, fastbp
bits = [None, None]
def train(which):
    X = np.random.default_rng(0).normal(size=(9, 3))
    net = fastbp.Network(3, [fastbp.Dense(4, "sigmoid"), fastbp.Dense(2)], seed=0)
    trainer = fastbp.Trainer(net, "mse", "sgd", batch_size=4, seed=0)
    trainer.fit(X, X[:, :2], epochs=2)
    bits[which] = net.predict(X).tobytes().hex()
threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
[t.start() for t in threads]
[t.join() for t in threads]
assert bits[0] == bits[1] is not None, bits
print(bits[0])
"""


def start(settings: dict[str, str], root: Path = ROOT, limit: int = 0) -> subprocess.Popen[str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "FASTBP_"))}
    for name in ("HOME", "XDG_CACHE_HOME"):
        keep.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(limit)],
        env={**keep, **QUICK, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(processes: list[subprocess.Popen[str]], what: str, seconds: float) -> set[str]:
    """The bits that they ended with; "failed" among them where one didn't."""
    found = set()
    for process in processes:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        if process.returncode:
            print(f"{what}: exit status {process.returncode}\n{err[-2000:]}")
        found.add("failed" if process.returncode else out.strip())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=600, help="a process may take (600)")
    options = parser.parse_args()
    started, found, bits = time.monotonic(), set(), set[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(options.rounds):
            settings = {"FASTBP_CACHE_DIR": str(folder / f"round-{index}")}
            processes = [start(settings) for _ in range(options.processes)]
            found = ended(processes, f"round {index}", options.seconds)
            bits |= found
            shutil.rmtree(folder / f"round-{index}", ignore_errors=True)
        print(
            f"{options.rounds} rounds of {options.processes} processes x 2 threads on an empty "
            f"cache: {len(bits)} different results, {time.monotonic() - started:.0f} s"
        )
        installed = shutil.copytree(ROOT / "fastbp", folder / "site" / "fastbp")
        for path in [installed, *installed.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        (folder / "file").write_text("no folder")
        for what, settings, root, limit in (
            ("read-only packages, no home", {}, folder / "site", 0),
            ("a cache that can't be made", {"FASTBP_CACHE_DIR": str(folder / "file")}, ROOT, 0),
            ("a full disk", {"FASTBP_CACHE_DIR": str(folder / "full")}, ROOT, 1),
        ):
            if what.startswith("read-only"):  # a home that isn't there
                settings = {"HOME": str(folder / "file" / "nobody")}
            found = ended([start(settings, root, limit)], what, options.seconds)
            print(f"{what}: {'failed' if 'failed' in found else 'trains'}")
            bits |= found
        for path in [installed, *installed.rglob("*")]:
            path.chmod(0o755)
    sys.exit("failed" in bits or len(bits) != 1)


if __name__ == "__main__":
    main()
