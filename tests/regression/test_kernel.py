import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.heads import kernel
from sfqa.regression.problems import make_problem

D = 5


def make_curve(rows=60, seed=0):
    numbers = np.random.default_rng(seed)
    x = (numbers.normal(size=(rows, D)) * numbers.uniform(0.1, 9, D) + 4).astype(np.float32)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, 50 + 9 * np.sin(2 * z[:, 0]) + 4 * z[:, 1] + numbers.normal(size=rows)


def fit(x, problems, tmp_path, **options):
    merged = heads.merge_options("kernel", options)
    return heads.load_head("kernel").fit(x, problems, merged, tmp_path, "cpu")


def gram(a, b, gamma, linear):
    return (rbf_kernel(a, b, gamma=gamma / D) if gamma else 0.0) + linear * (a @ b.T) / D


def plain(x, y, other, gamma, linear, penalty):
    """Ridge in the kernel's space with an intercept that is not shrunk: its block equations."""
    n = len(x)
    left = np.ones((n + 1, n + 1))
    left[:n, :n] = gram(x, x, gamma, linear) + penalty * np.eye(n)
    left[n, n] = 0
    solved = np.linalg.solve(left, np.r_[y, 0.0])
    return gram(other, x, gamma, linear) @ solved[:n] + solved[n]


@pytest.mark.parametrize(
    ("gamma", "linear", "penalty"), [(0.3, 0.0, 0.1), (1.0, 2.0, 3.0), (0.0, 1.0, 0.01)]
)
def test_the_prediction_solves_the_equations_of_kernel_ridge(gamma, linear, penalty, tmp_path):
    x, y = make_curve()
    one = make_problem(np.arange(40), [], y)
    got = fit(x, [one], tmp_path, gammas=[gamma], linear=[linear], lambdas=[penalty]).predict(x)
    scaled = StandardScaler().fit(x[:40].astype(np.float64)).transform(x.astype(np.float64))
    expected = plain(scaled[:40], y[:40], scaled, gamma, linear, penalty)
    np.testing.assert_allclose(got[0, :, 0], expected, rtol=1e-9)


def test_without_an_intercept_to_find_it_is_scikit_learns(tmp_path):
    x, y = make_curve()
    # Mirrored rows with opposite MOS: the intercept is 0 by symmetry.
    centred = x[:30] - x[:30].mean(axis=0)
    x, y = np.concatenate([centred, -centred]).astype(np.float32), np.r_[y[:30], -y[:30]]
    one = make_problem(np.arange(60), [], y)
    got = fit(x, [one], tmp_path, gammas=[0.3], linear=[0.0], lambdas=[0.2]).predict(x)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    reference = KernelRidge(alpha=0.2, kernel="rbf", gamma=0.3 / D).fit(scaled, y)
    np.testing.assert_allclose(got[0, :, 0], reference.predict(scaled), rtol=1e-7, atol=1e-7)


def left_out(x, y, groups, options):
    """Mean squared error by fitting anew without every group."""
    errors = np.empty(len(y))
    for group in np.unique(groups):
        out = groups == group
        errors[out] = plain(x[~out], y[~out], x[out], *options) - y[out]
    return np.mean(errors**2)


@pytest.mark.parametrize("grouped", [pytest.param(False, marks=pytest.mark.thorough), True])
@pytest.mark.parametrize("select", ["loo", "validation"])
def test_options_are_chosen_by_the_exact_error(grouped, select, tmp_path):
    axes = {"gammas": [0.1, 1.0, 4.0], "linear": [0.0, 1.0], "lambdas": [0.01, 0.3, 5.0]}
    chosen = set()
    for seed in range(4):
        x, y = make_curve(seed=seed)
        rows = np.random.default_rng(seed).permutation(60)
        train, validation = np.sort(rows[: 30 + seed]), np.sort(rows[40:50])
        codes = np.arange(60) // 7
        one = make_problem(train, validation, y, groups=codes if grouped else None)
        models = fit(x, [one], tmp_path, search="grid", select=select, **axes)
        scaled = StandardScaler().fit(x[train].astype(np.float64)).transform(x.astype(np.float64))
        groups = codes[train] if grouped else train

        errors = {}
        for point in itertools.product(*axes.values()):
            if select == "loo":
                errors[point] = left_out(scaled[train], y[train], groups, point)
            else:
                got = plain(scaled[train], y[train], scaled[validation], *point)
                errors[point] = np.mean((got - y[validation]) ** 2)
        best = min(errors, key=errors.__getitem__)
        state = models.state(0)
        assert best == tuple(float(state[f"{k}.0"]) for k in ("gamma", "linear", "lambda"))
        chosen.add(best)
    assert len(chosen) > 1


