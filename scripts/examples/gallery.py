"""Make the README's pictures, from the code that stands above each.

With no arguments they are written where the README shows them. With --style and --size, to look at
them on other backgrounds and smaller.
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
# Of the README's section: a block of code, or a picture
_PARTS = re.compile(r"^```python\n(.*?)^```$|^!\[.*?\]\((.*?)\)$", re.DOTALL | re.MULTILINE)


def steps(readme: str) -> list[tuple[str, str]]:
    """Each picture's path and the code that stands above it."""
    section = readme.split("\n## Pictures\n")[1].split("\n## ")[0]
    found, code = [], ""
    for block, picture in _PARTS.findall(section):
        if picture:
            found.append((picture, code))
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
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("--out", type=Path, help="another folder")
    parser.add_argument("--style", default="default", help="of matplotlib's, or a file")
    parser.add_argument(
        "--size", nargs=2, type=float, default=(6.4, 4.8), metavar="INCHES", help="(6.4 4.8)"
    )
    parser.add_argument("--dpi", type=int, default=100)
    args = parser.parse_args()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    with plt.style.context(args.style), plt.rc_context({"figure.figsize": args.size}):
        for picture, code in steps(readme):
            exec(compile(code, "README.md", "exec"), names)
            path = ROOT / picture if args.out is None else args.out / Path(picture).name
            path.parent.mkdir(parents=True, exist_ok=True)
            plt.gcf().savefig(path, dpi=args.dpi)
            smaller(path)
            plt.close("all")
            print(f"{path}   {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
