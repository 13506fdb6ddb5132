"""Where things stand in this checkout."""

from pathlib import Path

#: the checkout
ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
TESTS = ROOT / "tests"
GOLDEN = TESTS / "golden"
