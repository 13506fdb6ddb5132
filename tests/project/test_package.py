"""What ``import fastbp`` brings: the public names at once, modules of it when they are used."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest

import fastbp

MODULES = ("export", "interop", "jit", "plot", "typing")
#: without matplotlib
WITHOUT = "import sys; sys.modules['matplotlib'] = None; import fastbp, inspect, pydoc\n"


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_public_names_are_listed() -> None:
    listed = dir(fastbp)
    assert listed == sorted(set(listed))
    public = {name for name in listed if not name.startswith("_")}
    assert public == {*fastbp.__all__, *MODULES} - {"__version__"}
    assert {"__version__", "__all__", "__doc__", "__file__", "__path__"} <= {*listed}
    assert not [name for name in listed if name.startswith("_") and not name.startswith("__")]
    assert [name for name, _ in inspect.getmembers(fastbp)] == listed


def test_what_was_imported_is_listed_no_more() -> None:
    """Once modules are in use they are the package's attributes, and are listed as before."""
    before = dir(fastbp)
    for name in (*MODULES, "bench", "trace", "check_gradients"):
        assert getattr(fastbp, name) is not None
    assert dir(fastbp) == before


@pytest.mark.parametrize("name", [*MODULES, "bench"])
def test_modules_come_when_they_are_used(name: str) -> None:
    told = run(
        f"import sys, fastbp\nassert 'fastbp.{name}' not in sys.modules\n"
        f"module = fastbp.{name}\nassert module is sys.modules['fastbp.{name}']\n"
        f"import fastbp.{name}\nfrom fastbp import {name}\nassert {name} is module\n"
        "print(module.__name__)"
    )
    assert told == f"fastbp.{name}"


def test_modules_are_used_without_an_import() -> None:
    told = run(
        "import fastbp, numpy as np\n"
        "import matplotlib; matplotlib.use('agg')\n"
        "net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)\n"
        "fastbp.plot.decision_boundary\n"
        "print(len(fastbp.interop.to_keras_weights(net)), fastbp.jit.OK)"
    )
    assert told == "2 0"


def test_a_star_brings_no_modules() -> None:
    told = run(
        "from fastbp import *\nimport sys\n"
        "print([m for m in ('plot', 'export', 'interop', 'jit') if f'fastbp.{m}' in sys.modules])"
    )
    assert told == "[]"


def test_pictures_without_matplotlib() -> None:
    """It is said what is missing, when it is used; `help` and `inspect` do without."""
    told = run(
        f"{WITHOUT}"
        "assert 'plot' not in dir(fastbp) and 'export' in dir(fastbp)\n"
        "inspect.getmembers(fastbp); pydoc.render_doc(fastbp)\n"
        "try:\n    fastbp.plot.learning_curves\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert told == (
        "fastbp.plot needs matplotlib, which the extra fastbp[plot] installs: "
        'pip install "fastbp[plot]"'
    )


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match=r"^module 'fastbp' has no attribute 'plots'"):
        fastbp.plots  # noqa: B018
    assert not hasattr(fastbp, "find_spec_of")
    assert "class Dense" in pydoc.render_doc(fastbp.Dense, renderer=pydoc.plaintext)


@pytest.mark.parametrize("collects", [True, False])
def test_an_import_leaves_garbage_collection_as_it_was(collects: bool) -> None:
    setting = "" if collects else "gc.disable()\n"
    assert run(f"import gc\n{setting}import fastbp\nprint(gc.isenabled())") == str(collects)


def test_an_import_that_fails_leaves_it_on() -> None:
    told = run(
        "import gc, sys\nsys.modules['safetensors'] = None\n"
        "try:\n    import fastbp\nexcept ImportError:\n    print(gc.isenabled())"
    )
    assert told == "True"


def test_no_collection_looks_at_all_that_was_imported() -> None:
    told = run(
        "import gc\nmost = 0\ndef look(phase, about):\n    global most\n"
        "    most = max(most, len(gc.get_objects(0)))\n"
        "gc.collect()\ngc.callbacks.append(look)\nimport fastbp\n[[] for _ in range(3000)]\n"
        "print(most < 20000)"
    )
    assert told == "True"


def test_what_a_program_has_frozen_stays_so() -> None:
    """As a server does before it forks."""
    told = run(
        "import gc\ngc.freeze()\nbefore = gc.get_freeze_count()\nimport fastbp\n"
        "print(before > 1000, gc.get_freeze_count() - before, gc.isenabled())"
    )
    frozen, more, collects = told.split()
    assert (frozen, collects) == ("True", "True")
    assert -1000 < int(more) <= 0  # some may be gone
