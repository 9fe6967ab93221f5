"""Metric against metric: known answers, the nominal size, the power, Holm, and reasons."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import store, tables
from sfqa.correlation import bootstrap, significance
from sfqa.correlation.significance import (
    adjust_holm,
    compute_bootstrap_p,
    compute_meng,
    compute_steiger,
    significance_rows,
)
from sfqa.correlation.summarise import Settings, round_rows
from sfqa.identity import digest, random_generator
from sfqa.statistics import resampled

V, A = "visual_quality", "av_consistency"
SETTINGS = Settings(bootstrap=300, groups={"grouped": ["image"]})


def test_mengs_own_example() -> None:
    """Meng, Rosenthal and Rubin (1992): n 15, r .63 and -.03, between them -.19: Z 1.68."""
    z, p = compute_meng(0.63, -0.03, -0.19, 15)
    assert z == pytest.approx(1.68, abs=0.005)
    assert p / 2 == pytest.approx(0.046, abs=0.001)


def test_both_tests_turn_with_the_sides_and_agree_on_many_rows() -> None:
    for r_a, r_b, r_ab in ((0.7, 0.65, 0.5), (0.3, -0.1, 0.2), (0.9, 0.88, 0.85)):
        z, p = compute_steiger(r_a, r_b, r_ab, 400)
        assert compute_steiger(r_b, r_a, r_ab, 400) == pytest.approx((-z, p))
        assert compute_meng(r_a, r_b, r_ab, 400)[0] == pytest.approx(z, rel=0.03)
    assert compute_steiger(0.5, 0.5, 0.3, 100) == (0.0, 1.0)


def test_steigers_variance_is_that_of_simulated_differences() -> None:
    """Z has the spread of a standard normal where both metrics are equally good."""
    zs = np.array([compute_steiger(*row, 100)[0] for row in simulated(1500, 100)])
    assert zs.std() == pytest.approx(1, abs=0.06)
    assert zs.mean() == pytest.approx(0, abs=0.08)


@pytest.mark.parametrize("given", [(1.0, 0.5, 0.5, 50), (0.5, 0.4, 0.3, 3), (0.5, 0.5, 1.0, 50)])
def test_no_test_where_it_has_no_meaning(given: tuple[float, float, float, int]) -> None:
    assert math.isnan(compute_steiger(*given)[1])
    assert math.isnan(compute_meng(*given)[1])


def pair(draw: np.random.Generator, n: int, gap: float = 0.0) -> tuple[Any, Any]:
    """Two metrics of MOS, each with noise of its own and some in common; the second worse."""
    y, shared = draw.normal(size=(2, n))
    x = y[:, None] + 0.4 * shared[:, None] + np.array([0.8, 0.8 + gap]) * draw.normal(size=(n, 2))
    return x, y


def simulated(times: int, n: int) -> list[tuple[float, float, float]]:
    draw = random_generator("steiger", n)
    found = []
    for _ in range(times):
        x, y = pair(draw, n)
        r = np.corrcoef(np.column_stack([x, y]).T)
        found.append((float(r[0, 2]), float(r[1, 2]), float(r[0, 1])))
    return found


def rejected(n: int, times: int, gap: float) -> dict[str, float]:
    """The share of simulations that each test calls significant at 5 %."""
    draw = random_generator("size", n, str(gap))
    labels = pd.DataFrame({"sample_id": [f"{k:04d}" for k in range(n)]})
    count = dict.fromkeys(
        (f"{test} {name}" for test in ("bootstrap", "steiger", "meng") for name in ("srcc", "plcc")), 0
    )  # fmt: skip
    for number in range(times):
        if number % 50 == 0:
            made = bootstrap.draw_resampling(labels, None, 300, number, grouped=False)
            weights = np.hstack([made.weights, np.ones((n, 1))])
        x, y = pair(draw, n, gap)
        got = bootstrap.compute_replicates(x, x, y, np.arange(n), weights, ("srcc", "plcc"))
        between = {"srcc": resampled.compute_ranks(x), "plcc": x}
        for name, values in got.items():
            a, b = map(float, values[:, -1])
            own = (a, b, float(np.corrcoef(between[name].T)[0, 1]), n, name == "srcc")
            steps = (values[0] - values[1])[:-1]
            count[f"bootstrap {name}"] += compute_bootstrap_p(steps, a - b, n) < 0.05
            count[f"steiger {name}"] += compute_steiger(*own)[1] < 0.05
            count[f"meng {name}"] += compute_meng(*own)[1] < 0.05
    return {test: hits / times for test, hits in count.items()}


@pytest.mark.thorough
def test_the_nominal_size() -> None:
    """Two equally good metrics differ 'significantly' in 5 %: 1,500 times, standard error .6 %."""
    for test, share in rejected(120, 1500, 0.0).items():
        assert share == pytest.approx(0.05, abs=0.017), test


def test_the_power_against_a_clear_difference() -> None:
    for test, share in rejected(120, 200, 1.2).items():
        assert share > 0.9, test


def test_holm_is_the_step_down_by_its_definition() -> None:
    draw = random_generator("holm")
    p = draw.uniform(size=9) ** 3
    want = np.empty(9)
    order = np.argsort(p)
    for place in range(9):
        steps = [(9 - k) * p[order[k]] for k in range(place + 1)]
        want[order[place]] = min(1, max(steps))
    assert adjust_holm(list(p)) == pytest.approx(want)
    assert adjust_holm([math.nan, 0.01])[1] == 0.01
    assert adjust_holm([]) == []


def run(world: Any, given: Settings = SETTINGS) -> pd.DataFrame:
    rows = significance_rows(world.predictions, world.mos, world.samples, world.metrics, given)
    return pd.DataFrame(rows)


@pytest.fixture
def small(world: Any) -> Any:
    p = world.predictions
    world.predictions = p[p["protocol"] != "leave_one_method_out"]
    world.samples["image_id"] = world.samples["sample_id"].str.split("__").str[0]
    return world


def test_rows_are_all_pairs_without_controls_and_fit_the_table(small: Any, tmp_path: Path) -> None:
    rows = run(small)
    pairs = {tuple(sorted(p)) for p in rows[["metric_a", "metric_b"]].to_numpy()}
    assert pairs == {("lse_d", "simplevqa"), ("fastvqa", "lse_d"), ("fastvqa", "simplevqa")}
    assert len(rows) == 2 * 3 * 3 * 3  # protocols, dimensions with overall, statistics, pairs
    store.write(tables.SIGNIFICANCE, round_rows(rows.to_dict("records")), tmp_path / "s.parquet")
    by_protocol = rows.groupby("protocol")["resampled"].unique().map(list).to_dict()
    assert by_protocol == {
        "grouped": ["300 resamples of 12 image groups"],
        "random": ["300 resamples of 60 samples"],
    }


def test_the_figures_are_those_of_the_shared_samples(small: Any) -> None:
    p = small.predictions
    lost = (p["metric"] == "simplevqa") & p["sample_id"].str.startswith("i00")
    p.loc[lost, "prediction"] = np.nan
    rows = run(small)
    rows = rows[(rows["protocol"] == "random") & (rows["dimension"] == V)].set_index(
        ["statistic", "metric_a", "metric_b"]
    )
    assert rows.loc[("srcc", "lse_d", "fastvqa"), "n"] == 60
    row = rows.loc[("srcc", "simplevqa", "fastvqa")]
    assert row["n"] == 55
    mos = small.mos[small.mos["dimension"] == V].set_index("sample_id")["mos"]
    ranks = {}
    for name in ("simplevqa", "fastvqa"):
        own = p[(p["metric"] == name) & (p["protocol"] == "random") & (p["dimension"] == V)]
        own = own[(own["part"] == "test") & ~own["sample_id"].str.startswith("i00")]
        ranks[name] = own.groupby("sample_id")["prediction"].mean().rank()
    goal = mos[ranks["simplevqa"].index].rank()
    a, b = (stats.pearsonr(ranks[name], goal).statistic for name in ("simplevqa", "fastvqa"))
    between = stats.pearsonr(ranks["simplevqa"], ranks["fastvqa"]).statistic
    assert row["value_a"] == pytest.approx(a, abs=1e-12)
    assert row["value_b"] == pytest.approx(b, abs=1e-12)
    assert row["difference"] == pytest.approx(a - b, abs=1e-12)
    assert row["z_steiger"] == pytest.approx(
        compute_steiger(a, b, between, 55, ranks=True)[0], abs=1e-9
    )
    assert row["ci95_low"] < row["difference"] < row["ci95_high"]


def test_overall_is_the_mean_of_the_dimensions(small: Any) -> None:
    rows = run(small).set_index(["protocol", "statistic", "metric_a", "metric_b", "dimension"])
    values = rows["difference"].unstack("dimension")
    np.testing.assert_allclose(values["overall"], (values[A] + values[V]) / 2, atol=1e-12)
    assert rows.xs("overall", level="dimension")["z_steiger"].isna().all()


def test_a_metric_against_itself_has_no_test(small: Any) -> None:
    p = small.predictions
    twin = p[p["metric"] == "fastvqa"].assign(metric="twin")
    small.predictions = pd.concat([p, twin])
    small.metrics.append({**small.metrics[-1], "name": "twin"})
    rows = run(small)
    own = rows[(rows["metric_a"] == "fastvqa") & (rows["metric_b"] == "twin")]
    assert len(own) == 18
    assert (own["difference"] == 0).all()
    assert own["p_holm"].isna().all()
    assert own["detail"].str.startswith("no_spread: ").all()
    assert not own["significant"].any()


def test_an_undefined_metric_says_why(small: Any) -> None:
    small.metrics[0]["kind"] = "zero_shot"  # the constant
    rows = run(small)
    own = rows[(rows["metric_a"] == "constant") & (rows["dimension"] == V)]
    assert own["value_a"].isna().all()
    assert (own["status"] == "failed").all()
    assert own["detail"].str.contains("undefined: constant has no [SPK]RCC|LCC").all()
    assert own["detail"].str.contains("constant_scores: all 60 scores are equal").all()


def test_the_matrix_is_that_of_the_rows(small: Any) -> None:
    p = small.predictions
    worse = p["metric"] == "simplevqa"
    noise = random_generator("worse").normal(0, 40, int(worse.sum()))
    p.loc[worse, "prediction"] += noise
    rows = run(small)
    matrix = significance.significance_matrix(rows, V, "random")
    own = rows[(rows["dimension"] == V) & (rows["protocol"] == "random")]
    own = own[own["statistic"] == "srcc"]
    assert set(matrix.index) == set(matrix.columns) == {"lse_d", "simplevqa", "fastvqa"}
    values = pd.concat(
        [own.set_index(f"metric_{side}")[f"value_{side}"] for side in ("a", "b")]
    ).groupby(level=0).max()  # fmt: skip
    assert list(matrix.index) == list(values.sort_values(ascending=False).index)
    assert np.isnan(np.diag(matrix)).all()
    assert own["significant"].any()
    for row in own.itertuples():
        want = np.sign(row.difference) if row.significant else 0
        assert matrix.loc[row.metric_a, row.metric_b] == want
        assert matrix.loc[row.metric_b, row.metric_a] == -want


def test_without_resamples_there_is_no_row(small: Any) -> None:
    assert run(small, Settings()).empty


def test_rows_do_not_depend_on_the_order(small: Any) -> None:
    want = round_rows(run(small).to_dict("records"))
    small.predictions = small.predictions.sample(frac=1, random_state=1)
    small.mos = small.mos.sample(frac=1, random_state=2)
    small.samples = small.samples.sample(frac=1, random_state=3)
    got = round_rows(run(small).to_dict("records"))
    pd.testing.assert_frame_equal(pd.DataFrame(got), pd.DataFrame(want))


def test_version_is_raised_when_the_numbers_change(small: Any) -> None:
    """Golden rows: an edit that changes them must raise significance.VERSION, and this digest."""
    rows = run(small)
    shown = rows[["value_a", "difference", "ci95_low", "p_steiger", "p_holm"]].map("{:.4f}".format)
    found = digest(shown.to_numpy().tolist())
    assert (significance.VERSION, found[:16]) == (3, "54dec6dc2dc58435")


def test_regressors_are_not_compared_over_all_samples(small: Any) -> None:
    rows = small.predictions[small.predictions["metric"] == "lse_d"].assign(protocol="all")
    twin = rows.assign(metric="lse_twin", prediction=-rows["prediction"])
    small.predictions = pd.concat([small.predictions, rows, twin])
    lse_d = next(metric for metric in small.metrics if metric["name"] == "lse_d")
    small.metrics = [*small.metrics, {**lse_d, "name": "lse_twin"}]
    found = run(small)
    pairs = found.loc[found["protocol"] == "all", ["metric_a", "metric_b"]]
    assert set(pairs.itertuples(index=False, name=None)) == {("lse_d", "lse_twin")}
