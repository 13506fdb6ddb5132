"""The assertions of helpers say what they compared, as those of tests do."""

import pytest

pytest.register_assert_rewrite(
    "browser",
    "cases",
    "child",
    "command_line",
    "exports",
    "layering",
    "model_files",
    "naive",
    "problems",
    "sources",
)
