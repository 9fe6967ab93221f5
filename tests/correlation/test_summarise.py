from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import store, tables
from sfqa.correlation import points, summarise
from sfqa.correlation.bootstrap import compute_interval, compute_replicates, draw_resampling
from sfqa.correlation.fits import correlate
from sfqa.correlation.levels import method_rows
from sfqa.correlation.summarise import (
    Settings,
    correlation_rows,
    pool_points,
    round_rows,
)
from sfqa.errors import UserError
from sfqa.identity import digest
from trials import compute_trial_statistics

V, A = "visual_quality", "av_consistency"


@pytest.fixture
def only(world: Any) -> Any:
    """The world with one metric and two protocols, for speed."""
    world.metrics = [m for m in world.metrics if m["name"] == "simplevqa"]
    p = world.predictions
    world.predictions = p[(p["metric"] == "simplevqa") & (p["protocol"] != "grouped")]
    return world


def run(world: Any, settings: Settings | None = None) -> pd.DataFrame:
    settings = settings or Settings()
    return pd.DataFrame(
        correlation_rows(world.predictions, world.mos, world.samples, world.metrics, settings)
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
        want = np.mean([c[name] for c in each])
        assert got[name] == pytest.approx(want, abs=1e-9)
    assert got["n"] == sum(c.n for c in each) // 3
    trials = compute_trial_statistics(only.predictions, only.mos, only.samples, only.metrics)
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
    assert points.compute_group_means(rows, "s", "x").nunique() == 1


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
    assert len(store.read(tables.CORRELATION, tmp_path / "c.parquet")) == 5 * 3 * 4


def test_points_are_those_of_the_pooled_row(only: Any) -> None:
    found = pool_points(only.predictions, only.mos, only.samples, only.metrics[0], V, "random")
    got = pick(run(only), protocol="random", dimension=V, level="video", pooling="pooled")
    assert correlate(found["prediction"], found["mos"])["srcc"] == got["srcc"]
    none = pool_points(only.predictions, only.mos, only.samples, only.metrics[0], V, "x")
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
    frame = run(world, Settings(bootstrap=50))
    # A note's sentence may be reworded without new numbers; its code may not.
    frame["detail"] = frame["detail"].map(lambda notes: re.findall(r"(?:^|; )(\w+):", notes))
    assert frame["detail"].map(bool).any()
    rows = frame.to_dict("records")
    shown = [
        {k: f"{v:.4f}" if isinstance(v, float) else str(v) for k, v in row.items()} for row in rows
    ]
    found = digest(shown)
    assert (summarise.VERSION, found[:16]) == (4, "b22dbffd3d4bebe4")


def test_median_and_spread_are_those_of_the_trials(only: Any) -> None:
    rows = run(only)
    own = joined(only, "simplevqa", "random", V)
    each = [correlate(t["prediction"], t["mos"]) for _, t in own.groupby("trial")]
    middle = pick(rows, protocol="random", dimension=V, level="video", pooling="median")
    mean = pick(rows, protocol="random", dimension=V, level="video", pooling="mean")
    for name in ("srcc", "plcc", "krcc", "rmse"):
        values = [c[name] for c in each]
        assert middle[name] == pytest.approx(np.median(values), abs=1e-9)
        for row in (middle, mean):
            assert row[f"{name}_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    pooled = pick(rows, protocol="random", dimension=V, level="video", pooling="pooled")
    assert pd.isna(pooled["srcc_sd"])


def test_overall_spread_is_that_of_the_mean_over_dimensions(only: Any) -> None:
    trials = compute_trial_statistics(only.predictions, only.mos, only.samples, only.metrics)
    trials = trials[trials["protocol"] == "random"]
    want = trials.groupby("trial")["srcc"].mean().std(ddof=1)
    got = pick(run(only), protocol="random", dimension="overall", level="video", pooling="mean")
    assert got["srcc_sd"] == pytest.approx(want, abs=1e-12)


def test_main_score_is_ntires(only: Any) -> None:
    rows = run(only)
    want = (rows["srcc"].abs() + rows["plcc"].abs()) / 2
    np.testing.assert_allclose(rows["main_score"], want, atol=1e-15)


def test_the_mapping_asked_for_stands_in_the_rows(only: Any) -> None:
    rows = run(only, Settings(mapping="cubic"))
    assert set(rows["mapping"]) == {"cubic"}
    own = joined(only, "simplevqa", "random", V)
    means = own.groupby("sample_id")[["prediction", "mos"]].mean()
    fit = np.polyval(np.polyfit(means["prediction"], means["mos"], 3), means["prediction"])
    got = pick(rows, protocol="random", dimension=V, level="video", pooling="pooled")
    assert got["plcc"] == pytest.approx(stats.pearsonr(fit, means["mos"]).statistic, abs=1e-9)


def test_an_unknown_word_of_the_settings_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"correlation\.mapping: no mapping 'logistics4'"):
        Settings(mapping="logistics4")
    with pytest.raises(UserError, match=r"correlation\.interval: no interval 'normal'"):
        Settings(interval="normal")


@pytest.fixture
def grouped(world: Any) -> Any:
    p = world.predictions
    world.predictions = p[
        p["metric"].isin(["simplevqa", "constant"]) & (p["protocol"] != "leave_one_method_out")
    ]
    world.metrics = [m for m in world.metrics if m["name"] in ("simplevqa", "constant")]
    world.samples["image_id"] = world.samples["sample_id"].str.split("__").str[0]
    return world


WITH = Settings(bootstrap=200, groups={"grouped": ["image"]})


def test_intervals_are_those_of_the_points(grouped: Any) -> None:
    rows = run(grouped, WITH)
    for protocol, units in (("grouped", "12 image groups"), ("random", "60 samples")):
        metric = grouped.metrics[1]
        points = pool_points(grouped.predictions, grouped.mos, grouped.samples, metric, V, protocol)
        drawn = draw_resampling(grouped.samples, ["image"], 200, grouped=protocol == "grouped")
        x, y = points["prediction"].to_numpy(), points["mos"].to_numpy()
        made = compute_replicates(
            x[:, None],
            x[:, None],
            y,
            drawn.get_cells(list(points.index)),
            drawn.weights,
            ("srcc", "krcc"),
        )
        got = pick(
            rows,
            metric="simplevqa",
            protocol=protocol,
            dimension=V,
            level="video",
            pooling="pooled",
        )
        for name in ("srcc", "krcc"):
            cells = 12 if protocol == "grouped" else 60
            want = compute_interval(made[name][0], got[name], drawn, cells=cells)
            assert (got[f"{name}_low"], got[f"{name}_high"]) == (want.low, want.high)
        assert got["interval"] == f"percentile of 200 resamples of {units}"


def test_intervals_of_every_level_and_pooling_hold_the_statistic(grouped: Any) -> None:
    rows = run(grouped, WITH)
    own = rows[rows["metric"] == "simplevqa"]
    assert len(own) == 2 * 4 * 3
    for name in ("srcc", "plcc", "krcc"):
        # Four parameters fit five methods too well: PLCC at level model lies above its interval.
        sure = own if name != "plcc" else own[own["level"] == "video"]
        assert (sure[f"{name}_low"] <= sure[name]).all()
        assert (sure[name] <= sure[f"{name}_high"]).all()
    video = own[(own["level"] == "video") & (own["dimension"] == V)]
    assert (video["srcc_high"] - video["srcc_low"]).between(0.02, 0.5).all()
    # The mean of two dimensions is surer than either.
    width = (own["srcc_high"] - own["srcc_low"]).groupby(own["dimension"]).mean()
    assert width["overall"] < min(width[V], width[A])


def test_no_interval_has_its_reason(grouped: Any) -> None:
    assert set(run(grouped)["interval"]) == {"none: not asked for"}
    rows = run(grouped, WITH)
    constant = rows[rows["metric"] == "constant"]
    assert constant[["srcc_low", "plcc_high", "krcc_low"]].isna().all(axis=None)
    assert set(constant["interval"]) == {"none: the statistic is undefined"}


def test_intervals_change_no_statistic(grouped: Any) -> None:
    plain, more = run(grouped), run(grouped, WITH)
    shared = [name for name in plain if not name.endswith(("_low", "_high")) and name != "interval"]
    pd.testing.assert_frame_equal(plain[shared], more[shared])


def test_rows_are_the_same_each_time_whatever_the_order(grouped: Any) -> None:
    want = round_rows(run(grouped, WITH).to_dict("records"))
    grouped.predictions = grouped.predictions.sample(frac=1, random_state=1)
    grouped.samples = grouped.samples.sample(frac=1, random_state=2)
    got = round_rows(run(grouped, WITH).to_dict("records"))
    pd.testing.assert_frame_equal(pd.DataFrame(got), pd.DataFrame(want))


def test_by_method_are_the_statistics_of_its_videos(grouped: Any, tmp_path: Path) -> None:
    given = (grouped.predictions, grouped.mos, grouped.samples, grouped.metrics, WITH)
    rows = method_rows(*given)
    store.write(tables.CORRELATION_BY_METHOD, round_rows(rows), tmp_path / "m.parquet")
    frame = pd.DataFrame(rows)
    assert len(frame) == 2 * 2 * 2 * 5
    own = joined(grouped, "simplevqa", "random", V)
    for method, part in own.groupby("method"):
        means = part.groupby("sample_id")[["prediction", "mos"]].mean()
        got = pick(frame, metric="simplevqa", protocol="random", dimension=V, method=method)
        want = stats.spearmanr(means["prediction"], means["mos"]).statistic
        assert got["srcc"] == pytest.approx(want, abs=1e-12)
        assert got["n"] == 12
        assert got["srcc_low"] <= got["srcc"] <= got["srcc_high"]
    assert set(frame[frame["metric"] == "constant"]["status"]) == {"failed"}


def test_knowing_the_method_alone_is_seen_by_method(world: Any) -> None:
    """A score that is the method's level, and no more: model level 1, nothing inside a method."""
    p = world.predictions
    p = p[(p["metric"] == "simplevqa") & (p["protocol"] == "random")].copy()
    level = world.samples.set_index("sample_id")["method"].map(
        dict(zip(("sonic", "float", "sharp", "memo", "sad"), (70, 60, 50, 40, 30), strict=True))
    )
    noise = np.random.default_rng(1).normal(0, 0.1, len(p))
    world.predictions = p.assign(prediction=p["sample_id"].map(level) + noise)
    world.metrics = world.metrics[3:4]
    rows = run(world)
    assert pick(rows, dimension=V, level="model")["srcc"] == pytest.approx(1)
    assert pick(rows, dimension=V, level="video", pooling="pooled")["srcc"] > 0.7
    given = (world.predictions, world.mos, world.samples, world.metrics)
    inside = pd.DataFrame(method_rows(*given))
    assert inside["srcc"].abs().mean() < 0.4


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
    # The methods' mean MOS: 4.577 for sad, 1.911 for wavlip (algorithms.md, section 7).
    by_method = mos.set_index("sample_id")["mos"].groupby(samples.set_index("sample_id")["method"])
    assert by_method.mean()[["sad", "wavlip"]].to_list() == pytest.approx([4.577, 1.911], abs=1e-3)
