from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVR

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.heads import kernel, mlp, random_forest, ridge, svr
from sfqa.regression.problems import make_problem as problem_of
from sfqa.regression.training_options import TRAINING
from sfqa.training.settings import TrainingSettings

ALL = [ridge, kernel, mlp, random_forest, svr]


def problem(n: int = 120, d: int = 10, dims: int = 1, noise: float = 0.5, seed: int = 0):
    numbers = np.random.default_rng(seed)
    x = (numbers.normal(size=(n, d)) * numbers.uniform(0.1, 50, d) + 5).astype(np.float32)
    w = numbers.normal(size=(d, dims)) / x.std(axis=0)[:, None]
    y = (x @ w + noise * numbers.normal(size=(n, dims))).astype(np.float64) * 10 + 40
    a, b = n // 2, 3 * n // 4
    return x[:a], y[:a], x[a:b], y[a:b], x


def run(head, data, work: Path, options=None, seed=0):
    """Predictions of one problem, computed the same way for both kinds of heads."""
    name = head.__name__.split(".")[-1]
    x, y, xv, yv, x_all = data
    shared = np.concatenate([x, xv, x_all])
    unknown = np.full((len(x_all), y.shape[1]), np.nan)
    rows = np.arange(len(shared))
    edges = len(x), len(x) + len(xv)
    one = problem_of(
        rows[: edges[0]], rows[edges[0] : edges[1]], np.concatenate([y, yv, unknown]), seed
    )
    merged = heads.merge_options(name, options)
    found, reasons = heads.fit_and_predict(name, shared, [one], merged, work, "cpu")
    assert reasons == [""]
    return found[0, edges[1] :]


@pytest.mark.parametrize("head", ALL)
def test_contract(head, tmp_path):
    data = problem(dims=2)
    got = run(head, data, tmp_path)
    assert got.shape == (120, 2)
    assert got.dtype == np.float64
    assert (got == run(head, data, tmp_path)).all()
    name = head.__name__.split(".")[-1]
    loaded = heads.load_head(name)
    assert (heads.read_version(name), type(loaded)) == (head.VERSION, head.Head)
    assert (loaded.name, loaded.version) == (name, head.VERSION)
    assert heads.HEADS.options(name) == head.OPTIONS
    assert heads.merge_options(name, None) == {n: o.default for n, o in head.OPTIONS.items()}
    assert heads.needs_validation(name) == (getattr(head, "SELECTS", True) and head is not kernel)


@pytest.mark.parametrize("head", ALL)
def test_rows_to_predict_teach_nothing(head, tmp_path):
    x, y, xv, yv, x_all = problem()
    poisoned = x_all.copy()
    poisoned[90:] *= 1000
    one = run(head, (x, y, xv, yv, x_all), tmp_path / "a")
    two = run(head, (x, y, xv, yv, poisoned), tmp_path / "b")
    assert (one[:90] == two[:90]).all() or np.abs(one[:90] - two[:90]).max() < 1e-9


@pytest.mark.parametrize("head", [ridge, kernel, mlp])
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
     {"activation": "gelu", "loss": "mse + plcc"}, {"batch_rows": 32, "epochs": 60, "precision": "float32"}],
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


def test_mlp_is_simplevqas_head():
    net = heads.load_head("mlp").build({"x": (9472,)}, 1, heads.merge_options("mlp", {}))
    assert [tuple(p.shape) for p in net.parameters()] == [(128, 9472), (128,), (1, 128), (1,)]
    x, y = torch.randn(3, 9472), torch.randn(3, 9472)
    # No activation: the head of a mean of frames is the mean of the head of frames.
    torch.testing.assert_close(net((x + y) / 2), (net(x) + net(y)) / 2)


def test_mlp_by_itself_is_the_plain_loop_of_torch(tmp_path):
    data = problem(n=120, dims=1)
    options = {"epochs": 30, "patience": 30, "select": "loss", "weight_decay": 0.01}
    got = run(mlp, data, tmp_path, options, seed=7)
    scaler, target = StandardScaler().fit(data[0].astype(np.float64)), StandardScaler().fit(data[1])
    x, xv, x_all = (
        torch.from_numpy(scaler.transform(v.astype(np.float64)))
        for v in (data[0], data[2], data[4])
    )
    y, yv = (torch.from_numpy(target.transform(v)) for v in (data[1], data[3]))
    torch.manual_seed(7)
    net = (
        heads.load_head("mlp").build({"x": (10,)}, 1, heads.merge_options("mlp", options)).double()
    )
    adam = torch.optim.Adam(net.parameters(), lr=0.001, weight_decay=0.01)
    best, kept = np.inf, None
    for _ in range(30):
        adam.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        adam.step()
        with torch.no_grad():
            loss = float(((net(xv) - yv) ** 2).mean())
            if loss < best:
                best, kept = loss, net(x_all).numpy()
    np.testing.assert_allclose(got, target.inverse_transform(kept), rtol=1e-9)


