"""Calls of a test module's function in a process of its own, with settings of its own."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import event
from paths import ROOT

TESTS = Path(__file__).parent
#: settings under which kernels compile in a third of the time
QUICK = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "1"}


def start(
    function: Callable[..., Any],
    *arguments: Any,
    root: Path = ROOT,
    settings: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Begin ``function(*arguments)`` with the fastbp that stands in `root`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": str(root), **(settings or {})}
    folder = str(Path(function.__code__.co_filename).parent)  # a test's is on no path of its own
    called = [folder, function.__module__, function.__name__, json.dumps(arguments)]
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", __file__, *called],
        env=environment,
        cwd=TESTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Kill it, and the processes that it has started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def result(
    process: subprocess.Popen[str], timeout: float = 300.0, told: list[str] | None = None
) -> Any:
    """Wait for the process; return what its function did, or fail with what it wrote if it died.

    What it has written to stderr is appended to `told`.
    """
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(process)
        out, err = process.communicate()
        raise AssertionError(f"still at work after {timeout} s:\n{out}\n{err}") from None
    assert process.returncode == 0, f"exit status {process.returncode}:\n{out}\n{err}"
    if told is not None:
        told.append(err)
    return json.loads(out.splitlines()[-1])


def call(
    function: Callable[..., Any],
    *arguments: Any,
    timeout: float = 300.0,
    told: list[str] | None = None,
    **options: Any,
) -> Any:
    """``function(*arguments)`` in a new process; `options` are those of `start`."""
    return result(start(function, *arguments, **options), timeout, told)


class Compiling(event.Listener):  # type: ignore[misc]
    """Counts how often numba compiles each function, as "module.function", while in use."""

    def __init__(self) -> None:
        self.functions: Counter[str] = Counter()

    def on_start(self, event: Any) -> None:
        if event.data["name"].startswith("translate_bytecode"):  # the first of many passes
            self.functions[f"{event.data['module']}.{event.data['qualname']}"] += 1

    def on_end(self, event: Any) -> None:
        pass

    def __enter__(self) -> Counter[str]:
        event.register("numba:run_pass", self)
        return self.functions

    def __exit__(self, *_: object) -> None:
        event.unregister("numba:run_pass", self)


if __name__ == "__main__":
    import faulthandler

    faulthandler.enable()
    folder, module, name, arguments = sys.argv[1:]
    sys.path[1:1] = [folder, str(ROOT / "tests")]
    value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    print("\n" + json.dumps(value))
