from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.heads import mlp, random_forest, ridge


def problem(n: int = 120, d: int = 10, dims: int = 1, noise: float = 0.5, seed: int = 0):
    numbers = np.random.default_rng(seed)
    x = (numbers.normal(size=(n, d)) * numbers.uniform(0.1, 50, d) + 5).astype(np.float32)
    w = numbers.normal(size=(d, dims)) / x.std(axis=0)[:, None]
    y = (x @ w + noise * numbers.normal(size=(n, dims))).astype(np.float64) * 10 + 40
    a, b = n // 2, 3 * n // 4
    return x[:a], y[:a], x[a:b], y[a:b], x


def run(head, data, work: Path, options=None, seed=0, **more):
    merged = heads.merged_options(head.__name__.split(".")[-1], options)
    return head.fit_predict(*data, merged, seed, work, "cpu", **more)


@pytest.mark.parametrize("head", [ridge, mlp, random_forest])
def test_contract(head, tmp_path):
    data = problem(dims=2)
    got = run(head, data, tmp_path)
    assert got.shape == (120, 2)
    assert got.dtype == np.float64
    assert (got == run(head, data, tmp_path)).all()
    name = head.__name__.split(".")[-1]
    assert (heads.version(name), heads.load(name)) == (head.VERSION, head)
    assert heads.merged_options(name, None) == head.OPTIONS
    assert heads.selects(name) == head.SELECTS


@pytest.mark.parametrize("head", [ridge, mlp, random_forest])
def test_rows_to_predict_teach_nothing(head, tmp_path):
    x, y, xv, yv, x_all = problem()
    poisoned = x_all.copy()
    poisoned[90:] *= 1000
    one = run(head, (x, y, xv, yv, x_all), tmp_path / "a")
    two = run(head, (x, y, xv, yv, poisoned), tmp_path / "b")
    assert (one[:90] == two[:90]).all() or np.abs(one[:90] - two[:90]).max() < 1e-9


@pytest.mark.parametrize("head", [ridge, mlp])
def test_a_column_that_is_constant_in_train_counts_for_nothing(head, tmp_path):
    x, y, xv, yv, x_all = problem()

    def with_constant(matrix, values):
        return np.column_stack([matrix, values]).astype(np.float32)

    shifted = with_constant(x_all, np.r_[np.full(90, 0.1), np.full(30, 1e6)])
    data = (with_constant(x, np.full(len(x), 0.1)), y, with_constant(xv, np.full(len(xv), 0.1)), yv)
    got = run(head, (*data, shifted), tmp_path)
    plain = run(head, (*data, with_constant(x_all, np.full(120, 0.1))), tmp_path)
    np.testing.assert_allclose(got, plain, rtol=0, atol=1e-6)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("d", [6, 300])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_ridge_is_the_reference_solution(d, penalty, tmp_path):
    data = problem(d=d, dims=2)
    got = run(ridge, data, tmp_path, {"lambdas": [penalty]})
    scaler = StandardScaler().fit(data[0].astype(np.float64))
    x, x_all = (scaler.transform(v.astype(np.float64)) for v in (data[0], data[4]))
    # scikit-learn minimises the sum, not the mean, of squares.
    reference = Ridge(alpha=penalty * len(x)).fit(x, data[1])
    np.testing.assert_allclose(got, reference.predict(x_all), rtol=1e-8)


@pytest.mark.parametrize("select", ["mse", "srcc"])
def test_ridge_chooses_lambda_on_validation_only(select, tmp_path):
    grid, chosen = [0.001, 0.1, 1.0, 10.0, 1000.0], set()
    for seed in range(6):
        x, y, xv, yv, x_all = problem(d=10 + 50 * seed, noise=2 * seed, seed=seed)
        data = (x, y, xv, yv, x_all)
        single = [run(ridge, data, tmp_path, {"lambdas": [v]}) for v in grid]
        scores = [
            -np.mean((p[60:90] - yv) ** 2)
            if select == "mse"
            else spearmanr(p[60:90, 0], yv[:, 0]).statistic
            for p in single
        ]
        best = int(np.argmax(scores))
        got = run(ridge, data, tmp_path, {"lambdas": grid, "select": select})
        np.testing.assert_allclose(got, single[best], rtol=1e-9)
        chosen.add(best)
    assert len(chosen) > 1


def test_ridge_options(tmp_path):
    for options, message in (({"lambdas": [0.0]}, "above 0"), ({"select": "plcc"}, "mse or srcc")):
        with pytest.raises(UserError, match=message):
            run(ridge, problem(), tmp_path, options)