@pytest.mark.parametrize("name", ["ridge", "kernel", "mlp"])
def test_model_files_predict_as_the_models_did(name, tmp_path):
    x, y, xv, yv, x_all = problem(dims=2)
    shared, mos = np.concatenate([x, xv]), np.concatenate([y, yv])
    many = [problem_of(np.arange(n, 60), np.arange(60, 90), mos, n) for n in range(3)]
    options = heads.merge_options(name, {"epochs": 15} if name == "mlp" else {})
    head = heads.load_head(name)
    models = head.fit(shared, many, options, tmp_path, "cpu")
    states = [models.state(n) for n in (2, 0)]
    np.savez(tmp_path / "model.npz", **states[0])
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        states[0] = dict(stored)
    again = head.restore(states, options, "cpu").predict(x_all)
    np.testing.assert_allclose(again, models.predict(x_all)[[2, 0]], rtol=1e-12)


def test_svr_is_the_published_search(tmp_path):
    data = problem(n=120, d=5)
    got = run(svr, data, tmp_path, seed=11)
    scaler = MinMaxScaler().fit(data[0].astype(np.float64))
    search = RandomizedSearchCV(
        SVR(), {"C": [2.0**k for k in range(1, 11)], "gamma": [2.0**k for k in range(-8, 2)]},
        cv=KFold(3, shuffle=True, random_state=11), random_state=11,
    ).fit(scaler.transform(data[0].astype(np.float64)), data[1][:, 0])  # fmt: skip
    expected = search.predict(scaler.transform(data[4].astype(np.float64)))
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-9)


def category_problem(seed=0):
    """Rows sorted by a category that shifts features and MOS, as names with a category are."""
    numbers = np.random.default_rng(seed)
    category = np.repeat(np.arange(6), 40)
    x = numbers.normal(size=(240, 4)) + 3 * numbers.normal(size=(6, 4))[category]
    y = np.tanh(x[:, :1]) + 2 * numbers.normal(size=(6, 1))[category]
    return x.astype(np.float32), y + 0.2 * numbers.normal(size=(240, 1)), category


@pytest.fixture
def folds_of_search(monkeypatch):
    """The folds that each search is given: (train rows, judged rows) by fold."""
    folds = []

    class Recorded(RandomizedSearchCV):
        def __init__(self, estimator, param_distributions, *, cv, **other):
            folds.append(cv)
            super().__init__(estimator, param_distributions, cv=cv, **other)

    monkeypatch.setattr("sklearn.model_selection.RandomizedSearchCV", Recorded)
    return folds


def test_svr_judges_on_rows_of_all_categories(tmp_path, folds_of_search):
    x, y, category = category_problem()
    options = heads.merge_options("svr", {"tries": 1})
    one = problem_of(np.arange(240), [], y, 5)
    heads.fit_and_predict("svr", x, [one], options, tmp_path, "cpu")
    (folds,) = folds_of_search
    for _, judged in folds:
        assert set(category[judged]) == set(range(6))
    assert sorted(np.concatenate([judged for _, judged in folds]).tolist()) == list(range(240))


def test_svr_keeps_the_groups_of_the_protocol_in_one_fold(tmp_path, folds_of_search):
    """Portraits that are spread over the names, as in method_portrait: a block holds no group."""
    x, y, _ = category_problem()
    portrait = np.arange(240) % 20
    train, validation = np.arange(150), np.arange(150, 200)
    for options in ({"tries": 1}, {"tries": 1, "fit_on_validation": True}):
        one = problem_of(train, validation, y, 5, groups=portrait)
        heads.fit_and_predict("svr", x, [one], heads.merge_options("svr", options), tmp_path, "cpu")
        rows = np.arange(200 if len(options) == 2 else 150)
        folds = folds_of_search[-1]
        assert len(folds) == 3
        for fitted, judged in folds:
            assert not set(portrait[fitted]) & set(portrait[judged])
        judged_portraits = [sorted(set(portrait[judged])) for _, judged in folds]
        assert judged_portraits != sorted(judged_portraits)  # shuffled by the seed
        assert sorted(np.concatenate([judged for _, judged in folds])) == rows.tolist()


def test_svr_depends_on_which_rows_share_a_group_and_on_no_code(tmp_path):
    x, y, _ = category_problem()
    codes = np.arange(240) % 7
    predictions = []
    for groups in (codes, 100 - codes, None, np.zeros(240, np.int64)):
        one = problem_of(np.arange(200), [], y, 5, groups=groups)
        options = heads.merge_options("svr", {})
        predictions.append(heads.fit_and_predict("svr", x, [one], options, tmp_path, "cpu")[0])
    np.testing.assert_array_equal(predictions[0], predictions[1])
    np.testing.assert_array_equal(predictions[2], predictions[3])  # one group: rows


def test_svr_with_groups_of_one_row_still_compares_all_pairs(tmp_path):
    """Fewer groups than folds, and a fold of one row, which has no R^2."""
    x, y, _ = category_problem()
    groups = np.array([0] * 39 + [1] + [2] * 200)
    one = problem_of(np.arange(40), [], y, 5, groups=groups)
    options = heads.merge_options("svr", {"tries": 100})
    found, reasons = heads.fit_and_predict("svr", x, [one], options, tmp_path, "cpu")
    assert reasons == [""]
    assert np.isfinite(found).all()


