"""``python -m fastbp`` is the ``fastbp`` command."""

from fastbp.cli import main

if __name__ == "__main__":
    main()
