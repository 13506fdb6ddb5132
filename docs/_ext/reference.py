"""The reference: which members a class's page has, and what names in docstrings lead to."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

import fastbp
import fastbp.export
import fastbp.interop
import fastbp.jit
import fastbp.plot
import fastbp.typing

MODULES = (fastbp, fastbp.jit, fastbp.plot, fastbp.export, fastbp.interop, fastbp.typing)
#: every public class by its full name
CLASSES = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if inspect.isclass(getattr(module, name))
}
#: methods that docstrings of other classes speak of
_METHODS = {"fit": "fastbp.Trainer.fit", "compiled": "fastbp.Trainer.compiled"}
# Other libraries' names lead nowhere: the inventories of their sites would be asked from the
# network. Those of scikit-learn stand without a module, too.
_OTHERS = re.compile(
    r"(asyncio|concurrent|matplotlib|mpl_toolkits|numpy|onnx|scipy|sklearn|torch)\.|MLP\w+"
)


def context() -> dict[str, Any]:
    """What the templates of pages ask for.

    The members of classes that have pages of their own aren't repeated on their heirs' pages; that
    a class is the heir of one is said.
    """
    bases = {base for kind in CLASSES.values() for base in kind.__mro__[1:]}
    kept = {base for base in bases if base in CLASSES.values() or base.__module__ == "builtins"}
    return {
        "documented_bases": ", ".join(sorted(base.__name__ for base in kept)),
        "heirs": {name for name, kind in CLASSES.items() if _base(kind)},
    }


def _base(kind: type) -> type | None:
    """The nearest base of a class that a reader can look up."""
    known = [b for b in kind.__mro__[1:] if b in CLASSES.values() or issubclass(b, Exception)]
    return known[0] if known else None


def aliases() -> dict[str, str]:
    """What names in the types of parameters stand for."""
    return {full.rpartition(".")[2]: full for full in CLASSES}


def only_aliases(app: Sphinx, config: Config) -> None:
    """Take away numpydoc's own links from words such as int to Python's site."""
    config.numpydoc_xref_aliases_complete = config.numpydoc_xref_aliases


def skip_member(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields and settings, which a class's own docstring lists."""
    if what == "class" and not (callable(thing) or isinstance(thing, (property, classmethod))):
        return True
    return None


def public_bases(app: Sphinx, name: str, kind: type, options: Any, bases: list[Any]) -> None:
    """Say of the bases the nearest one that a reader can look up."""
    base = _base(kind)
    bases[:] = [f":py:obj:`{base.__name__}`"] if base else []


def made_defaults(
    app: Sphinx, what: str, name: str, kind: Any, options: Any, signature: str | None, result: str
) -> tuple[str, str] | None:
    """Say of a field that starts as a new list or dict what that is."""
    if what != "class" or not dataclasses.is_dataclass(kind) or signature is None:
        return None
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            value = repr(field.default_factory())
            signature = signature.replace(f"{field.name}=<factory>", f"{field.name}={value}")
    return signature, result


def find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """What a name in single backticks leads to, where Sphinx has found nothing.

    Attributes that a class's docstring lists lead to the class. Parameters are in single backticks
    as well, and are shown as code. A name with a capital letter or a dot has to be known: else
    Sphinx warns.
    """
    if node.get("refdomain") != "py" or node.get("reftype") not in ("obj", "attr"):
        return None
    target = re.sub(r"\(.*\)$", "", node["reftarget"])
    objects = env.domains.python_domain.objects
    tried = [target, *(f"{module.__name__}.{target}" for module in MODULES)]
    owner, _, attribute = target.rpartition(".")
    owners = (owner, *(f"{module.__name__}.{owner}" for module in MODULES))
    tried += [full for full in owners if _has(full, attribute)]
    tried.append(_METHODS.get(target, ""))
    for full in tried:
        if full in objects:
            return env.domains.python_domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", full, node, text
            )
    if _OTHERS.match(target) or re.fullmatch(r"[a-z]\w*|[A-Z]", target):
        return text
    return None


def _has(name: str, attribute: str) -> bool:
    """Whether the docstring of a class lists an attribute or a setting."""
    text = inspect.getdoc(CLASSES[name]) or "" if name in CLASSES else ""
    return re.search(rf"^(\w+, )*{attribute}(, \w+)* : ", text, re.MULTILINE) is not None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register these."""
    app.connect("config-inited", only_aliases, priority=900)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-signature", made_defaults)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
