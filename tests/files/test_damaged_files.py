"""Short runs of what scripts/torture/mutate_files.py does by the ten thousands."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture import mutate_files


@pytest.mark.parametrize("kind", mutate_files.KINDS)
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    counts, failures = mutate_files.torture(mutate_files.KINDS[kind], 400, 1, tmp_path)
    assert failures == []
    assert {damage for damage, _ in counts} == {d.__name__ for d in mutate_files.DAMAGES}
    assert sum(count for (_, result), count in counts.items() if result == "refused") > 360
