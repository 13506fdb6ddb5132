"""PyTorch eager: `index_select` of shuffled batches, autograd, a fused optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from compare.cases import Array, Case

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda z: z,
    "softmax": lambda z: z,  # the loss takes the logits
}


def footnote(case: Case) -> str | None:
    """Where the work is not the case's: nowhere."""
    return None


class Peer:
    """A network in training."""

    def __init__(
        self, case: Case, threads: int, shuffle: bool, weights: list[Array], X: Array, y: Any
    ) -> None:
        torch.set_num_threads(threads)
        self.case, self.shuffle = case, shuffle
        self.X, self.y = torch.tensor(X), torch.tensor(y)
        # F.linear takes W as (n_out, n_in)
        self.params = [torch.tensor(w.T.copy(), requires_grad=True) for w in weights]
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer]
        self.optimizer = make(self.params, lr=case.learning_rate, fused=True)
        hidden, output = ACTIVATIONS[case.hidden], ACTIVATIONS[case.output]
        self.activations = [hidden] * (len(case.widths) - 2) + [output]
        self.loss = F.cross_entropy if case.loss == "ce" else F.mse_loss

    def fit(self, epochs: int) -> float:
        """Train; the last epoch's mean loss."""
        n, batch = self.case.n, self.case.batch
        pairs = list(zip(self.params[::2], self.params[1::2], self.activations, strict=True))
        for _ in range(epochs):
            total = torch.zeros((), dtype=self.X.dtype)
            order = torch.randperm(n) if self.shuffle else torch.arange(n)
            for rows in order.split(batch):
                a, t = self.X.index_select(0, rows), self.y.index_select(0, rows)
                for weight, bias, activation in pairs:
                    a = activation(F.linear(a, weight, bias))
                loss = self.loss(a, t)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(rows)
        return float(total) / n

    def predict(self) -> Array:
        """The outputs of all samples."""
        pairs = list(zip(self.params[::2], self.params[1::2], self.activations, strict=True))
        with torch.no_grad():
            a = self.X
            for weight, bias, activation in pairs:
                a = activation(F.linear(a, weight, bias))
            if self.case.output == "softmax":
                a = F.softmax(a, dim=1)
        return a.numpy()

    def weights(self) -> list[Array]:
        """``[W0, b0, W1, b1, …]``."""
        return [p.detach().numpy().T for p in self.params]
