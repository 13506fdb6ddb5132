"""Where the values of one output, and its targets, are cut into two classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastbp.checks import real


def usual_threshold(activation: Any) -> float:
    """The cut of an output of that activation, by name, where nothing else is known."""
    return 0.0 if activation in ("linear", "tanh") else 0.5


class Thresholds(NamedTuple):
    """A network's own cuts; None is what is usual for its activation.

    Attributes
    ----------
    outputs : float or None
        Outputs above are class 1: `Network.class_threshold`.
    targets : float or None
        Targets above are class 1, by the targets of the last fit. It is that of the outputs where
        it is None. Whoever sets the outputs' changes what is predicted, and not what is so.
    """

    outputs: float | None = None
    targets: float | None = None

    def found(self, activation: Any) -> tuple[float, float]:
        """Both cuts, for outputs of that activation."""
        usual = usual_threshold(activation)
        outputs = usual if self.outputs is None else self.outputs
        if self.targets is not None:
            return outputs, self.targets
        return outputs, outputs

    def described(self) -> dict[str, float]:
        """What a file holds of them: those that there are."""
        cuts = zip(KEYS, self, strict=True)
        return {key: cut for key, cut in cuts if cut is not None}


#: the names in files, of outputs' and targets'
KEYS = ("class_threshold", "target_threshold")


def thresholds_of(about: Mapping[str, Any], n_outputs: int) -> Thresholds:
    """Return what `Thresholds.described` has put among other entries, checked.

    Raises
    ------
    TypeError, ValueError
        One is no finite number, or the network has several outputs.
    """
    return Thresholds(*(checked_threshold(key, about.get(key), n_outputs) for key in KEYS))


def checked_threshold(name: str, value: object, n_outputs: int) -> float | None:
    """Return a cut as a float, or None as it is.

    Raises
    ------
    TypeError, ValueError
        It is no finite number, or the network has several outputs.
    """
    if value is None:
        return None
    if n_outputs != 1:
        raise ValueError(
            f"{name} is for a network of one output, got {value!r}"[:100]
            + f" for one of {n_outputs}, whose class is that of the largest"
        )
    return real(name, value)