@pytest.mark.parametrize("learn", [False, True])
def test_random_forest_is_scikit_learns(learn, tmp_path):
    x, y, xv, yv, x_all = problem()
    got = run(
        random_forest, (x, y, xv, yv, x_all), tmp_path,
        {"trees": 7, "max_depth": 4, "max_features": 1, "fit_on_validation": learn}, seed=2**40 + 5,
    )  # fmt: skip
    forest = RandomForestRegressor(
        7, max_depth=4, max_features=1.0, random_state=(2**40 + 5) % 2**32
    )
    if learn:
        x, y = np.concatenate([x, xv]), np.concatenate([y, yv])
    assert (got[:, 0] == forest.fit(x, y[:, 0]).predict(x_all)).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "relu", "hidden": [32, 16], "loss": "l1", "select": "loss"},
     {"activation": "gelu", "plcc_weight": 1.0}],
)  # fmt: skip
def test_mlp_learns_a_linear_world(options, tmp_path):
    data = problem(n=400, noise=0.01)
    truth = problem(n=400, noise=0.0)
    got = run(mlp, data, tmp_path, {"learning_rate": 0.01} | options)
    x = StandardScaler().fit_transform(data[4].astype(np.float64))
    y = np.linalg.lstsq(np.c_[x[:300], np.ones(300)], np.r_[truth[1], truth[3]], rcond=None)[0]
    test = (np.c_[x, np.ones(400)] @ y)[300:, 0]
    assert np.corrcoef(got[300:, 0], test)[0, 1] > 0.97
    assert abs(np.mean(got[300:, 0] - test)) < 0.2 * test.std()


def test_mlp_stops_early_and_keeps_the_best_epoch(tmp_path):
    data = problem(n=60, d=200, noise=8)
    epochs: list[int] = []
    options = {"epochs": 400, "patience": 15, "learning_rate": 0.01, "select": "loss"}
    got = run(mlp, data, tmp_path, options, after_epoch=epochs.append)
    assert 16 <= epochs[-1] < 400
    best = epochs[-1] - 15
    shorter = run(mlp, data, tmp_path / "b", options | {"epochs": best})
    assert (got == shorter).all()


class KilledError(Exception):
    pass


def killing(at: int):
    def after_epoch(epoch: int) -> None:
        if epoch == at:
            raise KilledError

    return after_epoch


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4, "activation": "relu"}])
def test_killed_mlp_goes_on_to_the_same_numbers(options, tmp_path, monkeypatch):
    monkeypatch.setattr(mlp, "CHECKPOINT_SEC", 0.0)
    options = options | {"epochs": 60, "patience": 60}
    data = problem()
    whole: list[int] = []
    undisturbed = run(mlp, data, tmp_path / "a", options, after_epoch=whole.append)
    for at in (17, 40):
        with pytest.raises(KilledError):
            run(mlp, data, tmp_path / "b", options, after_epoch=killing(at))
    rest: list[int] = []
    resumed = run(mlp, data, tmp_path / "b", options, after_epoch=rest.append)
    assert whole == list(range(1, 61))
    assert rest == list(range(41, 61))
    assert (resumed == undisturbed).all()


def test_mlp_takes_no_foreign_or_damaged_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(mlp, "CHECKPOINT_SEC", 0.0)
    data, options = problem(), {"epochs": 12}
    plain = run(mlp, data, tmp_path / "a", options)
    path = tmp_path / "b" / "checkpoint.pt"
    others = [
        lambda: run(mlp, data, path.parent, options, seed=1),
        lambda: run(mlp, data, path.parent, options | {"learning_rate": 0.1}),
        lambda: run(mlp, problem(seed=1), path.parent, options),
        lambda: path.write_bytes(path.read_bytes()[:1000]),
        lambda: path.write_bytes(b""),
        lambda: torch.save({"identity": 3}, path),
    ]
    for number, other in enumerate(others):
        other()
        epochs: list[int] = []
        got = run(mlp, data, path.parent, options, after_epoch=epochs.append)
        assert epochs == list(range(1, 13)), f"case {number} resumed"
        assert (got == plain).all()


def test_mlp_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(mlp, problem(), tmp_path, {"epochs": 2, "dropout": 0.5})
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("rigde", {}, "did you mean 'ridge'"),
        ("mlp", {"lr": 1}, "no option 'lr'"),
        ("mlp", {"epoch": 1}, "did you mean 'epochs'"),
        ("mlp", {"learning_rate": "1e-4"}, "1.0e-4"),
        ("mlp", {"hidden": 128}, "not like"),
        ("random_forest", {"trees": True}, "not like"),
        ("random_forest", {"max_depth": "5"}, "not like"),
    ],
)
def test_wrong_options_are_sentences(head, options, message):
    with pytest.raises(UserError, match=message):
        heads.merged_options(head, options)


def test_wrong_choice(tmp_path):
    with pytest.raises(UserError, match="none or relu or gelu"):
        run(mlp, problem(), tmp_path, {"activation": "tanh"})


#: VERSION of a head: its predictions of rows 0, 60 and 119 of problem(), default options.
GOLDEN: dict[tuple[str, int], list[float]] = {
    ("ridge", 1): [-12.452797459760212, 12.875621480458666, 25.863331573724928],
    ("mlp", 1): [-9.664731682097631, 12.30293062701399, 25.199326675581947],
    ("random_forest", 1): [-1.2478067582137096, 13.96369428136998, 15.593627287171353],
}


@pytest.mark.parametrize("head", [ridge, mlp, random_forest])
def test_numbers_change_only_with_the_version(head, tmp_path):
    name = head.__name__.split(".")[-1]
    got = run(head, problem(), tmp_path)[[0, 60, 119], 0]
    np.testing.assert_allclose(got, GOLDEN[name, head.VERSION], rtol=1e-3 if head is mlp else 1e-7)
