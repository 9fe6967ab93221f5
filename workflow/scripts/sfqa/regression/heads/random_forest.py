"""Random forest, the baseline of the THQA authors (github.com/zyj-2000/THQA): scikit-learn's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sfqa.arrays import Floats, Ints
from sfqa.options import Flag, Option, Options
from sfqa.regression.head import RefittedHead
from sfqa.regression.problems import Matrix

VERSION = 1
SELECTS = False
GPU = False
#: Each problem is kept as soon as it is fitted.
PROBLEMS_PER_CALL = 1
OPTIONS: Options = {
    "trees": Option(100, 1, None, "number of trees", whole=True),
    "max_features": Option(1.0, 0, 1, "share of the features tried at a split; 1.0: all"),
    "min_samples_leaf": Option(1, 1, None, "rows that a leaf has at least", whole=True),
    "max_depth": Option(None, 1, None, "depth that a tree has at most; null: no limit", whole=True),
    "fit_on_validation": Flag(
        False, "whether validation rows are learnt from too, since nothing is selected on them"
    ),
}


class Head(RefittedHead):
    """One forest for all dimensions of a problem, on one thread of the CPU."""

    def fit_predict(
        self,
        x_train: Matrix,
        y_train: Floats,
        x_validation: Matrix,
        y_validation: Floats,
        x_all: Matrix,
        options: Mapping[str, Any],
        seed: int,
        groups: Ints | None = None,
    ) -> Floats:
        """Return the predictions of the forest, float64 (rows of x_all, dims)."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=options["trees"],
            max_features=float(options["max_features"]),
            min_samples_leaf=options["min_samples_leaf"],
            max_depth=options["max_depth"],
            random_state=seed % 2**32,
            n_jobs=1,
        )
        x, y = x_train, y_train
        if options["fit_on_validation"]:
            x, y = np.concatenate([x, x_validation]), np.concatenate([y, y_validation])
        forest.fit(x, y[:, 0] if y.shape[1] == 1 else y)
        return np.asarray(forest.predict(x_all), np.float64).reshape(len(x_all), -1)
