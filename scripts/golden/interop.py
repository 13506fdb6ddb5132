#!/usr/bin/env python3
"""Write what PyTorch's modules and Keras's models give, for tests/interop/test_interop.py.

    python scripts/golden/interop.py [FILE]   (default: tests/golden/interop.npz)

Needs torch and keras; fastbp itself has no part in it. Entries of the file: ``modules``, JSON of 50
random ``nn.Sequential``, each a list of steps (class, settings); of module i the arrays ``i/0``,
``i/1`` ... in order, inputs ``i/X`` and outputs ``i/y``. ``keras``, JSON of 50 random models, each
a list of activations; of model i the arrays ``k<i>/0`` ..., ``k<i>/X`` and ``k<i>/y``.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from torch import nn

ACTIVATIONS = [
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("ReLU", {}),
    ("Softmax", {"dim": -1}),
    ("Softmax", {"dim": 1}),
    ("LeakyReLU", {"negative_slope": 0.01}),
    ("LeakyReLU", {"negative_slope": 0.25}),
    ("ELU", {"alpha": 1.0}),
    ("ELU", {"alpha": 0.5}),
    ("SELU", {}),
    ("ReLU6", {}),
    ("Hardsigmoid", {}),
    ("Hardtanh", {"min_val": -1.0, "max_val": 1.0}),
    ("Hardtanh", {"min_val": 0.0, "max_val": 6.0}),
    ("GELU", {"approximate": "none"}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Softplus", {"beta": 1.0, "threshold": 20.0}),
    ("Softsign", {}),
    ("Identity", {}),
    None,
]
NAMES = [
    None, "linear", "sigmoid", "tanh", "relu", "softmax", "leaky_relu", "elu", "selu", "relu6",
    "hard_sigmoid", "hard_tanh", "gelu", "silu", "swish", "mish", "softplus", "softsign",
    "exponential",
]  # fmt: skip


def module(rng, first):
    """A random module whose first activation is `first`, and its steps."""
    widths = rng.integers(1, 12, rng.integers(2, 6)).tolist()
    dtype = torch.float64 if rng.random() < 0.3 else torch.float32
    steps = [("Flatten", {"start_dim": 1, "end_dim": -1})] if rng.random() < 0.2 else []
    made = [nn.Flatten()] if steps else []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        made.append(nn.Linear(n_in, n_out, bias=rng.random() < 0.8, dtype=dtype))
        nn.init.normal_(made[-1].weight, std=1.5 / n_in**0.5)
        steps.append(("Linear", {}))
        activation = ACTIVATIONS[first if i == 0 else rng.integers(len(ACTIVATIONS))]
        if activation and activation[0] == "Softplus" and dtype == torch.float64:
            activation = ("Softplus", {"beta": 1.0, "threshold": 40.0})
        for step in [activation, ("Dropout", {"p": 0.25})]:
            if step and (step[0] != "Dropout" or (i < len(widths) - 2 and rng.random() < 0.3)):
                made.append(getattr(nn, step[0])(**step[1]))
                steps.append(step)
    return nn.Sequential(*made).eval(), steps, dtype


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden" / "interop.npz"
    target = Path(sys.argv[1]) if sys.argv[1:] else default
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    entries, modules, models = {}, [], []
    for i in range(50):
        made, steps, dtype = module(rng, i % len(ACTIVATIONS))
        n_in = next(m for m in made if isinstance(m, nn.Linear)).in_features
        X = torch.tensor(3 * rng.standard_normal((7, n_in)), dtype=dtype)
        modules.append(steps)
        for j, parameter in enumerate(made.parameters()):
            entries[f"{i}/{j}"] = parameter.detach().numpy()
        entries[f"{i}/X"], entries[f"{i}/y"] = X.numpy(), made(X).detach().numpy()
    for i in range(50):
        widths = rng.integers(1, 12, rng.integers(2, 5)).tolist()
        names = [NAMES[(i + 7 * j) % len(NAMES)] for j in range(len(widths) - 1)]
        biases = (rng.random(len(names)) < 0.8).tolist()
        model = keras.Sequential(
            [keras.Input((widths[0],))]
            + [
                keras.layers.Dense(
                    n, name, use_bias=bias, bias_initializer=keras.initializers.RandomNormal()
                )
                for n, name, bias in zip(widths[1:], names, biases, strict=True)
            ]
        )
        X = (3 * rng.standard_normal((7, widths[0]))).astype(np.float32)
        models.append(names)
        for j, array in enumerate(model.get_weights()):
            entries[f"k{i}/{j}"] = array
        entries[f"k{i}/X"], entries[f"k{i}/y"] = X, model.predict(X, verbose=0)
    np.savez_compressed(
        target,
        versions=json.dumps({"torch": torch.__version__, "keras": keras.__version__}),
        modules=json.dumps(modules),
        keras=json.dumps(models),
        **entries,
    )


if __name__ == "__main__":
    main()
