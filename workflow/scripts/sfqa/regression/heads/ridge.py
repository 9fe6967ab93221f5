"""Ridge regression in closed form; lambda is chosen on the validation rows alone.

Minimises mean((y - x w - b)^2) + lambda |w|^2 over train rows, x standardised on train rows, one
lambda per dimension from the grid. The chosen model is kept as it is: it is not fitted again on
train and validation rows together, so that validation predictions stay out of sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sfqa.errors import UserError
from sfqa.regression.heads._common import Scaler, srcc

VERSION = 1
SELECTS = True
OPTIONS: dict[str, Any] = {
    "lambdas": [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0],
    "select": "mse",
}

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


def fit_predict(
    x_train: Matrix,
    y_train: Floats,
    x_val: Matrix,
    y_val: Floats,
    x_all: Matrix,
    options: Mapping[str, Any],
    seed: int,
    work: Path,
    device: str,
) -> Floats:
    """Return predictions (rows of x_all, dims) of the ridge model; see the head contract.

    ``select`` is 'mse' (smooth, steady on few rows) or 'srcc'; ties go to the larger lambda.
    Raises :class:`UserError` for a lambda that is not above 0.
    """
    lambdas = sorted(float(v) for v in options["lambdas"])
    if not lambdas or lambdas[0] <= 0:
        raise UserError(f"head ridge, option lambdas: {lambdas}; give numbers above 0")
    if options["select"] not in ("mse", "srcc"):
        raise UserError(f"head ridge, option select: {options['select']!r}; write mse or srcc")
    scaler, mean = Scaler.of(x_train), y_train.mean(axis=0)
    paths = _predictions(
        scaler.scale(x_train), y_train - mean, [scaler.scale(x_val), scaler.scale(x_all)],
        lambdas, device,
    )  # fmt: skip
    on_val, on_all = (p + mean for p in paths)
    chosen = np.empty((len(x_all), y_train.shape[1]))
    for d in range(y_train.shape[1]):
        scores = [
            -float(np.mean((p[:, d] - y_val[:, d]) ** 2))
            if options["select"] == "mse"
            else srcc(p[:, d], y_val[:, d])
            for p in on_val
        ]
        best = max(range(len(lambdas)), key=lambda n: (scores[n], lambdas[n]))
        chosen[:, d] = on_all[best, :, d]
    return chosen


def _predictions(
    x: Floats, y: Floats, others: list[Floats], lambdas: list[float], device: str
) -> list[Floats]:
    """Predictions (lambdas, rows, dims) for each of others; one eigenproblem for all lambdas."""
    train, target = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    n, d = train.shape
    wide = d > n
    gram = (train @ train.T if wide else train.T @ train) / n
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0)
    right = vectors.T @ (target if wide else train.T @ target) / n
    penalty = torch.tensor(lambdas, dtype=torch.float64, device=device)
    shrunk = right / (values + penalty[:, None])[:, :, None]
    weights = vectors @ shrunk
    if wide:
        weights = train.T @ weights
    return [(torch.from_numpy(o).to(device) @ weights).cpu().numpy() for o in others]
