"""What an installed fastbp must do on its own: train, save, load. Run outside the checkout."""

import sys
from importlib.metadata import distributions

import numpy as np

import fastbp

installed = {d.metadata["Name"].lower() for d in distributions()} - {"pip", "setuptools"}
assert installed == {"fastbp", "numpy", "numba", "llvmlite", "safetensors"}, installed
X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
net = fastbp.Network(2, [fastbp.Dense(16, "tanh"), fastbp.Dense(1, "sigmoid")], seed=0)
trainer = fastbp.Trainer(net, "binary_cross_entropy", fastbp.Adam(0.02), seed=0)
history = trainer.fit(X, (X[:, 0] * X[:, 1] > 0), epochs=60)
assert history.loss[-1] < 0.2 < history.loss[0], history.loss
net.save("xor.safetensors")
assert np.array_equal(fastbp.Network.load("xor.safetensors").predict(X), net.predict(X))
print("trained, saved and loaded on Python", sys.version.split()[0], "from", fastbp.__file__)
