#!/usr/bin/env python3
"""Train small networks with PyTorch; write the figures that training/test_trajectories.py reads.

    python scripts/golden/trajectories.py [FILE]

writes tests/golden/trajectories.npz, or FILE; it needs torch. With --weighted it makes only those
cases of the file anew whose samples have weights; with --solvers it writes tests/golden/solvers.npz
and needs scipy too.

Every case trains one network with one optimizer in one dtype for 100 updates over fixed consecutive
mini-batches. Weights and data are drawn by NumPy from fixed seeds and rounded to float32, so that
both dtypes start from the same numbers. Entries of the file:

    meta                          JSON: torch version, batch size, updates, networks, optimizers
    <network>/X, y, w, p0, p1, …  data, targets, sample weights (if any), initial parameters
    <network>/<optimizer>/<dtype>/loss, 10/p0, …, 100/p0, …
                                  loss of every batch before its update; parameters after 10, 100

The loss of a batch of B samples is the sum of w e / (B times the mean of all w).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from plans import NETWORKS, OPTIMIZERS, RATES, SCHEDULES, SIGNS

BATCH_SIZE, SAMPLES, UPDATES, KEPT = 8, 75, 100, (10, 100)  # 10 batches an epoch, the last of 3


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, which PyTorch doesn't have."""

    def __init__(self, p, lr, betas, weight_decay=0.0):
        super().__init__(p, {})
        self.settings = lr, *betas, weight_decay

    @torch.no_grad()
    def step(self):
        rate, beta_1, beta_2, decay = self.settings
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            update = torch.sign(beta_1 * m + (1 - beta_1) * p.grad)
            p -= rate * (update + decay * p)
            m.mul_(beta_2).add_(p.grad, alpha=1 - beta_2)


# our names of arguments that PyTorch calls otherwise; betas are gathered below
RENAMED = {"learning_rate": "lr", "epsilon": "eps"}


def torch_optimizer(kind: str, arguments: dict, parameters: list):
    """PyTorch's optimizer with our arguments."""
    arguments = {RENAMED.get(name, name): value for name, value in arguments.items()}
    if kind in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion"):
        last = 0.99 if kind == "Lion" else 0.999
        arguments["betas"] = arguments.pop("beta_1", 0.9), arguments.pop("beta_2", last)
    if kind == "RMSprop" and "rho" in arguments:
        arguments["alpha"] = arguments.pop("rho")
    return (Lion if kind == "Lion" else getattr(torch.optim, kind))(parameters, **arguments)


ACTIVATIONS = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softmax": lambda z: torch.softmax(z, dim=1),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "relu6": F.relu6,
    "hard_sigmoid": lambda z: F.relu6(z + 3) / 6,  # F.hardsigmoid has 1/6 in float32 only
    "hard_tanh": F.hardtanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda z: F.softplus(z, threshold=1000),
    "softsign": F.softsign,
    "exp": torch.exp,
    "sine": torch.sin,
}

# the loss of every sample from predictions, logits and targets
LOSSES = {
    "mse": lambda p, z, t: F.mse_loss(p, t, reduction="none").mean(dim=1),
    "half_squared_error": lambda p, z, t: F.mse_loss(p, t, reduction="none").sum(dim=1) / 2,
    "binary_cross_entropy": lambda p, z, t: F.binary_cross_entropy_with_logits(
        z, t, reduction="none"
    ).mean(dim=1),
    "cross_entropy": lambda p, z, t: F.cross_entropy(z, t, reduction="none"),
    "kl_divergence": lambda p, z, t: F.kl_div(torch.log_softmax(z, dim=1), t, reduction="none").sum(
        dim=1
    ),
    "mae": lambda p, z, t: F.l1_loss(p, t, reduction="none").mean(dim=1),
    "huber": lambda p, z, t: F.huber_loss(p, t, reduction="none").mean(dim=1),
    # Keras' formula
    "log_cosh": lambda p, z, t: (p - t + F.softplus(-2 * (p - t)) - np.log(2)).mean(dim=1),
    "quantile": lambda p, z, t: torch.maximum(0.5 * (t - p), -0.5 * (t - p)).mean(dim=1),
    "hinge": lambda p, z, t: torch.clamp(1 - t * p, min=0).mean(dim=1),
    "poisson": lambda p, z, t: F.poisson_nll_loss(z, t, reduction="none").mean(dim=1),
}


