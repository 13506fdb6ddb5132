"""Random networks for those that leave fastbp; C programs and ONNX graphs of them, run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paths
import pytest

import fastbp
from fastbp import export
from fastbp.kernels.functions.activations import ACTIVATIONS

MAIN = paths.TESTS / "export" / "main.c"
COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
needs_c = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this machine")


class Programs:
    """Headers in one C program."""

    def __init__(self, folder: Path, flags: Sequence[str] = (), math: bool = True) -> None:
        self.folder, self.flags, self.math = folder, flags, math
        self.networks: list[tuple[str, int, int]] = []

    def add(self, header: export.CHeader, n_in: int, n_out: int) -> None:
        name = f"n{len(self.networks)}"
        text = header.text
        kind_in, kind_out = re.findall(r"_predict\(const (\w+) \*in, (\w+) \*out\)", text)[0]
        text += (
            f"static int {name}_run(const double *in, double *out) {{\n"
            f"    {kind_in} x[{n_in}]; {kind_out} y[{n_out}]; int i, status;\n"
            f"    for (i = 0; i < {n_in}; i++) x[i] = ({kind_in})in[i];\n"
            f"    status = {name}_predict(x, y);\n"
            f"    for (i = 0; status == 0 && i < {n_out}; i++) out[i] = (double)y[i];\n"
            "    return status;\n}\n"
        )
        (self.folder / f"{name}.h").write_text(text)
        self.networks.append((name, n_in, n_out))

    def build(self) -> Path:
        lines = [f'#include "{name}.h"' for name, _, _ in self.networks]
        lines += [
            "static const struct { int (*predict)(const double *, double *); size_t n_in, n_out; }",
            "networks[] = {",
            *(f"    {{{name}_run, {n_in}, {n_out}}}," for name, n_in, n_out in self.networks),
            "};",
        ]
        (self.folder / "networks.h").write_text("\n".join(lines) + "\n")
        program = self.folder / "program"
        done = subprocess.run(
            [str(COMPILER), *FLAGS, *self.flags, "-I", str(self.folder), str(MAIN),
             "-o", str(program), *(["-lm"] if self.math else [])],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[:3000]
        return program

    def run(
        self, inputs: Sequence[tuple[int, Any]], before: Sequence[str] = ()
    ) -> list[list[float]]:
        """Run the program on each (network, values); return the status and the outputs of each."""
        text = "\n".join(
            f"{number} " + " ".join(repr(float(x)) for x in values) for number, values in inputs
        )
        done = subprocess.run(
            [*before, str(self.folder / "program")], input=text, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[:3000]
        return [[float(x) for x in line.split()] for line in done.stdout.splitlines()]


HIDDEN = sorted(set(ACTIVATIONS) - {"exp"})  # exp of exp overflows


def architecture(rng: np.random.Generator, hidden: str, dtype: str = "float32") -> fastbp.Network:
    """Any depth, widths and biases; hidden layers of this activation, any output layer."""
    units = rng.integers(1, 40, rng.integers(0, 4)).tolist()
    kinds = [*[hidden] * len(units), str(rng.choice(sorted(ACTIVATIONS)))]
    layers = [
        fastbp.Dense(n, kind, bias=[True, "shared", False][rng.integers(3)])
        for n, kind in zip([*units, int(rng.integers(1, 20))], kinds, strict=True)
    ]
    network = fastbp.Network(
        int(rng.integers(1, 30)), layers, dtype=dtype, seed=int(rng.integers(99))
    )
    network.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in network.get_weights()])
    return network


def run_graph(model: Any, **inputs: Any) -> dict[str, Any]:
    """The outputs of an ONNX graph by name, as ONNX Runtime has them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))
