"""Names for the buttons that open nested lists of pages, which the theme leaves without."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_BUTTON = re.compile(r"(>([^<]+)</a>\s*<details[^>]*>\s*<summary)>")


def name_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Have the theme give each button the name of the page that it stands beside."""
    lists = context.get("generate_toctree_html")
    if lists is not None:

        def named(*arguments: Any, **options: Any) -> str:
            return _BUTTON.sub(r'\1 aria-label="Pages of \2">', str(lists(*arguments, **options)))

        context["generate_toctree_html"] = named


def setup(app: Sphinx) -> dict[str, bool]:
    """Register this, after the theme's own."""
    app.connect("html-page-context", name_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