def draw(network: dict, seed: int) -> dict[str, np.ndarray]:
    """Data and initial parameters, as float64 numbers that float32 holds exactly."""
    rng = np.random.default_rng(seed)
    sizes = [network["n_inputs"], *(units for units, _, _ in network["layers"])]
    drawn = {"X": rng.normal(size=(SAMPLES, sizes[0]))}
    if network["loss"] == "cross_entropy":
        drawn["y"] = rng.integers(sizes[-1], size=SAMPLES)
    elif network["loss"] == "binary_cross_entropy":
        drawn["y"] = rng.integers(2, size=(SAMPLES, sizes[-1])).astype(float)
    elif network["loss"] == "kl_divergence":
        drawn["y"] = rng.dirichlet(np.ones(sizes[-1]), size=SAMPLES)
    elif network["loss"] == "hinge":
        drawn["y"] = rng.choice([-1.0, 1.0], size=(SAMPLES, sizes[-1]))
    elif network["loss"] == "poisson":
        drawn["y"] = rng.poisson(2.0, size=(SAMPLES, sizes[-1])).astype(float)
    else:
        drawn["y"] = rng.normal(size=(SAMPLES, sizes[-1]))
    if network.get("weighted"):
        drawn["w"] = rng.uniform(0.2, 3, size=SAMPLES)
    parameters = []
    for (units, _, bias), n_in in zip(network["layers"], sizes, strict=False):
        parameters.append(rng.normal(size=(n_in, units)) / np.sqrt(n_in))
        if bias:
            parameters.append(rng.normal(size=1 if bias == "shared" else units) / 2)
    drawn |= {f"p{i}": p for i, p in enumerate(parameters)}
    return {
        key: v.astype(np.float32).astype(np.float64) if v.dtype.kind == "f" else v
        for key, v in drawn.items()
    }


def penalty(settings: dict, parameters: list) -> torch.Tensor:
    """l1 sum |W| + (l2/2) sum W², biases excluded."""
    weights = [p for p in parameters if p.ndim == 2]
    squares, sizes = sum((W * W).sum() for W in weights), sum(W.abs().sum() for W in weights)
    return settings.get("l1", 0.0) * sizes + settings.get("l2", 0.0) / 2 * squares


@torch.no_grad()
def bound(most: float, parameters: list) -> None:
    """Each unit's incoming weights to a norm of at most that."""
    for W in parameters:
        if W.ndim == 2:
            W *= torch.clamp(most / W.norm(dim=0), max=1.0)


def rates(name: str) -> np.ndarray:
    """A schedule's first rates, in float64."""
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler, found = SCHEDULES[name][2](optimizer), []
    for _ in range(RATES):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(found) < RATES:
            scheduler.step()
    return np.array(found)


def plateau() -> dict[str, np.ndarray]:
    """The rates of ReduceLROnPlateau after each of some noisy figures."""
    figures = np.random.default_rng(0).normal(size=200) * 0.2 + np.linspace(3, 1, 200) ** 2
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.7, patience=3, threshold=0.01, cooldown=2, min_lr=0.005
    )
    found = []
    for figure in figures:
        scheduler.step(figure)
        found.append(optimizer.param_groups[0]["lr"])
    return {"plateau/figures": figures, "plateau/rates": np.array(found)}


