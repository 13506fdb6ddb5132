"""KeyboardInterrupts at a chosen line, as Ctrl-C may be at any."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    reached: bool  # whether as many lines were executed
    raised: bool  # whether the work ended in the interrupt


def interrupt_at(
    line: int,
    work: Callable[[], object],
    path: str,
    skips: Callable[[FrameType], bool] = lambda frame: False,
) -> Outcome:
    """Call `work`, with an interrupt at the `line`-th line that files at `path` execute.

    `path` is a file or the beginning of several files' paths; lines where `skips` of the frame is
    true don't count.
    """
    left, raised = line, False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(path):
            return None
        if event == "line" and not skips(frame):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        raised = True
    finally:
        sys.settrace(None)
    return Outcome(left <= 0, raised)