def test_the_errors_left_out_are_those_of_fitting_anew(tmp_path):
    import torch

    x, y = make_curve(rows=40)
    lattice = ([0.2, 1.0], [0.0, 0.5], [0.05, 2.0])
    problems = [
        make_problem(np.arange(33), [], y, groups=np.arange(40) % 6),
        make_problem(np.arange(5, 30), [], y, groups=np.zeros(40, np.int64)),
        make_problem(np.arange(4, 40), [], y),
    ]
    batch = kernel.KernelBatch(torch.from_numpy(x), [(p, 0) for p in problems], lattice, False)
    for point in itertools.product((0, 1), repeat=3):
        got = batch._compute_errors(torch.arange(3), [point] * 3).numpy()
        options = [axis[i] for axis, i in zip(lattice, point, strict=True)]
        for n, one in enumerate(problems):
            own = x[one.train].astype(np.float64)
            scaled = StandardScaler().fit_transform(own)
            # One group has no other to be predicted from: its rows stand alone.
            groups = one.train if n else one.groups[one.train]
            expected = left_out(scaled, y[one.train], groups, options)
            assert got[n] == pytest.approx(expected, rel=1e-8), (point, n)


def test_many_problems_at_once_are_one_by_one(tmp_path):
    x, y = make_curve(rows=90)
    y = np.stack([y, np.where(np.arange(90) % 9 == 0, np.nan, -y)], axis=1)
    numbers = np.random.default_rng(1)
    problems = [
        make_problem(
            np.sort(numbers.permutation(90)[: 30 + 9 * n]),
            [],
            y,
            groups=np.arange(90) // 4 if n % 2 else None,
        )
        for n in range(4)
    ]
    together = fit(x, problems, tmp_path).predict(x)
    alone = np.concatenate([fit(x, [p], tmp_path).predict(x) for p in problems])
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    # Padded with nothing: the second dimension has fewer train rows.
    assert np.isfinite(together).all()


def test_more_rows_than_memory_holds_are_a_sentence(tmp_path, monkeypatch):
    x, y = make_curve(rows=40)
    monkeypatch.setattr(kernel, "MOST_ROWS", 29)
    with pytest.raises(UserError, match="30 train rows, whose kernels take .* ridge or mlp"):
        fit(x, [make_problem(np.arange(30), [], y)], tmp_path)


def test_descent_ends_where_no_neighbour_is_better(tmp_path):
    x, y = make_curve(rows=80)
    one = make_problem(np.arange(60), [], y)
    free = fit(x, [one], tmp_path).state(0)
    axes = kernel._make_lattice(heads.merge_options("kernel", {}))
    at = [
        axis.index(float(free[f"{k}.0"]))
        for axis, k in zip(axes, ("gamma", "linear", "lambda"), strict=True)
    ]
    scaled = StandardScaler().fit_transform(x[:60].astype(np.float64))

    def error(point):
        options = [axis[i] for axis, i in zip(axes, point, strict=True)]
        return left_out(scaled, y[:60], np.arange(60), options)

    best = error(at)
    for axis, sign in itertools.product(range(3), (-1, 1)):
        point = list(at)
        point[axis] += sign
        if 0 <= point[axis] < len(axes[axis]):
            assert error(point) >= best * (1 - 1e-9)


