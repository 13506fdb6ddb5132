"""Benchmarks of fastbp for asv and for scripts/gate/gate.

The same benchmarks run on any commit: what a commit does not have yet, it skips. Machine code is
kept in a folder for each commit, so that none is ever run by another one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The cases of the comparison with other libraries, and the lab's clock for single kernels.
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "lab")]

_results = Path(os.environ.get("ASV_CONF_DIR") or ROOT / "asv_benchmarks") / ".asv"
os.environ["FASTBP_CACHE_DIR"] = str(
    _results / "kernels" / os.environ.get("ASV_COMMIT", "working-tree")
)
os.environ.pop("FASTBP_CACHE", None)
