"""Random forest, the baseline of the THQA authors (github.com/zyj-2000/THQA): scikit-learn's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
SELECTS = False
#: One problem a call: each is kept as soon as it is done.
TOGETHER = 1
#: fit_on_validation: nothing is selected here, so the validation rows may be learnt from too.
OPTIONS: dict[str, Any] = {
    "trees": 100,
    "max_features": 1.0,
    "min_samples_leaf": 1,
    "max_depth": None,
    "fit_on_validation": False,
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
    """Return predictions (rows of x_all, dims) of the forest; see the head contract.

    One thread on the CPU; ``max_features`` is the share of features tried at a cut (1.0: all).
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=int(options["trees"]),
        max_features=float(options["max_features"]),
        min_samples_leaf=options["min_samples_leaf"],
        max_depth=options["max_depth"],
        random_state=seed % 2**32,
        n_jobs=1,
    )
    x, y = x_train, y_train
    if options["fit_on_validation"]:
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    forest.fit(x, y[:, 0] if y.shape[1] == 1 else y)
    return np.asarray(forest.predict(x_all), np.float64).reshape(len(x_all), -1)
