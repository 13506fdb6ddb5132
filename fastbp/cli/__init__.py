"""The ``fastbp`` command; needs the extra ``cli`` (typer, rich and pyarrow)."""

import sys

__all__ = ["main"]

_EXTRA = {"typer", "rich", "pyarrow"}


def main() -> None:
    """Run the ``fastbp`` command on ``sys.argv`` and exit with its code."""
    try:
        from fastbp.cli.commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print('error: the command line needs: pip install "fastbp[cli]"', file=sys.stderr)
        sys.exit(2)
    app(prog_name="fastbp")
