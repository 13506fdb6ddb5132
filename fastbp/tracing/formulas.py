"""How the textbook writes what a kernel works out; `a`, `z`, `t` and `k` are put in by name."""

from __future__ import annotations

#: activation → f(z), f'(z)
ACTIVATIONS = {
    "linear": ("{z}", "1"),
    "sigmoid": ("1 / (1 + exp(−{z}))", "{a} · (1 − {a})"),
    "tanh": ("tanh({z})", "1 − {a}²"),
    "relu": ("max(0, {z})", "1 where {z} > 0, else 0"),
    "softmax": ("exp({z}) / Σ exp(z)", ""),
    "exp": ("exp({z})", "{a}"),
    "softplus": ("log(1 + exp({z}))", "1 / (1 + exp(−{z}))"),
    "softsign": ("{z} / (1 + |{z}|)", "1 / (1 + |{z}|)²"),
    "sine": ("sin({z})", "cos({z})"),
}

#: loss → an output's part of the error, its derivative (by z where the activation is fused)
LOSSES = {
    "half_squared_error": ("½ · ({t} − {a})²", "{a} − {t}"),
    "mse": ("({t} − {a})² / {k}", "2 · ({a} − {t}) / {k}"),
    "mae": ("|{t} − {a}| / {k}", "sign({a} − {t}) / {k}"),
    "log_cosh": ("log(cosh({a} − {t})) / {k}", "tanh({a} − {t}) / {k}"),
    "binary_cross_entropy": (
        "−({t} · log({a}) + (1 − {t}) · log(1 − {a})) / {k}",
        "({a} − {t}) / {k}",
    ),
    "cross_entropy": ("−{t} · log({a})", "{a} − {t}"),
    "kl_divergence": ("{t} · log({t} / {a})", "{a} − {t}"),
    "poisson": ("({a} − {t} · {z}) / {k}", "({a} − {t}) / {k}"),
}


def activation(name: str) -> tuple[str, str]:
    """The formulas of f(z) and f'(z); f's name where no short formula is known."""
    return ACTIVATIONS.get(name, (f"{name}({{z}})", f"{name}′({{z}})"))


def loss(name: str) -> tuple[str, str]:
    """The formulas of an output's part of the error and of its derivative."""
    return LOSSES.get(name, (f"{name}({{a}}, {{t}}) / {{k}}", f"{name}′({{a}}, {{t}}) / {{k}}"))
