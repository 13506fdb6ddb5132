"""The assertions of helpers say what they compared, as those of tests do."""

import pytest

pytest.register_assert_rewrite("command_line", "model_files", "sources")
