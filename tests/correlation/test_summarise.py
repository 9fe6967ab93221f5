from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import store, tables
from sfqa.correlation import summarise
from sfqa.correlation.fits import correlate
from sfqa.correlation.summarise import correlation_rows, pooled_points, trial_table
from sfqa.errors import UserError
from sfqa.identity import digest

V, A = "visual_quality", "av_consistency"


@pytest.fixture
def only(world: Any) -> Any:
    """The world with one metric and two protocols, for speed."""
    world.metrics = [m for m in world.metrics if m["name"] == "simplevqa"]
    p = world.predictions
    world.predictions = p[(p["metric"] == "simplevqa") & (p["protocol"] != "grouped")]
    return world


def run(world: Any) -> pd.DataFrame:
    return pd.DataFrame(
        correlation_rows(world.predictions, world.mos, world.samples, world.metrics)
    )


def pick(frame: pd.DataFrame, **which: str) -> pd.Series:
    for key, value in which.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def joined(world: Any, metric: str, protocol: str, dimension: str) -> pd.DataFrame:
    p = world.predictions
    p = p[(p["metric"] == metric) & (p["protocol"] == protocol) & (p["dimension"] == dimension)]
    mos = world.mos[world.mos["dimension"] == dimension].set_index("sample_id")["mos"]
    method = world.samples.set_index("sample_id")["method"]
    p = p[p["part"] == "test"]
    return p.assign(mos=p["sample_id"].map(mos), method=p["sample_id"].map(method))


def test_pooled_averages_the_trials_of_a_sample_first(only: Any) -> None:
    rows = run(only)
    own = joined(only, "simplevqa", "random", V)
    assert own["sample_id"].duplicated().any()
    by_sample = own.groupby("sample_id")[["prediction", "mos"]].mean()
    want = stats.spearmanr(by_sample["prediction"], by_sample["mos"]).statistic
    got = pick(rows, protocol="random", dimension=V, level="video", pooling="pooled")
    assert got["srcc"] == pytest.approx(want, abs=1e-12)
    assert got["n"] == len(by_sample) < len(own)
    assert got["trials"] == 3


def test_mean_is_the_mean_of_the_trials(only: Any) -> None:
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="mean")
    own = joined(only, "simplevqa", "random", V)
    each = [correlate(t["prediction"], t["mos"]) for _, t in own.groupby("trial")]
    for name in ("srcc", "plcc", "krcc", "rmse"):
        want = np.mean([getattr(c, name) for c in each])
        assert got[name] == pytest.approx(want, abs=1e-9)
    assert got["n"] == sum(c.n for c in each) // 3
    trials = trial_table(only.predictions, only.mos, only.samples, only.metrics)
    trials = trials[(trials["protocol"] == "random") & (trials["dimension"] == V)]
    assert trials["srcc"].mean() == pytest.approx(got["srcc"], abs=1e-12)
    assert list(trials["trial"]) == [0, 1, 2]


def test_model_level_is_the_means_of_the_methods(only: Any) -> None:
    got = pick(run(only), protocol="random", dimension=V, level="model")
    own = joined(only, "simplevqa", "random", V)
    samples = own.groupby(["method", "sample_id"])[["prediction", "mos"]].mean()
    means = samples.groupby("method").mean()
    assert got["n"] == 5
    assert got["srcc"] == pytest.approx(
        stats.spearmanr(means["prediction"], means["mos"]).statistic, abs=1e-12
    )
    assert got["detail"].startswith("few_points: ")


def test_overall_is_the_plain_mean_over_dimensions(only: Any) -> None:
    rows = run(only)
    for level, pooling in (("video", "pooled"), ("video", "mean"), ("model", "pooled")):
        own = rows[
            (rows["protocol"] == "random") & (rows["level"] == level) & (rows["pooling"] == pooling)
        ].set_index("dimension")
        for name in ("srcc", "plcc", "krcc"):
            want = (own.loc[V, name] + own.loc[A, name]) / 2
            assert own.loc["overall", name] == pytest.approx(want, abs=1e-15)


def test_one_dimension_has_no_overall(only: Any) -> None:
    only.predictions = only.predictions[only.predictions["dimension"] == V]
    assert set(run(only)["dimension"]) == {V}


def test_only_test_rows_count(only: Any) -> None:
    want = run(only)
    other = only.predictions["part"] != "test"
    assert other.any()
    only.predictions.loc[other, "prediction"] = -1e9
    pd.testing.assert_frame_equal(run(only), want)


