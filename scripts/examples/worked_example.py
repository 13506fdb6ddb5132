"""The textbook's 2-2-2 network: from the equations to the trace to `Trainer`.

The same update is made three times, by plain arithmetic, by `fastbp.trace` and by a `Trainer`, and
must come out the same. Exits with 1 if it doesn't.
"""

from __future__ import annotations

import sys
from math import exp

import numpy as np

import fastbp

i1, i2, t1, t2 = 0.05, 0.10, 0.01, 0.99
w1, w2, w3, w4, b1 = 0.15, 0.20, 0.25, 0.30, 0.35
w5, w6, w7, w8, b2 = 0.40, 0.45, 0.50, 0.55, 0.60
RATE, UPDATES = 0.5, 10_000


def sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


def by_hand() -> dict[str, float]:
    """Every equation once, a name a quantity."""
    h1 = sigmoid(w1 * i1 + w2 * i2 + b1)
    h2 = sigmoid(w3 * i1 + w4 * i2 + b1)
    o1 = sigmoid(w5 * h1 + w6 * h2 + b2)
    o2 = sigmoid(w7 * h1 + w8 * h2 + b2)
    E = ((t1 - o1) ** 2 + (t2 - o2) ** 2) / 2
    delta_o1 = (o1 - t1) * o1 * (1 - o1)  # ∂E/∂o1 · ∂o1/∂z
    delta_o2 = (o2 - t2) * o2 * (1 - o2)
    delta_h1 = (delta_o1 * w5 + delta_o2 * w7) * h1 * (1 - h1)
    return {
        "E": E,
        "δ of o1": delta_o1,
        "∂E/∂w5": delta_o1 * h1,
        "w5 after": w5 - RATE * delta_o1 * h1,
        "∂E/∂w1": delta_h1 * i1,
        "w1 after": w1 - RATE * delta_h1 * i1,
    }


def main() -> int:
    layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    network = fastbp.Network(2, layers, dtype="float64")
    network.set_weights([[[w1, w3], [w2, w4]], [b1], [[w5, w7], [w6, w8]], [b2]])
    x, t = [i1, i2], [t1, t2]

    step = fastbp.trace(network, x, t, "half_squared_error", fastbp.SGD(RATE))
    print(step)

    first, fifth = step.weight("w1"), step.weight("w5")
    traced = [
        step.error,
        fifth.delta,
        fifth.gradient,
        fifth.new_weight,
        first.gradient,
        first.new_weight,
    ]
    trainer = fastbp.Trainer(network, "half_squared_error", fastbp.SGD(RATE), batch_size=1)
    error, (dW0, _, dW1, _) = trainer.gradients([x], [t])
    trainer.step([x], [t])
    W0, _, W1, _ = network.get_weights()
    trained = [error, None, dW1[0, 0], W1[0, 0], dW0[0, 0], W0[0, 0]]

    print(f"\n{'':12}{'by hand':>20}{'fastbp.trace':>20}{'Trainer':>20}")
    same = True
    for (name, hand), a, b in zip(by_hand().items(), traced, trained, strict=True):
        print(f"{name:12}{hand:20.15f}{a:20.15f}" + ("" if b is None else f"{b:20.15f}"))
        same &= bool(np.isclose(a, hand, rtol=1e-13, atol=0)) and b in (None, a)

    layers = [fastbp.Dense(2, "sigmoid", bias="shared", trainable="weights") for _ in range(2)]
    network = fastbp.Network(2, layers, dtype="float64")
    network.set_weights([[[w1, w3], [w2, w4]], [b1], [[w5, w7], [w6, w8]], [b2]])
    trainer = fastbp.Trainer(network, "half_squared_error", fastbp.SGD(RATE), batch_size=1)
    trainer.fit([x], [t], epochs=UPDATES)
    error, outputs = trainer.evaluate([x], [t])["loss"], network.predict([x])[0]
    print(
        f"\nafter {UPDATES:,} updates of the weights alone: E = {error:.15g}, "
        f"o1 = {outputs[0]:.14f}, o2 = {outputs[1]:.14f}"
    )
    print("the same in all of them" if same else "they differ", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