def train(network: dict, optimizer: tuple, drawn: dict, dtype: torch.dtype) -> dict:
    """One case: the parameters after each number of updates in KEPT, and all losses."""
    tensors = {
        key: torch.tensor(v, dtype=dtype if v.dtype.kind == "f" else None)
        for key, v in drawn.items()
    }
    X, y, w = tensors["X"], tensors["y"], tensors.get("w", torch.ones(SAMPLES, dtype=dtype))
    parameters = [t.requires_grad_() for key, t in tensors.items() if key.startswith("p")]
    torch.set_default_dtype(dtype)  # that of NAdam's product of decays, whatever the weights' is
    stepper = torch_optimizer(*optimizer, parameters)
    scheduler = None
    if schedule := network.get("schedule"):
        scheduler = SCHEDULES[schedule][2](stepper)
    found, losses = {}, []
    for update in range(1, UPDATES + 1):
        start = (update - 1) * BATCH_SIZE % (-(-SAMPLES // BATCH_SIZE) * BATCH_SIZE)
        at = slice(start, start + BATCH_SIZE)
        rest, a = iter(parameters), X[at]
        for _, activation, bias in network["layers"]:
            z = a @ next(rest)
            if bias:
                z = z + next(rest)
            a = ACTIVATIONS[activation](z)
        if smoothing := network.get("label_smoothing"):
            errors = F.cross_entropy(z, y[at], reduction="none", label_smoothing=smoothing)
        else:
            errors = LOSSES[network["loss"]](a, z, y[at])
        loss = (w[at] * errors).sum() / (len(errors) * w.mean())
        stepper.zero_grad()
        (loss + penalty(network.get("dense", {}), parameters)).backward()
        if most := network.get("trainer", {}).get("clip_value"):
            torch.nn.utils.clip_grad_value_(parameters, most)
        if most := network.get("trainer", {}).get("clip_norm"):
            torch.nn.utils.clip_grad_norm_(parameters, most)
        stepper.step()
        if most := network.get("dense", {}).get("max_norm"):
            bound(most, parameters)
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
        if update in KEPT:
            found |= {f"{update}/p{i}": p.detach().numpy().copy() for i, p in enumerate(parameters)}
    return {"loss": np.array(losses), **found}


# networks and iterations after which PyTorch's L-BFGS is looked at
SOLVER_NETWORKS, ITERATIONS = ("5-7-6-3", "4-9-1", "6-8-5-4", "17-33-5", "3-17-2"), (1, 5, 20)


def forward_loss(network: dict, tensors: dict, parameters: list):
    """The loss over all samples."""
    rest, a = iter(parameters), tensors["X"]
    for _, activation, bias in network["layers"]:
        z = a @ next(rest)
        if bias:
            z = z + next(rest)
        a = ACTIVATIONS[activation](z)
    e, w = LOSSES[network["loss"]](a, z, tensors["y"]), tensors.get("w")
    return e.mean() if w is None else (w * e).sum() / w.sum()


def solve(network: dict, drawn: dict, iterations: int) -> dict:
    """Parameters and loss after so many iterations of PyTorch's L-BFGS, and its evaluations."""
    tensors = {key: torch.tensor(v) for key, v in drawn.items()}
    parameters = [t.requires_grad_() for key, t in tensors.items() if key.startswith("p")]
    stepper = torch.optim.LBFGS(
        parameters,
        max_iter=iterations,
        max_eval=10_000,
        history_size=5,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        stepper.zero_grad()
        loss = forward_loss(network, tensors, parameters)
        loss.backward()
        return loss

    stepper.step(closure)
    found = {f"p{i}": p.detach().numpy().copy() for i, p in enumerate(parameters)}
    loss = forward_loss(network, tensors, parameters).item()
    return found | {"loss": np.array(loss), "evaluations": np.array(evaluations)}


def least_squares_minimum() -> dict:
    """Where SciPy's Levenberg-Marquardt ends on a 2-3-1 network, 40 weighted samples with noise."""
    from scipy.optimize import least_squares

    rng = np.random.default_rng(11)
    X, w, truth = rng.normal(size=(40, 2)), rng.uniform(0.2, 3, size=40), rng.normal(size=13)

    def arrays(p):
        return [p[:6].reshape(2, 3), p[6:9], p[9:12].reshape(3, 1), p[12:]]

    def outputs(p):
        W, b, V, c = arrays(p)
        return (np.tanh(X @ W + b) @ V + c)[:, 0]

    y, start = outputs(truth) + rng.normal(size=40) / 20, truth + rng.normal(size=13) / 10

    def residuals(p):
        return np.sqrt(w) * (outputs(p) - y)

    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 10_000}
    found = least_squares(residuals, start, method="lm", **tight)
    data = {"X": X, "y": y, "w": w, "loss": np.array(2 * found.cost / w.sum())}
    starts = {f"p{i}": p for i, p in enumerate(arrays(start))}
    return data | starts | {f"end/p{i}": p for i, p in enumerate(arrays(found.x))}


def make_solvers(path: Path) -> None:
    """L-BFGS in float64 over the whole set, with a history of 5; Levenberg-Marquardt's minimum."""
    meta = {"torch": torch.__version__, "history": 5, "iterations": ITERATIONS}
    meta["networks"] = {name: NETWORKS[name] for name in SOLVER_NETWORKS}
    entries = {"meta": np.array(json.dumps(meta))}
    for seed, name in enumerate(SOLVER_NETWORKS):
        drawn = draw(NETWORKS[name], seed)
        entries |= {f"{name}/{key}": v for key, v in drawn.items()}
        for iterations in ITERATIONS:
            found = solve(NETWORKS[name], drawn, iterations)
            entries |= {f"{name}/{iterations}/{key}": v for key, v in found.items()}
    entries |= {f"lm/{key}": v for key, v in least_squares_minimum().items()}
    np.savez_compressed(path, **entries)
    print(f"wrote {path}: {path.stat().st_size / 1e3:.0f} kB, torch {meta['torch']}")


def main() -> None:
    if "--solvers" in sys.argv[1:]:
        make_solvers(Path(__file__).resolve().parents[2] / "tests" / "golden" / "solvers.npz")
        return
    path = Path(__file__).resolve().parents[2] / "tests" / "golden" / "trajectories.npz"
    weighted, entries = "--weighted" in sys.argv[1:], {}
    if weighted:
        with np.load(path) as kept:
            entries = {key: kept[key] for key in kept.files}
    elif len(sys.argv) > 1:
        path = Path(sys.argv[1])
    torch.set_num_threads(1)
    meta = {
        "torch": torch.__version__,
        "batch_size": BATCH_SIZE,
        "updates": UPDATES,
        "networks": NETWORKS,
        "optimizers": OPTIMIZERS,
        "signs": SIGNS,
        "schedules": {name: entry[:2] for name, entry in SCHEDULES.items()},
    }
    if not weighted:
        entries = {"meta": np.array(json.dumps(meta)), **plateau()}
        entries |= {f"rates/{name}": rates(name) for name in SCHEDULES}
    for seed, (name, network) in enumerate(NETWORKS.items()):
        if weighted and not network.get("weighted"):
            continue
        drawn = draw(network, seed)
        entries |= {f"{name}/{key}": v for key, v in drawn.items()}
        for label in network.get("optimizers", [name for name in OPTIMIZERS if name != "schedule"]):
            optimizer = OPTIMIZERS[label]
            for dtype in (torch.float32, torch.float64):
                case = f"{name}/{label}/{str(dtype).removeprefix('torch.')}"
                found = train(network, optimizer, drawn, dtype)
                entries |= {f"{case}/{key}": v for key, v in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **entries)
    cases = sum(key.endswith("/loss") for key in entries)
    print(f"wrote {path}: {cases} cases, {path.stat().st_size / 1e3:.0f} kB, torch {meta['torch']}")


if __name__ == "__main__":
    main()