def test_row_order_changes_nothing(only: Any) -> None:
    want = run(only)
    only.predictions = only.predictions.sample(frac=1, random_state=1)
    only.mos = only.mos.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(run(only), want)


def test_direction_flips_the_sign_of_ranks_only(only: Any) -> None:
    want = run(only).set_index(["protocol", "level", "pooling", "dimension"])
    only.predictions = only.predictions.assign(prediction=-only.predictions["prediction"])
    bad = run(only).set_index(want.index.names)
    assert bad["srcc"].to_numpy() == pytest.approx(-want["srcc"].to_numpy(), abs=1e-12)
    only.metrics[0]["direction"] = -1
    good = run(only).set_index(want.index.names)
    for name in ("srcc", "krcc", "plcc"):
        assert good[name].to_numpy() == pytest.approx(want[name].to_numpy(), abs=1e-9)


def test_failed_predictions_are_dropped_and_counted(only: Any) -> None:
    p = only.predictions.reset_index(drop=True)
    here = p[(p["protocol"] == "random") & (p["dimension"] == V) & (p["part"] == "test")]
    gone = here.index[here["trial"] == 0][:3]
    p.loc[gone, "prediction"] = np.nan
    p.loc[gone, "status"] = "failed"
    p.loc[gone[:2], "detail"] = "no_face: none in 8 frames"
    p.loc[gone[2:], "detail"] = "silent: peak -80 dB"
    only.predictions = p
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="pooled")
    note = f"dropped: 3 of {len(here)} test rows have no score (no_face 2, silent 1)"
    assert got["detail"] == note
    assert got["status"] == "flawed"
    kept = joined(only, "simplevqa", "random", V).dropna(subset="prediction")
    means = kept.groupby("sample_id")[["prediction", "mos"]].mean()
    assert got["srcc"] == pytest.approx(
        stats.spearmanr(means["prediction"], means["mos"]).statistic, abs=1e-12
    )
    fine = pick(run(only), protocol="random", dimension=A, level="video", pooling="pooled")
    assert fine["status"] == "ok"
    overall = pick(
        run(only), protocol="random", dimension="overall", level="video", pooling="pooled"
    )
    assert overall["detail"] == f"flawed_dimension: see {V}"


def test_samples_without_mos_are_counted(only: Any) -> None:
    lost = only.samples["sample_id"].iloc[0]
    row = (only.mos["sample_id"] == lost) & (only.mos["dimension"] == V)
    only.mos.loc[row, "mos"] = np.nan
    only.mos.loc[row, "status"] = "failed"
    only.mos.loc[row, "detail"] = "no_rating: nobody rated it"
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="pooled")
    assert got["detail"].startswith("no_mos: ")
    assert got["n"] == 59


def test_an_undefined_trial_is_left_out_and_said(only: Any) -> None:
    p = only.predictions.reset_index(drop=True)
    one = (p["protocol"] == "random") & (p["dimension"] == V) & (p["trial"] == 1)
    p.loc[one, "prediction"] = 4.0
    only.predictions = p
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="mean")
    own = joined(only, "simplevqa", "random", V)
    kept = [
        stats.spearmanr(t["prediction"], t["mos"])[0] for n, t in own.groupby("trial") if n != 1
    ]
    assert got["srcc"] == pytest.approx(np.mean(kept), abs=1e-12)
    assert got["status"] == "flawed"
    assert got["detail"].startswith("constant_scores: in 1 of 3 trials")
    assert got["mapping"] == (
        "logistic-4 in 2 of 3 trials; mean (constant scores) in 1 of 3 trials"
    )


def test_a_constant_stays_constant_through_averaging(world: Any) -> None:
    p = world.predictions
    world.predictions = p[(p["metric"] == "constant") & (p["protocol"] == "random")]
    world.metrics = world.metrics[:1]
    rows = run(world)
    assert rows["srcc"].isna().all()
    assert set(rows["status"]) == {"failed"}
    assert rows["detail"].str.len().gt(0).all()
    overall = rows[rows["dimension"] == "overall"]
    assert overall["detail"].str.startswith("undefined: no SRCC, PLCC, KRCC in").all()


def test_equal_predictions_keep_their_ties_through_averaging() -> None:
    # .1 + .1 + .1 is not .3: a plain mean over three trials would break the tie with two trials.
    rows = pd.DataFrame({"s": ["a"] * 3 + ["b"] * 2, "x": [0.1] * 5})
    assert rows.groupby("s")["x"].apply(lambda x: sum(x) / len(x)).nunique() == 2
    assert summarise._means(rows, "s", "x").nunique() == 1


