"""Names as type checkers see them; scripts/lint has mypy read this, and nothing runs it.

Where a line has ``type: ignore``, mypy must refuse it: an ignore without need is an error, too.
"""

from __future__ import annotations

import numpy as np

import fastbp
from fastbp.typing import ActivationLike, LossName, MetricName

layer = fastbp.Dense(4, "relu")
fastbp.Dense(4, "swish", bias="shared", kernel_initializer="xavier_uniform", trainable="weights")
fastbp.Dense(4, fastbp.LeakyReLU(0.1), kernel_initializer=np.ones((2, 4)))
fastbp.Dense(4, layer.activation, kernel_initializer=layer.kernel_initializer)
fastbp.Dense(4, kernel_initializer=lambda shape, rng: rng.normal(size=shape))
fastbp.Dense(4, "reluu")  # type: ignore[arg-type]
fastbp.Dense(4, kernel_initializer="xavier")  # type: ignore[arg-type]
fastbp.Dense(4, bias="none")  # type: ignore[arg-type]

net = fastbp.Network(2, [layer], dtype="float64")
fastbp.Network(2, [layer], dtype=np.float32)
fastbp.Network(2, [layer], dtype=np.dtype("float64"))
fastbp.Network(2, [layer], dtype=net.dtype)
fastbp.Network(2, [layer], dtype="float16")  # type: ignore[arg-type]

trainer = fastbp.Trainer(net, "mse", "adam", metrics=["mae", "acc", fastbp.TopK(3)])
fastbp.Trainer(net, "mean_squared_error", "l-bfgs", on_divergence=trainer.on_divergence)
fastbp.Trainer(net, trainer.loss, trainer.optimizer, metrics=trainer.metrics)
fastbp.Trainer(net, "log_loss", n_threads="auto")
fastbp.Trainer(net, "mes")  # type: ignore[arg-type]
fastbp.Trainer(net, "mse", "adm")  # type: ignore[arg-type]
fastbp.Trainer(net, "mse", metrics=["accuracyy"])  # type: ignore[list-item]
fastbp.Trainer(net, "mse", metrics="accuracy")  # type: ignore[arg-type]
fastbp.Trainer(net, "mse", n_threads="all")  # type: ignore[arg-type]
fastbp.Trainer(net, "mse", on_divergence="halt")  # type: ignore[arg-type]
trainer.on_divergence = "stop"
trainer.on_divergence = "halt"  # type: ignore[assignment]

trainer.fit([[0.0, 1.0]], [0.0], class_weight="balanced", progress="lines")
trainer.fit([[0.0, 1.0]], [0.0], class_weight="balance")  # type: ignore[arg-type]
trainer.fit([[0.0, 1.0]], [0.0], progress="line")  # type: ignore[arg-type]
fastbp.trace(net, [0.0, 1.0], [0.0], "cross_entropy", "sgd")
fastbp.trace(net, [0.0, 1.0], [0.0], "crossentrop")  # type: ignore[arg-type]
fastbp.warmup("float32")
fastbp.warmup(["float32", "float64"])


def wrapped(activation: ActivationLike, loss: LossName, metrics: list[MetricName]) -> None:
    """Functions of one's own hand names on."""
    hidden = fastbp.Dense(3, activation)
    fastbp.Trainer(fastbp.Network(2, [hidden]), loss, metrics=metrics)


wrapped("tanh", "mae", ["r2"])
wrapped("tahn", "mae", ["r2"])  # type: ignore[arg-type]
things = fastbp.plot.decision_boundary, fastbp.interop.to_keras_weights(net), fastbp.jit.OK
wrong = fastbp.plots, fastbp.Adm  # type: ignore[attr-defined]
