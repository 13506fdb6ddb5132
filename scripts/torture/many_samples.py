#!/usr/bin/env python3
"""An epoch over more samples than 32 bits count, in a sparse file: every one counts, once.

Takes half a minute and 2 GB of memory that the system may take back. Exits with 1 where a weight or
the loss is not what it has to be.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastbp

MANY = 2**31 + 5
#: all other samples are 0
MARKS = {0: 3, 2**31 - 1: 5, 2**31: -7, MANY - 1: 11}


def main() -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples"
        X = np.memmap(path, np.int8, "w+", shape=(MANY, 1))
        for place, value in MARKS.items():
            X[place] = value
        y = np.broadcast_to(np.float32(0), (MANY,))
        net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        net.set_weights([[[1.0]]])
        trainer = fastbp.Trainer(
            net, "half_squared_error", fastbp.SGD(0.5), batch_size=2**31, shuffle=False, n_threads=1
        )
        history = trainer.fit(X, y)
    # a batch's loss is Σ x²w²/2 over its rows, their number below it; the second has five
    before, batch = 1.0, [(9 + 25) / 2**31, (49 + 121) / 5]
    after = before - 0.5 * batch[0] * before
    loss = (batch[0] * 2**31 + batch[1] * 5 * after**2) / 2 / MANY
    expected = after - 0.5 * batch[1] * after
    found = net.get_weights()[0].item()
    print(
        f"{MANY:,} samples in {time.monotonic() - started:.0f} s: weight {found!r} of {expected!r}"
        f", loss {history.loss[0]!r} of {loss!r}"
    )
    sys.exit(not np.allclose([found, history.loss[0]], [expected, loss], rtol=1e-12, atol=0))


if __name__ == "__main__":
    main()
