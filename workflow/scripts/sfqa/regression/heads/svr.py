"""Support vector regression by a random search, the published baseline of blind video quality.

As the BVQA benchmark does it (vztu/BVQA_Benchmark 08146031; Tu et al., IEEE TIP 2021): columns to
0..1 on train rows, an RBF machine of scikit-learn, C of 2..1024 and gamma of 2^-8..2, ten of the
hundred pairs tried by 3-fold cross-validation of R^2 inside the train rows, and the best fitted
again. The search there is not seeded; here the problem's seed decides it. R^2 needs two rows in
every fold: with fewer rows than that the search goes by the squared error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfqa.regression.problems import Floats, Matrix

VERSION = 2
SELECTS = False
TOGETHER = 1
#: tries: pairs of C and gamma; folds: of the cross-validation; epsilon: in units of the MOS.
OPTIONS: dict[str, Any] = {"tries": 10, "folds": 3, "epsilon": 0.1, "fit_on_validation": False}

#: The search of the published code.
C_RANGE, GAMMA_RANGE = np.logspace(1, 10, 10, base=2), np.logspace(-8, 1, 10, base=2)


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
    jobs: int = 1,
) -> Floats:
    """Return predictions (rows of x_all, dims), one machine per dimension; see the head contract.

    ``jobs`` processes on the CPU.
    """
    from sklearn.model_selection import RandomizedSearchCV
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    x, y = x_train, y_train
    if options["fit_on_validation"]:
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    scaler = MinMaxScaler().fit(x.astype(np.float64))
    scaled, wanted = (scaler.transform(v.astype(np.float64)) for v in (x, x_all))
    folds = int(options["folds"])
    # A fold of one row has no R^2: all pairs would score NaN, and the first one would be taken.
    scoring = "r2" if len(x) >= 2 * folds else "neg_mean_squared_error"
    columns = []
    for dim in range(y.shape[1]):
        search = RandomizedSearchCV(
            SVR(epsilon=float(options["epsilon"])), {"C": C_RANGE, "gamma": GAMMA_RANGE},
            n_iter=int(options["tries"]), cv=folds, random_state=seed % 2**32, n_jobs=jobs,
            scoring=scoring,
        )  # fmt: skip
        columns.append(search.fit(scaled, y[:, dim]).predict(wanted))
    return np.stack(columns, axis=1).astype(np.float64)
