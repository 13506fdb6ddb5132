"""What trajectories.py trains: networks, optimizers and schedules, beside PyTorch's own."""

import torch

# name: inputs, (units, activation, bias) of each layer, loss, and whether samples are weighted
# (a bias that a softmax layer shares has gradient 0: under Adam it would walk on rounding errors)
NETWORKS = {
    "5-7-6-3": {
        "n_inputs": 5,
        "layers": [(7, "tanh", True), (6, "sigmoid", True), (3, "softmax", True)],
        "loss": "cross_entropy",
    },
    "4-9-1": {
        "n_inputs": 4,
        "layers": [(9, "relu", True), (1, "linear", True)],
        "loss": "mse",
        "weighted": True,
    },
    "6-8-5-4": {
        "n_inputs": 6,
        "layers": [(8, "relu", "shared"), (5, "tanh", False), (4, "sigmoid", True)],
        "loss": "binary_cross_entropy",
    },
    "17-33-5": {
        "n_inputs": 17,
        "layers": [(33, "sigmoid", True), (5, "linear", True)],
        "loss": "half_squared_error",
    },
    "3-17-2": {
        "n_inputs": 3,
        "layers": [(17, "tanh", "shared"), (2, "softmax", True)],
        "loss": "mse",
        "weighted": True,
    },
}

# one small network for each further activation, and for each further loss
for activation in (
    "leaky_relu", "elu", "selu", "relu6", "hard_sigmoid", "hard_tanh", "gelu", "gelu_tanh", "silu",
    "mish", "softplus", "softsign", "exp", "sine",
):  # fmt: skip
    NETWORKS[activation] = {
        "n_inputs": 4,
        "layers": [(9, activation, True), (3, activation, True), (2, "linear", True)],
        "loss": "mse",
        "optimizers": ["sgd", "momentum"],
    }
for loss, output in (
    ("mae", "linear"), ("huber", "linear"), ("log_cosh", "linear"), ("quantile", "linear"),
    ("hinge", "linear"), ("poisson", "exp"), ("kl_divergence", "softmax"),
):  # fmt: skip
    NETWORKS[loss] = {
        "n_inputs": 4,
        "layers": [(9, "tanh", True), (3, output, True)],
        "loss": loss,
        "weighted": True,
        "optimizers": ["sgd", "momentum"],
    }

# settings of all layers, and of the trainer
for name, dense, trainer in (
    ("l1", {"l1": 0.02}, {}),
    ("l2", {"l2": 0.05}, {}),
    ("max_norm", {"max_norm": 0.7}, {}),
    ("clip_norm", {}, {"clip_norm": 0.4}),
    ("clip_value", {}, {"clip_value": 0.03}),
    ("l2-max_norm-clip_norm", {"l2": 0.05, "max_norm": 0.7}, {"clip_norm": 0.4}),
):
    NETWORKS[name] = {
        "n_inputs": 17,
        "layers": [(33, "tanh", True), (3, "sigmoid", True), (2, "linear", True)],
        "loss": "mse",
        "weighted": True,
        "dense": dense,
        "trainer": trainer,
        "optimizers": ["sgd", "momentum", "adam"],
    }
NETWORKS["label_smoothing"] = {
    "n_inputs": 5,
    "layers": [(7, "tanh", True), (3, "softmax", True)],
    "loss": "cross_entropy",
    "label_smoothing": 0.15,
    "optimizers": ["sgd", "momentum"],
}

