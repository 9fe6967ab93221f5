import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.stats import spearmanr
from sklearn.ensemble import GradientBoostingRegressor

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.heads import blend
from sfqa.regression.problems import make_problem

SMALL = {"boosting": {"trees": 20}}


def make_line_and_step(rows=120, seed=0):
    """A straight line and a step: one member has the one, the other the other."""
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(rows, 5)).astype(np.float32)
    y = 3 + x[:, 0] + 1.5 * (x[:, 1] > 0.4) + 0.3 * numbers.normal(size=rows)
    return x, y.astype(np.float64)


def fit(x, problems, tmp_path, **options):
    merged = heads.merge_options("blend", {"settings": SMALL} | options)
    return heads.load_head("blend").fit(x, problems, merged, tmp_path, "cpu")


def member(name, x, problems, tmp_path):
    own = heads.merge_options(name, SMALL.get(name))
    return heads.load_head(name).fit(x, problems, own, tmp_path, "cpu")


@pytest.mark.parametrize("learn", [False, True])
def test_boosting_is_scikit_learns(learn, tmp_path):
    x, y = make_line_and_step()
    both = np.stack([y, np.where(np.arange(120) % 7 == 0, np.nan, -y)], axis=1)
    one = make_problem(np.arange(70), np.arange(70, 90), both, seed=2**40 + 5)
    options = heads.merge_options(
        "boosting", {"trees": 30, "max_depth": 4, "fit_on_validation": learn}
    )
    models = heads.load_head("boosting").fit(x, [one], options, tmp_path, "cpu")
    rows = np.arange(90 if learn else 70)
    for dim in range(2):
        known = rows[np.isfinite(both[rows, dim])]
        reference = GradientBoostingRegressor(
            n_estimators=30, learning_rate=0.04, max_depth=4, subsample=0.5, max_features=0.3,
            min_samples_leaf=8, random_state=(2**40 + 5) % 2**32,
        ).fit(x[known], both[known, dim])  # fmt: skip
        np.testing.assert_allclose(
            models.predict(x)[0, :, dim], reference.predict(x), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("weights", ["equal", "stacked"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_blend_is_its_members_weighted(weights, grouped, tmp_path):
    x, y = make_line_and_step()
    codes = np.arange(120) // 6 if grouped else None
    made = [make_problem(np.arange(n, 90), [], y, n, groups=codes) for n in range(2)]
    models = fit(x, made, tmp_path, weights=weights)
    each = [member(name, x, made, tmp_path).predict(x) for name in ("kernel", "boosting")]
    w, b = models.weights, models.intercept
    expected = sum(w[:, None, :, m] * p for m, p in enumerate(each)) + b[:, None]
    np.testing.assert_allclose(models.predict(x), expected, rtol=1e-12)
    if weights == "equal":
        assert (w == 0.5).all()
        assert (b == 0).all()
        return
    # The weights, found once more: members fitted without each fold, least squares by scipy.
    one = made[1]
    fold = blend._assign_folds(one, 5)
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    if grouped:
        assert all(len(set(fold[codes[one.train] == c])) == 1 for c in set(codes[one.train]))
    z = np.empty((len(one.train), 2))
    for k in range(5):
        rest = make_problem(one.train[fold != k], [], y, one.seed, groups=codes)
        for m, name in enumerate(("kernel", "boosting")):
            got = member(name, x, [rest], tmp_path).predict(x)[0, :, 0]
            z[fold == k, m] = got[one.train[fold == k]]
    own = y[one.train]
    found = lsq_linear(z - z.mean(axis=0), own - own.mean(), bounds=(0, np.inf)).x
    np.testing.assert_allclose(w[1, 0], found, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(b[1, 0], own.mean() - z.mean(axis=0) @ w[1, 0], rtol=1e-9)


def test_members_that_err_differently_err_less_together(tmp_path):
    settings = {
        "kernel": {"gammas": [0.0], "linear": [1.0]},
        "boosting": {"trees": 60, "learning_rate": 0.15},
    }
    found = []
    for seed in range(3):
        x, y = make_line_and_step(500, seed)
        one = [make_problem(np.arange(100), [], y, seed)]
        made = [
            heads.load_head(name).fit(x, one, heads.merge_options(name, own), tmp_path, "cpu")
            for name, own in [*settings.items(), ("blend", {"settings": settings})]
        ]
        found.append([spearmanr(m.predict(x)[0, 100:, 0], y[100:]).statistic for m in made])
    line, trees, together = np.mean(found, axis=0)
    assert together > max(line, trees) + 0.005


def test_a_member_that_learns_the_groups_gets_less_where_groups_are_left_out(tmp_path):
    deep = {"max_depth": 8, "trees": 40, "learning_rate": 0.2}
    settings = {"kernel": {"gammas": [0.0], "linear": [1.0]}, "boosting": deep}
    found = []
    for seed in range(3):
        numbers, (x, _) = np.random.default_rng(seed), make_line_and_step(200, seed)
        codes = np.arange(200) // 10
        x[:, 1:] = numbers.normal(size=(20, 4))[codes]
        y = x[:, 0] + 2 * numbers.normal(size=20)[codes] + 0.2 * numbers.normal(size=200)
        made = [make_problem(np.arange(200), [], y, groups=g) for g in (None, codes)]
        models = fit(x, made, tmp_path, weights="stacked", settings=settings)
        found.append(models.weights[:, 0])
    rows, groups = np.mean(found, axis=0)
    assert rows[1] > 0.9
    assert groups[1] < rows[1] - 0.2


def test_model_files_and_dimensions_with_gaps(tmp_path):
    x, y = make_line_and_step()
    both = np.stack([y, np.where(np.arange(120) % 5 == 0, np.nan, y**2)], axis=1)
    made = [make_problem(np.arange(90), [], both, 1), make_problem([0, 1], [], both, 2)]
    models = fit(x, made, tmp_path, weights="stacked")
    assert models.reasons == ["", "too_few_rows: 1 train rows have features and MOS"]
    got = models.predict(x)
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1]).all()
    np.savez(tmp_path / "model.npz", **models.state(0))
    options = heads.merge_options("blend", {"settings": SMALL, "weights": "stacked"})
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again = heads.load_head("blend").restore([dict(stored)], options, "cpu").predict(x)
    np.testing.assert_allclose(again[0], got[0], rtol=1e-12)
    few = fit(x, [make_problem(np.arange(5), [], y)], tmp_path, weights="stacked")
    assert few.reasons == [""]
    assert np.isfinite(few.predict(x)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": ["kernel", "ridge"]}, "'ridge' cannot be one.*boosting, kernel"),
        ({"members": ["kernel", "blend"]}, "'blend' cannot be one"),
        ({"members": ["kernel", "ugvq"]}, "'ugvq' cannot be one"),
        ({"members": []}, "'none' cannot be one"),
        ({"members": ["kernel", "kernel"]}, "'kernel' is there twice"),
        ({"members": ["kernal"]}, "did you mean 'kernel'"),
        ({"members": ["kernel"], "settings": {"boosting": {}}}, "'boosting' is no member"),
        ({"settings": {"kernel": {"gamma": [1.0]}}}, "did you mean 'gammas'"),
        ({"settings": {"kernel": {"select": "validation"}}}, "'kernel' cannot be one"),
        ({"weights": "best"}, "equal or stacked"),
        ({"folds": 1}, "at least 2"),
    ],
)
def test_mistakes_are_sentences(options, message, tmp_path):
    x, y = make_line_and_step()
    given = {"settings": {}} | options
    with pytest.raises(UserError, match=message):
        fit(x, [make_problem(np.arange(90), [], y)], tmp_path, **given)


#: VERSION of the head, with the VERSION of its default members: raised together.
MEMBERS = {2: {"boosting": 1, "kernel": 2}}
GOLDEN = {
    ("boosting", 1): [2.968553558951987, 5.513968867975507, 3.040643572187041],
    ("blend", 2): [3.2558018566223184, 5.458913569286279, 2.910992745180991],
}


@pytest.mark.parametrize("name", ["boosting", "blend"])
def test_numbers_change_only_with_the_version(name, tmp_path):
    x, y = make_line_and_step()
    options = heads.merge_options(name, {})
    models = heads.load_head(name).fit(
        x, [make_problem(np.arange(90), [], y)], options, tmp_path, "cpu"
    )
    got = models.predict(x)[0, [0, 60, 119], 0]
    np.testing.assert_allclose(got, GOLDEN[name, heads.read_version(name)], rtol=1e-6)


def test_the_version_is_raised_with_those_of_the_members():
    members = {name: heads.read_version(name) for name in blend.OPTIONS["members"].default}
    assert members == MEMBERS[blend.VERSION]
