"""Support vector regression with a random search, the published baseline of blind video quality.

As in the BVQA benchmark (vztu/BVQA_Benchmark 08146031; Tu et al., IEEE TIP 2021): columns are
scaled to 0..1 on train rows; scikit-learn's RBF machine has C from 2..1024 and gamma from 2^-8..2;
ten of the hundred pairs are tried by 3-fold cross-validation of R^2 inside the train rows, and the
best is fitted again. The search of the benchmark is not seeded; here the problem's seed decides it.
Under a protocol with groups (portraits, clips, methods) whole groups are in one fold; otherwise the
rows are shuffled, as the benchmark's are by its split: rows come sorted by name, and folds in that
order would differ in content if names begin with a category.
R^2 needs two rows in every fold: with fewer rows the search uses the squared error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sfqa.arrays import Floats, Ints
from sfqa.options import Flag, Option, Options
from sfqa.regression.head import RefittedHead
from sfqa.regression.problems import Matrix

VERSION = 3
SELECTS = False
GPU = False
PROBLEMS_PER_CALL = 1
OPTIONS: Options = {
    "tries": Option(10, 1, None, "pairs of C and gamma that are tried", whole=True),
    "folds": Option(3, 2, None, "folds of the cross-validation", whole=True),
    "epsilon": Option(0.1, 0, None, "error that costs nothing, in units of the MOS"),
    "fit_on_validation": Flag(
        False, "whether validation rows are learnt from too, since nothing is selected on them"
    ),
}

#: The search of the published code.
C_RANGE, GAMMA_RANGE = np.logspace(1, 10, 10, base=2), np.logspace(-8, 1, 10, base=2)


class Head(RefittedHead):
    """One machine for every dimension of a problem."""

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
        jobs: int = 1,
    ) -> Floats:
        """Return the predictions, float64 (rows of x_all, dims), by ``jobs`` processes."""
        from sklearn.model_selection import RandomizedSearchCV
        from sklearn.preprocessing import MinMaxScaler
        from sklearn.svm import SVR

        x, y = x_train, y_train
        if options["fit_on_validation"]:
            x, y = np.concatenate([x, x_validation]), np.concatenate([y, y_validation])
        scaler = MinMaxScaler().fit(x.astype(np.float64))
        scaled, scaled_all = (scaler.transform(rows.astype(np.float64)) for rows in (x, x_all))
        folds = _split_rows(len(x), None if groups is None else groups[: len(x)], options, seed)
        # A fold of one row has no R^2: all pairs would score NaN, and the first one would be taken.
        is_small = min(len(test) for _, test in folds) < 2
        scoring = "neg_mean_squared_error" if is_small else "r2"
        columns = []
        for dim in range(y.shape[1]):
            search = RandomizedSearchCV(
                SVR(epsilon=float(options["epsilon"])), {"C": C_RANGE, "gamma": GAMMA_RANGE},
                n_iter=options["tries"], cv=folds, random_state=seed % 2**32, n_jobs=jobs,
                scoring=scoring,
            )  # fmt: skip
            columns.append(search.fit(scaled, y[:, dim]).predict(scaled_all))
        return np.stack(columns, axis=1).astype(np.float64)


def _split_rows(
    rows: int, groups: Ints | None, options: Mapping[str, Any], seed: int
) -> list[tuple[Ints, Ints]]:
    """Return the rows to fit and to judge on of each fold; rows of one group are in one fold.

    A single group has no other to be judged on: its rows are split.
    """
    from sklearn.model_selection import GroupKFold, KFold

    if groups is not None:
        # Numbered by first appearance, so that only which rows have equal codes matters.
        _, first, index = np.unique(groups, return_index=True, return_inverse=True)
        if len(first) > 1:
            codes = np.argsort(np.argsort(first))[index]
            grouped = GroupKFold(
                min(options["folds"], len(first)), shuffle=True, random_state=seed % 2**32
            )
            return list(grouped.split(codes, groups=codes))
    shuffled = KFold(options["folds"], shuffle=True, random_state=seed % 2**32)
    return list(shuffled.split(np.arange(rows)))
