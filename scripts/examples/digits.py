"""Train a network on scikit-learn's 1,797 handwritten digits of 8 x 8 pixels.

./scripts/demo runs this. With --seeds 5 it trains with five seeds, of weights and order, and prints
the worst accuracy.
"""

import argparse
import sys
import time
from pathlib import Path

try:
    import numpy as np
    from matplotlib.figure import Figure  # not pyplot: that would look for a screen
    from numpy.typing import NDArray
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import fastbp
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is not installed here; ./scripts/demo installs what this needs")

OUTPUT = Path(__file__).resolve().parents[2] / "demo-output"
EPOCHS = 30

Array = NDArray[np.float32]


def digits() -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Pixels scaled to [-1, 1] and labels: X, X_test, y, y_test.

    A fifth, with its share of every digit, is for testing. Each of the others is there five times:
    as it is, and shifted by one pixel up, down, left and right.
    """
    X, y = load_digits(return_X_y=True)
    X = (X / 8 - 1).astype(np.float32)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    images = X.reshape(-1, 8, 8)
    shifted = [np.roll(images, by, axis) for axis in (1, 2) for by in (-1, 1)]
    return np.concatenate([images, *shifted]).reshape(-1, 64), X_test, np.tile(y, 5), y_test


def train(seed: int, show: bool) -> tuple[fastbp.Network, fastbp.History, list[float]]:
    """The network, what its training left behind, and the test accuracy after each epoch."""
    X, X_test, y, y_test = digits()
    net = fastbp.Network(64, [fastbp.Dense(256, "relu"), fastbp.Dense(10, "softmax")], seed=seed)
    trainer = fastbp.Trainer(
        net, loss="cross_entropy", optimizer=fastbp.Adam(1e-3), batch_size=32, seed=seed
    )
    accuracy: list[float] = []

    def after_epoch(p: fastbp.Progress) -> None:
        if not p.done_epoch:
            return
        accuracy.append(float(np.mean(net.predict_classes(X_test) == y_test)))
        if show:
            print(
                f"epoch {p.epoch + 1:2}/{p.epochs}   training loss {p.loss:.4f}"
                f"   test loss {p.val_loss:.4f}   test accuracy {accuracy[-1]:.2%}"
                f"   {p.samples_per_second:>9,.0f} samples/s"
            )

    history = trainer.fit(
        X, y, epochs=EPOCHS, validation_data=(X_test, y_test), progress=after_epoch
    )
    return net, history, accuracy


def draw(history: fastbp.History, accuracy: list[float], path: Path) -> None:
    """Loss and accuracy over the epochs, as a picture."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, score = figure.subplots(1, 2)
    epochs = range(1, len(history.loss) + 1)
    loss.semilogy(epochs, history.loss, label="training (running mean)")
    loss.semilogy(epochs, history.val_loss, label="test")
    loss.set(xlabel="epoch", ylabel="cross-entropy")
    loss.legend()
    score.plot(epochs, [100 * a for a in accuracy])
    score.set(xlabel="epoch", ylabel="test accuracy, %")
    score.set_title(f"{accuracy[-1]:.2%} after epoch {epochs[-1]}", loc="right", fontsize=10)
    for axes in (loss, score):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def run_one(seed: int) -> None:
    """Train once, write the model and the learning curve, and say where they are."""
    print("Handwritten digits, network 64-256-10. The first run on a machine compiles the kernels.")
    started = time.perf_counter()
    net, history, accuracy = train(seed, show=True)
    seconds = time.perf_counter() - started
    OUTPUT.mkdir(exist_ok=True)
    model, picture = OUTPUT / "digits.safetensors", OUTPUT / "learning-curve.png"
    net.save(model)
    draw(history, accuracy, picture)
    print(f"\ntest accuracy   {accuracy[-1]:.2%} after {EPOCHS} epochs, {seconds:.1f} s in all")
    print(f"model           {model}\nlearning curve  {picture}\n")
    print(f"To use the model, in {sys.executable}:\n")
    print(f"    import fastbp\n    net = fastbp.Network.load({str(model)!r})")
    print("    net.predict_classes(X)   # X of shape (n, 64): pixels / 8 - 1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a network on handwritten digits.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=int, default=0, help="of the one run (0)")
    which.add_argument(
        "--seeds", type=int, metavar="N", help="run seeds 0 ... N-1, print the worst"
    )
    parser.add_argument(
        "--at-least", type=float, default=0.0, metavar="A", help="fail if the worst is below A"
    )
    args = parser.parse_args()
    if args.seeds is None:
        run_one(args.seed)
        return
    scores = []
    for seed in range(args.seeds):
        scores.append(train(seed, show=False)[2][-1])
        print(f"seed {seed}   test accuracy {scores[-1]:.2%}", flush=True)
    print(f"worst of {args.seeds} seeds   test accuracy {min(scores):.2%}")
    if min(scores) < args.at_least:
        sys.exit(f"error: {min(scores):.2%} is less than {args.at_least:.2%}")


if __name__ == "__main__":
    main()
