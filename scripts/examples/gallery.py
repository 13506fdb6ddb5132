"""Make the documentation's pictures, from the code that stands above each.

With no arguments they are written where the pages show them. With --style and --size, to look at
them on other backgrounds and smaller; with --page, those of one page.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

try:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from PIL import Image
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed here; ./scripts/example gallery installs it")

ROOT = Path(__file__).resolve().parents[2]
# Of a page: a block of code that runs by itself, or a picture
_PARTS = re.compile(
    r"^```python\n(.*?)^```$|^!\[[^]]*\]\((\S*pictures/[^/\s]+\.png)\)$", re.DOTALL | re.MULTILINE
)


def pages() -> list[Path]:
    """The pages that show pictures made here."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [path for path in found if any(picture for picture, _ in steps(path))]


def steps(page: Path) -> list[tuple[Path, str]]:
    """Each picture's path and the code that stands above it, below the picture before."""
    found, code = [], ""
    for block, picture in _PARTS.findall(page.read_text(encoding="utf-8")):
        if picture:
            found.append(((page.parent / picture).resolve(), code))
            code = ""
        else:
            code += block
    return found


def smaller(path: Path) -> None:
    """Keep 256 colours, and no date or versions: the same picture is the same file.

    The most frequent colours stay as they are: by median cut, thin blue and green lines become one.
    """
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    spread = picture.quantize(96, method=Image.Quantize.MAXCOVERAGE).getpalette()
    pixels = np.asarray(picture).reshape(-1, 3)
    found, places, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    palette = np.concatenate([found[np.argsort(-counts)[:160]], np.reshape(spread, (-1, 3))[:96]])
    away = [np.square(found.astype(int) - colour).sum(axis=1) for colour in palette]
    nearest = np.argmin(away, axis=0).astype(np.uint8)
    few = Image.fromarray(nearest[places.reshape(picture.height, picture.width)])
    few.putpalette(palette.astype(np.uint8).tobytes())
    few.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the documentation's pictures.")
    parser.add_argument("--page", type=Path, help="only those of this page")
    parser.add_argument("--out", type=Path, help="another folder")
    parser.add_argument("--style", default="default", help="of matplotlib's, or a file")
    parser.add_argument(
        "--size", nargs=2, type=float, default=(6.4, 4.8), metavar="INCHES", help="(6.4 4.8)"
    )
    parser.add_argument("--dpi", type=int, default=100)
    args = parser.parse_args()
    with plt.style.context(args.style), plt.rc_context({"figure.figsize": args.size}):
        for page in pages() if args.page is None else [args.page]:
            names: dict[str, Any] = {}
            for picture, code in steps(page):
                exec(compile(code, page.name, "exec"), names)
                path = picture if args.out is None else args.out / picture.name
                path.parent.mkdir(parents=True, exist_ok=True)
                plt.gcf().savefig(path, dpi=args.dpi)
                smaller(path)
                plt.close("all")
                print(f"{path}   {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