def test_a_metric_without_rows_stays_in_the_table(only: Any) -> None:
    only.metrics.append({**only.metrics[0], "name": "lost"})
    rows = run(only)
    lost = rows[rows["metric"] == "lost"]
    assert set(lost["protocol"]) == {"random", "leave_one_method_out"}
    assert set(lost[lost["dimension"] == V]["detail"]) == {
        "no_predictions: this metric has no test row in this dimension"
    }
    assert set(lost["status"]) == {"failed"}


def test_synthetic_mos_are_marked(only: Any) -> None:
    only.mos["synthetic"] = only.mos["dimension"] == V
    marked = run(only).groupby("dimension")["synthetic_mos"].unique()
    assert marked.map(list).to_dict() == {V: [True], A: [False], "overall": [True]}


def test_rows_fit_the_table(world: Any, tmp_path: Path) -> None:
    p = world.predictions
    world.predictions = p[p["protocol"] == "grouped"]
    rows = correlation_rows(world.predictions, world.mos, world.samples, world.metrics)
    store.write(tables.CORRELATION, rows, tmp_path / "c.parquet")
    assert len(store.read(tables.CORRELATION, tmp_path / "c.parquet")) == 5 * 3 * 3


def test_points_are_those_of_the_pooled_row(only: Any) -> None:
    found = pooled_points(only.predictions, only.mos, only.samples, only.metrics[0], V, "random")
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="pooled")
    assert correlate(found["prediction"], found["mos"]).srcc == got["srcc"]
    none = pooled_points(only.predictions, only.mos, only.samples, only.metrics[0], V, "x")
    assert none.empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.metrics.clear(), "'simplevqa' is not in the list of metrics"),
        (lambda w: w.metrics.append(w.metrics[0]), "is there twice"),
        (lambda w: w.metrics[0].update(direction=2), "write one of 1, -1"),
        (lambda w: w.metrics[0].pop("group"), "'group' is missing"),
        (lambda w: setattr(w, "samples", w.samples[:0]), "not in the table of samples"),
        (lambda w: w.predictions.__setitem__("part", "train"), "none of .* has part 'test'"),
    ],
)
def test_mistakes_are_sentences(only: Any, change: Any, message: str) -> None:
    only.predictions = only.predictions.copy()
    with pytest.raises(UserError, match=message):
        change(only)
        run(only)


def test_version_is_raised_when_the_numbers_change(world: Any) -> None:
    """Golden rows: an edit that changes them must raise summarise.VERSION, and this digest."""
    p = world.predictions
    world.predictions = p[p["protocol"] == "random"]
    rows = run(world)
    for name in ("srcc", "plcc", "krcc", "rmse"):
        rows[name] = rows[name].map(lambda v: "none" if pd.isna(v) else f"{v:.4f}")
    found = digest([{k: str(v) for k, v in row.items()} for row in rows.to_dict("records")])
    assert (summarise.VERSION, found[:16]) == (2, "c411d816cbb3d122")


@pytest.mark.shared
def test_known_numbers_of_thqa(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "thqa" / "features_and_mos.csv")
    names = {"clipiqa+": 0.512, "musiq-koniq": 0.493, "qalign": 0.432, "distance": -0.137}
    names["confi"] = 0.006
    predictions = pd.concat(
        pd.DataFrame(
            {
                "metric": name,
                "dimension": "quality",
                "protocol": "all",
                "trial": 0,
                "sample_id": frame["Image"],
                "part": "test",
                "prediction": frame[name],
                "status": "ok",
                "detail": "",
            }
        )
        for name in names
    )
    mos = pd.DataFrame(
        {
            "sample_id": frame["Image"],
            "dimension": "quality",
            "mos": frame["Score"],
            "synthetic": False,
            "status": "ok",
            "detail": "",
        }
    )
    samples = pd.DataFrame(
        {"sample_id": frame["Image"], "method": frame["Image"].str.split("_").str[-1]}
    )
    metrics = [
        {"name": n, "group": "g", "kind": "imported", "direction": 1, "weights": "official"}
        for n in names
    ]
    rows = pd.DataFrame(correlation_rows(predictions, mos, samples, metrics))
    video = rows[(rows["level"] == "video") & (rows["pooling"] == "pooled")].set_index("metric")
    for name, want in names.items():
        assert video.loc[name, "srcc"] == pytest.approx(want, abs=1e-3)
        assert video.loc[name, "n"] == 800
    assert set(rows[rows["level"] == "model"]["n"]) == {8}