# name: the schedule in fastbp and its arguments (its per is "step"), and PyTorch's
sched = torch.optim.lr_scheduler
SCHEDULES = {
    "step": ("StepDecay", {"every": 7, "gamma": 0.6}, lambda o: sched.StepLR(o, 7, 0.6)),
    "multi-step": (
        "MultiStepDecay",
        {"milestones": [5, 40, 41], "gamma": 0.3},
        lambda o: sched.MultiStepLR(o, [5, 40, 41], 0.3),
    ),
    "exponential": ("ExponentialDecay", {"gamma": 0.97}, lambda o: sched.ExponentialLR(o, 0.97)),
    "polynomial": (
        "PolynomialDecay",
        {"length": 90, "power": 1.7},
        lambda o: sched.PolynomialLR(o, 90, 1.7),
    ),
    "cosine": (
        "CosineDecay",
        {"length": 120, "minimum": 0.01},
        lambda o: sched.CosineAnnealingLR(o, 120, 0.01),
    ),
    "restarts": (
        "CosineDecay",
        {"length": 9, "minimum": 0.01, "restarts": True},
        lambda o: sched.CosineAnnealingWarmRestarts(o, 9, 1, 0.01),
    ),
    "longer-restarts": (
        "CosineDecay",
        {"length": 9, "restarts": True, "lengthen": 2},
        lambda o: sched.CosineAnnealingWarmRestarts(o, 9, 2),
    ),
    "one-cycle": (
        "OneCycle",
        {"length": 120, "rise": 0.25},
        lambda o: sched.OneCycleLR(o, 0.1, 120, pct_start=0.25, cycle_momentum=False),
    ),
    "warm-up": (
        "LinearWarmUp",
        {"length": 13, "start": 0.1},
        lambda o: sched.LinearLR(o, 0.1, 1.0, 13),
    ),
    "warm-up-cosine": (
        "LinearWarmUp",
        {"after": ("CosineDecay", {"length": 110}), "length": 10, "start": 0.2},
        lambda o: sched.SequentialLR(
            o, [sched.LinearLR(o, 0.2, 1.0, 10), sched.CosineAnnealingLR(o, 110)], [10]
        ),
    ),
}
RATES = 120
for name in SCHEDULES:
    NETWORKS[f"schedule-{name}"] = {
        "n_inputs": 5,
        "layers": [(7, "tanh", True), (2, "linear", True)],
        "loss": "mse",
        "schedule": name,
        "optimizers": ["schedule"],
    }

# name: the class in fastbp and its arguments
OPTIMIZERS = {
    "sgd": ("SGD", {"learning_rate": 0.05}),
    "momentum": ("SGD", {"learning_rate": 0.02, "momentum": 0.9}),
    "nesterov": ("SGD", {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True}),
    "decay": ("SGD", {"learning_rate": 0.05, "weight_decay": 0.03}),
    "momentum-decay": ("SGD", {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.03}),
    "adam": ("Adam", {"learning_rate": 0.01}),
    "adam-decay": (
        "Adam",
        {
            "learning_rate": 0.01,
            "beta_1": 0.8,
            "beta_2": 0.99,
            "epsilon": 1e-6,
            "weight_decay": 0.03,
        },
    ),
    "adam-amsgrad": ("Adam", {"learning_rate": 0.02, "beta_2": 0.9, "amsgrad": True}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.002}),
    "rmsprop-all": (
        "RMSprop",
        {
            "learning_rate": 0.002,
            "rho": 0.9,
            "epsilon": 1e-4,
            "centered": True,
            "momentum": 0.8,
            "weight_decay": 0.03,
        },
    ),
    "rmsprop-centered": ("RMSprop", {"learning_rate": 0.002, "epsilon": 1e-4, "centered": True}),
    "rmsprop-momentum": ("RMSprop", {"learning_rate": 0.001, "momentum": 0.9}),
    "adagrad": ("Adagrad", {"learning_rate": 0.05}),
    "adagrad-decay": ("Adagrad", {"learning_rate": 0.05, "epsilon": 1e-4, "weight_decay": 0.03}),
    "adadelta": ("Adadelta", {}),
    "adadelta-decay": (
        "Adadelta",
        {"learning_rate": 0.5, "rho": 0.8, "epsilon": 1e-4, "weight_decay": 0.03},
    ),
    "adamw": ("AdamW", {"learning_rate": 0.01, "weight_decay": 0.1}),
    "adamw-amsgrad": ("AdamW", {"learning_rate": 0.01, "beta_2": 0.9, "amsgrad": True}),
    "adamax": ("Adamax", {"learning_rate": 0.01}),
    "adamax-decay": (
        "Adamax",
        {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.03},
    ),
    "nadam": ("NAdam", {"learning_rate": 0.01}),
    "nadam-decay": (
        "NAdam",
        {"learning_rate": 0.01, "beta_1": 0.8, "momentum_decay": 0.1, "weight_decay": 0.03},
    ),
    "radam": ("RAdam", {"learning_rate": 0.02}),
    "radam-decay": ("RAdam", {"learning_rate": 0.02, "beta_2": 0.95, "weight_decay": 0.03}),
    "rprop": ("Rprop", {"learning_rate": 0.002}),
    "rprop-bounds": (
        "Rprop",
        {"learning_rate": 0.01, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.03)},
    ),
    "schedule": ("SGD", {"learning_rate": 0.1, "momentum": 0.5}),
    "lion": ("Lion", {"learning_rate": 0.001}),
    "lion-decay": (
        "Lion",
        {"learning_rate": 0.002, "beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.1},
    ),
}

# Their steps' signs turn on the last digit of a gradient: in float32 they are followed less far.
SIGNS = ("rprop", "rprop-bounds", "lion", "lion-decay")