def test_an_option_named_as_a_setting_of_training_is_that_setting():
    """A head's own option of such a name would change the training unseen."""
    settings = {field.name for field in fields(TrainingSettings)} - set(TRAINING)
    for name in heads.HEADS.names():
        own = set(heads.HEADS.options(name)) & settings
        assert own <= {"cosine_epochs", "compare_ema", "select_after", "stages"}, name


def test_heads_that_select_on_validation_rows():
    assert heads.needs_validation("kernel") is False
    assert heads.needs_validation("kernel", {"select": "validation"}) is True
    assert heads.needs_validation("ridge", {"select": "srcc"}) is True
    assert heads.needs_validation("svr") is False


@pytest.mark.parametrize("name", ["ridge", "kernel", "mlp", "random_forest", "svr"])
def test_bad_input_gives_a_reason_or_a_sentence(name, tmp_path):
    x, y, xv, yv, _ = problem()
    shared, mos = np.concatenate([x, xv]), np.concatenate([y, yv])
    options = heads.merge_options(name, {"epochs": 5} if name == "mlp" else {})
    good = problem_of(np.arange(60), np.arange(60, 90), mos, 1)
    few = problem_of(np.arange(3), np.arange(60, 90), mos, 1)
    gaps = mos.copy()
    gaps[5:60] = np.nan
    unrated = problem_of(np.arange(60), np.arange(60, 90), gaps, 1)
    found, reasons = heads.fit_and_predict(
        name, shared, [few, good, unrated], options, tmp_path, "cpu"
    )
    assert reasons == ["too_few_rows: 3 train rows have features and MOS", "", ""]
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()
    broken = shared.copy()
    broken[7, 3] = np.nan
    with pytest.raises(UserError, match=r"row 7, column \[3\]: nan"):
        heads.fit_and_predict(name, broken, [good], options, tmp_path, "cpu")
    with pytest.raises(ValueError, match="named twice"):
        both = problem_of(np.arange(60), np.arange(59, 90), mos, 1)
        heads.fit_and_predict(name, shared, [both], options, tmp_path, "cpu")
    flat = problem_of(np.arange(60), np.arange(60, 90), np.full((90, 1), 3.0), 1)
    found, _ = heads.fit_and_predict(name, shared, [flat], options, tmp_path, "cpu")
    np.testing.assert_allclose(found, 3.0, atol=1e-6 if name != "svr" else 0.11)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("rigde", {}, "did you mean 'ridge'"),
        ("mlp", {"lr": 1}, "no option 'lr'"),
        ("mlp", {"epoch": 1}, "did you mean 'epochs'"),
        ("mlp", {"learning_rate": "1e-4"}, "1.0e-4"),
        ("mlp", {"hidden": 128}, "hidden is 128; give a list of whole numbers"),
        ("kernel", {"gamma": [1.0]}, "did you mean 'gammas'"),
        ("svr", {"tries": 1.5}, "tries is 1.5; give a whole number"),
        ("random_forest", {"trees": True}, "trees is True; give a whole number"),
        ("random_forest", {"max_depth": "5"}, "max_depth is '5'; give a whole number"),
    ],
)
def test_wrong_options_are_sentences(head, options, message):
    with pytest.raises(UserError, match=message):
        heads.merge_options(head, options)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        (mlp, {"activation": "tanh"}, "give none or relu or gelu"),
        (mlp, {"precision": "half"}, "float64 or float32 or tf32 or bf16 or fp16"),
        (mlp, {"loss": "msee"}, "did you mean 'mse'"),
        (mlp, {"loss": "mse -plcc"}, "is no loss with a weight"),
        (kernel, {"lambdas": [0.0, 1.0]}, "above 0"),
        (kernel, {"gammas": [0.0], "linear": [0.0]}, "are all 0"),
        (kernel, {"search": "random"}, "descent"),
        (kernel, {"select": "validation", "fit_on_validation": True}, "do not go together"),
    ],
)
def test_wrong_choice(head, options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run(head, problem(), tmp_path, options)


#: VERSION of a head: its predictions of rows 0, 60 and 119 of problem(), default options.
GOLDEN: dict[tuple[str, int], list[float]] = {
    ("ridge", 1): [-12.452797459760212, 12.875621480458666, 25.863331573724928],
    ("mlp", 3): [-9.664734397701864, 12.302929806982126, 25.19932636595455],
    ("kernel", 2): [-11.753975334565594, 13.874958955703443, 24.082526428061357],
    ("svr", 3): [-9.451692343162591, 14.27201026060547, 25.943896853893392],
    ("random_forest", 1): [-1.2478067582137096, 13.96369428136998, 15.593627287171353],
}


@pytest.mark.parametrize("head", ALL)
def test_numbers_change_only_with_the_version(head, tmp_path):
    name = head.__name__.split(".")[-1]
    got = run(head, problem(), tmp_path)[[0, 60, 119], 0]
    np.testing.assert_allclose(got, GOLDEN[name, head.VERSION], rtol=1e-6)
