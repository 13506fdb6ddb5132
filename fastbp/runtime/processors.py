"""How many processors there are for this process, as the system and those who started it say.

Nothing here raises, whatever it finds.
"""

from __future__ import annotations

import functools
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_SAYING = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
# As OpenMP reads it: one number a level of nested teams, of which the first is meant here.
_NUMBERS = re.compile(r"\s*\+?([0-9]+)\s*(,\s*\+?[0-9]+\s*)*")
# Modules of those whose processes are one of many at work.
_POOLS = ("multiprocessing.pool", "concurrent.futures.process")

_PROC = Path("/proc/self")
_SECONDS = 1.0  # that a quota is taken to stay as it is


def available() -> int:
    """Processors that this process may run on, and has time for by its control group's quota."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13; PYTHON_CPU_COUNT counts there too
        most = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        most = len(os.sched_getaffinity(0))
    else:
        most = os.cpu_count() or 1
    if most == 1:
        return 1
    return max(1, min(most, _quota_at(int(time.monotonic() / _SECONDS))))


def wanted() -> int:
    """Threads for `n_threads` "auto": `available`, or fewer where somebody has said so.

    Variables of the environment say so, and processes and threads that are one of many at work: of
    a pool of multiprocessing or concurrent.futures, or of joblib. Where joblib's loky has started
    the process, the variables say how many processors are its share.
    """
    said = [number for name in _SAYING if (number := _said(os.environ.get(name)))]
    one_of_many, shared_out = _at_work()
    if one_of_many and not (shared_out and said):
        return 1
    most = min(said, default=0)
    return 1 if most == 1 else min(most or sys.maxsize, available())


def _said(value: str | None) -> int:
    """The number of threads in an environment variable; 0 where it says none, as OpenMP has it."""
    found = _NUMBERS.fullmatch(value) if value else None
    if found is None or any(int(number) == 0 for number in re.findall("[0-9]+", value or "")):
        return 0
    return int(found[1][:9])


def _at_work() -> tuple[bool, bool]:
    """Whether this is one of many workers, and whether variables tell what its share is."""
    # Both are imported where there is such a worker, and nowhere for this.
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        process = processes.current_process()
        module = getattr(getattr(process, "_target", None), "__module__", None) or ""
        if type(process).__module__.startswith(("loky", "joblib")):
            return True, True
        if getattr(process, "daemon", False) or module in _POOLS:
            return True, False
    joblib = sys.modules.get("joblib.parallel")
    try:  # a task in a thread of joblib's
        backend = joblib.get_active_backend()[0]  # type: ignore[union-attr]
        return (getattr(backend, "nesting_level", 0) or 0) > 0, False
    except Exception:  # another joblib's, or one that is being imported
        return False, False


# -- quotas of control groups ----------------------------------------------------------------------


@functools.lru_cache(1)
def _quota_at(_second: int) -> int:
    """`quota`, asked for once a second."""
    return quota()


def quota() -> int:
    """Whole processors that the quotas of this process's control groups come to."""
    least = math.inf
    if sys.platform != "linux":
        return sys.maxsize
    try:
        for folder, top in _groups():
            while True:
                least = min(least, _share(folder))
                if folder == top or folder == folder.parent:
                    break
                folder = folder.parent
    except (OSError, ValueError, IndexError):
        pass
    return sys.maxsize if least == math.inf else max(1, int(least + 1e-6))


def _groups() -> Iterator[tuple[Path, Path]]:
    """The folders of the process's own groups that may have a quota, and of those at the top."""
    own: dict[str, str] = {}  # by controller, "" for version 2
    for line in _read(_PROC / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    for line in _read(_PROC / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        root, mounted = left.split(" ")[3:5]
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if controller not in own or (controller == "cpu" and "cpu" not in options.split(",")):
            continue
        top, path = Path(mounted), own[controller]
        # In a container the top may be a group within the system's: paths begin with its own.
        if root != "/" and (path + "/").startswith(root + "/"):
            path = path[len(root) :]
        elif root != "/":
            path = "/"
        folder = top / path.lstrip("/")
        yield (folder if ".." not in folder.parts and folder.is_dir() else top), top


def _share(folder: Path) -> float:
    """Processors by the quota of one group; infinity without one."""
    words = _read(folder / "cpu.max").split()  # version 2: both in one file
    if not words:
        words = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    try:
        quota, period = map(float, words)
    except ValueError:  # "max", or there is no such file
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