def test_groups_keep_rows_of_one_portrait_from_choosing_for_themselves(tmp_path):
    """Features that name the portrait: leaving out single rows picks a model that learns names."""
    numbers = np.random.default_rng(0)
    portrait = np.repeat(np.arange(24), 10)
    quality, offset = numbers.normal(size=240), 2 * numbers.normal(size=24)
    x = np.column_stack([quality, numbers.normal(size=(24, 6))[portrait]]).astype(np.float32)
    y = quality + offset[portrait] + 0.3 * numbers.normal(size=240)
    train = np.flatnonzero(portrait < 18)
    found = {}
    for name, groups in (("rows", None), ("groups", portrait)):
        models = fit(x, [make_problem(train, [], y, groups=groups)], tmp_path)
        found[name] = spearmanr(models.predict(x)[0, 180:, 0], y[180:]).statistic
        found[f"{name} gamma"] = float(models.state(0)["lambda.0"])
    assert found["groups"] > found["rows"] + 0.02
    assert found["groups gamma"] > found["rows gamma"]


@pytest.mark.shared
def test_konvid_beats_the_published_svr(shared_data, tmp_path):
    """BVQA's first splits of KoNViD-1k; its medians over 100: BRISQUE .6567, VIDEVAL .7832."""
    import pandas as pd
    from scipy.io import loadmat
    from sklearn.model_selection import train_test_split

    y = pd.read_csv(shared_data / "bvqa/KONVID_1K_metadata.csv")["mos"].to_numpy(float)
    x = loadmat(shared_data / "bvqa/KONVID_1K_VIDEVAL_feats.mat")["feats_mat"]
    # The published code takes the column's mean where a feature is missing.
    x = np.where(np.isfinite(x), x, np.nan)
    x = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    seeds = [int(np.ceil(8.8 * n)) for n in (1, 2, 3)]
    splits = [train_test_split(np.arange(1200), test_size=0.2, random_state=s) for s in seeds]
    problems = [make_problem(np.sort(a), [], y) for a, _ in splits]
    predicted = fit(x.astype(np.float32), problems, tmp_path).predict(x.astype(np.float32))
    found = [
        spearmanr(p[t, 0], y[t]).statistic for p, (_, t) in zip(predicted, splits, strict=True)
    ]
    assert np.median(found) > 0.76


def test_many_rows_are_screened_on_some_and_judged_on_all(tmp_path, monkeypatch):
    x, y = make_curve(rows=90)
    one = make_problem(np.arange(80), [], y, groups=np.arange(90) // 5)
    axes = {"gammas": [0.1, 0.5, 2.0], "linear": [0.0, 1.0], "lambdas": [0.03, 0.3, 3.0]}
    everything = fit(x, [one], tmp_path, search="grid", **axes).state(0)
    monkeypatch.setattr(kernel, "SCREEN_ROWS", 40)
    monkeypatch.setattr(kernel, "SCREENED_POINTS", 18)
    screened = fit(x, [one], tmp_path, **axes).state(0)
    # A walk that passes near the best point ends there, since all rows decide in the end.
    assert {k: everything[k] for k in ("gamma.0", "linear.0", "lambda.0")} == {
        k: screened[k] for k in ("gamma.0", "linear.0", "lambda.0")
    }
    np.testing.assert_allclose(screened["alpha.0"], everything["alpha.0"], rtol=1e-9)
    assert len(screened["alpha.0"]) == 80


def test_rows_for_the_search_are_not_all_of_one_method(tmp_path, monkeypatch):
    """Names end with the method: every second row would be of every second method."""
    x, y = make_curve(rows=90)
    method = np.arange(90) % 2
    drawn = []
    original = kernel.KernelBatch

    class Recorded(original):
        def __init__(self, matrix, members, *other):
            drawn.append([problem.train for problem, _ in members])
            super().__init__(matrix, members, *other)

    monkeypatch.setattr(kernel, "KernelBatch", Recorded)
    monkeypatch.setattr(kernel, "SCREEN_ROWS", 40)
    fit(x, [make_problem(np.arange(80), [], y)], tmp_path)
    (everything,), (screened,) = drawn
    assert len(everything) == 80
    assert len(screened) == 40
    assert 10 < int(method[screened].sum()) < 30
