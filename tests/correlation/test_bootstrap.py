"""Intervals: every replicate is what scipy says of the drawn rows, and the intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa.correlation import bootstrap
from sfqa.correlation.bootstrap import compute_interval, draw_resampling, protocol_groups
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.statistics import resampled

SCIPY = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


def table(n: int, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": [f"s{k:04d}" for k in range(n)], **columns})


def data(n: int, m: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores of m metrics, every second with many ties, and MOS with some."""
    draw = random_generator("bootstrap data", n)
    y = np.round(draw.normal(50, 15, n), 1)
    x = y[:, None] + draw.normal(0, 20, (n, m))
    x[:, 1::2] = np.round(x[:, 1::2] / 20)
    return x, y


def drawn_rows(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts.astype(int))


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("n", [7, 150])
def test_every_replicate_is_scipys_of_the_drawn_rows(name: str, n: int) -> None:
    x, y = data(n)
    made = draw_resampling(table(n), None, 150, grouped=False)  # more than one block of resamples
    cells = made.get_cells(list(table(n)["sample_id"]))
    got = bootstrap.compute_replicates(x, x, y, cells, made.weights, (name,))[name]
    assert got.shape == (4, 150)
    for k in range(150):
        rows = drawn_rows(made.counts[cells, k])
        assert len(rows) == n
        for m in range(4):
            constant = np.ptp(x[rows, m]) == 0 or np.ptp(y[rows]) == 0
            want = np.nan if constant else SCIPY[name](x[rows, m], y[rows]).statistic
            assert got[m, k] == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_many_metrics_and_many_rows_go_in_parts_with_the_same_result() -> None:
    x, y = data(3000, 110)
    made = draw_resampling(table(3000), None, 140, grouped=False)
    got = resampled.srcc(x, y, made.counts)
    for k in (0, 139):
        rows = drawn_rows(made.counts[:, k])
        for m in (0, 1, 95, 96, 108, 109):
            want = stats.spearmanr(x[rows, m], y[rows]).statistic
            assert got[m, k] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("groups", [["image"], ["image", "clip"]])
def test_every_replicate_of_groups_is_scipys_of_the_drawn_rows(
    name: str, groups: list[str]
) -> None:
    n = 120
    x, y = data(n)
    labels = table(
        n,
        image_id=[f"i{k % 12}" for k in range(n)],
        clip_id=[f"c{k // 12 % 5}" for k in range(n)],
    )
    made = draw_resampling(labels, groups, 60)
    cells = made.get_cells(list(labels["sample_id"]))
    assert len(made.counts) == (12 if len(groups) == 1 else 60)
    got = bootstrap.compute_replicates(x, x, y, cells, made.weights, (name,))[name]
    for k in range(60):
        rows = drawn_rows(made.counts[cells, k])
        for m in range(4):
            want = SCIPY[name](x[rows, m], y[rows]).statistic
            assert got[m, k] == pytest.approx(want, abs=1e-12)


def test_groups_are_drawn_whole_and_crossed_ones_by_themselves() -> None:
    n = 60
    labels = table(
        n, image_id=[f"i{k % 6}" for k in range(n)], clip_id=[f"c{k // 6 % 10}" for k in range(n)]
    )
    one = draw_resampling(labels, ["image"], 50)
    assert one.units == "6 image groups"
    assert (one.counts.sum(axis=0) == 6).all()
    both = draw_resampling(labels, None, 50)
    assert both.units == "6 image x 10 clip groups"
    assert both.drawn == 6
    counts = both.counts.reshape(6, 10, 50)
    # A cell's count is the product of its image's and its clip's: rank one, in all of 60 samples.
    for k in range(50):
        assert np.linalg.matrix_rank(counts[:, :, k]) == 1
        assert counts[:, :, k].sum() == 60


def test_nested_groups_are_one() -> None:
    labels = table(
        12, image_id=[f"i{k // 4}" for k in range(12)], clip_id=[f"c{k // 2}" for k in range(12)]
    )
    assert draw_resampling(labels, None, 5).units == "3 image+clip groups"


def test_columns_of_any_name_can_be_groups() -> None:
    labels = table(
        12, portrait=[f"i{k // 4}" for k in range(12)], song=[f"c{k % 4}" for k in range(12)]
    )
    assert draw_resampling(labels, ["portrait"], 5).units == "3 portrait groups"
    assert draw_resampling(labels, ["portrait", "song"], 5).units == "3 portrait x 4 song groups"


def test_samples_without_a_group_are_drawn_one_by_one_and_it_is_said() -> None:
    made = draw_resampling(table(9), ["image"], 5)
    assert made.units == "9 samples (the groups are not known)"
    assert made.counts.shape == (9, 5)


def test_draws_depend_on_names_and_seed_alone() -> None:
    labels = table(30, image_id=[f"i{k % 7}" for k in range(30)])
    made = draw_resampling(labels, ["image"], 20, seed=3)
    shuffled = draw_resampling(labels.sample(frac=1, random_state=1), ["image"], 20, seed=3)
    names = list(labels["sample_id"])
    for other in (draw_resampling(labels, ["image"], 20, seed=3), shuffled):
        same = made.counts[made.get_cells(names)] == other.counts[other.get_cells(names)]
        assert same.all()
    assert (draw_resampling(labels, ["image"], 20, seed=4).counts != made.counts).any()


def test_only_protocols_that_keep_groups_apart_are_grouped() -> None:
    protocols = [
        {"name": "a", "kind": "fixed"},
        {"name": "b", "kind": "group_kfold", "groups": ["clip"]},
        {"name": "c", "kind": "random_kfold"},
        {"name": "d", "kind": "leave_one_method_out"},
    ]
    assert protocol_groups(protocols) == {"a": None, "b": ["clip"]}


#: What the statistics of two normals of correlation rho are (Kendall, 1949; Moran, 1948).
TRUTH = {
    "plcc": lambda rho: rho,
    "srcc": lambda rho: 6 / np.pi * np.arcsin(rho / 2),
    "krcc": lambda rho: 2 / np.pi * np.arcsin(rho),
}


def coverage(
    kind: str, names: tuple[str, ...], n: int, simulations: int, rho: float = 0.6
) -> dict[str, float]:
    """The share of simulations whose interval holds the true value."""
    draw = random_generator("coverage of intervals", n)
    inside = dict.fromkeys(names, 0)
    for number in range(simulations):
        if number % 20 == 0:
            made = draw_resampling(table(n), None, 400, number, kind, grouped=False)
            weights = np.hstack([made.weights, np.ones((n, 1))])
        y = draw.normal(size=n)
        x = (rho * y + np.sqrt(1 - rho**2) * draw.normal(size=n))[:, None]
        got = bootstrap.compute_replicates(x, x, y, np.arange(n), weights, names)
        for name, (values,) in got.items():
            found = compute_interval(values[:-1], float(values[-1]), made, kind)
            assert found.low is not None
            assert found.high is not None
            inside[name] += found.low <= TRUTH[name](rho) <= found.high
    return {name: count / simulations for name, count in inside.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", bootstrap.KINDS)
def test_intervals_cover_the_true_value_in_95_percent(kind: str) -> None:
    # With 2,000 simulations the share has a standard error of .5 %.
    for name, share in coverage(kind, ("srcc", "plcc"), 200, 2000).items():
        assert share == pytest.approx(0.95, abs=0.015), name


def test_intervals_of_kendall_cover_the_true_value_too() -> None:
    # Standard error 1 %.
    assert coverage("percentile", ("krcc",), 40, 500)["krcc"] == pytest.approx(0.95, abs=0.03)


@pytest.mark.thorough
def test_where_samples_share_a_group_only_the_cluster_bootstrap_covers() -> None:
    """Of 40 portraits with 8 videos each, most of what moves the scores is the portrait."""
    groups, size, rho, simulations = 40, 8, 0.5, 200
    n = groups * size
    labels = table(n, image_id=[f"i{k // size:02d}" for k in range(n)])
    draw = random_generator("clusters")
    inside = {True: 0, False: 0}
    mixed = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
    for number in range(simulations):
        shared = np.repeat(draw.normal(size=(groups, 2)), size, axis=0)
        y, x = mixed @ (np.sqrt(0.8) * shared + np.sqrt(0.2) * draw.normal(size=(n, 2))).T
        for grouped in inside:
            made = draw_resampling(labels, ["image"], 300, number, grouped=grouped)
            cells = made.get_cells(list(labels["sample_id"]))
            (values,) = bootstrap.compute_replicates(
                x[:, None], x[:, None], y, cells, made.weights, ("plcc",)
            )["plcc"]
            found = compute_interval(values, 0.5, made)
            inside[grouped] += (found.low or 1) <= rho <= (found.high or -1)
    assert inside[True] / simulations > 0.90
    assert inside[False] / simulations < 0.75


def test_bca_is_scipys() -> None:
    """Against scipy's own bootstrap: the same method on other draws."""
    n = 60
    x, y = data(n, 1)
    made = draw_resampling(table(n), None, 20000, kind="bca", grouped=False)
    (values,) = bootstrap.compute_replicates(x, x, y, np.arange(n), made.weights, ("plcc",))["plcc"]
    found = compute_interval(values, float(stats.pearsonr(x[:, 0], y).statistic), made, "bca")
    want = stats.bootstrap(
        (x[:, 0], y),
        lambda a, b, axis: resampled.pearson(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)),
        paired=True,
        n_resamples=20000,
        rng=random_generator("scipy"),
        method="BCa",
    ).confidence_interval
    assert found.low == pytest.approx(want.low, abs=0.004)
    assert found.high == pytest.approx(want.high, abs=0.004)
    plain = compute_interval(values, float(stats.pearsonr(x[:, 0], y).statistic), made)
    assert abs((plain.low or 0) - want.low) > 0.004


@pytest.mark.parametrize(
    ("groups", "values", "how"),
    [
        (3, np.linspace(0, 1, 200), "none: 3 image groups where at least 5 are needed"),
        (9, np.full(200, np.nan), "none: defined in 0 of 200 resamples of 9 image groups"),
        (
            9,
            np.where(np.arange(200) < 90, 0.5, np.nan),
            "none: defined in 90 of 200 resamples of 9 image groups",
        ),
    ],
)
def test_no_interval_has_a_reason(groups: int, values: np.ndarray, how: str) -> None:
    labels = table(18, image_id=[f"i{k % groups}" for k in range(18)])
    found = compute_interval(values, 0.5, draw_resampling(labels, ["image"], 200))
    assert (found.low, found.high, found.how) == (None, None, how)


def test_an_undefined_statistic_has_no_interval() -> None:
    made = draw_resampling(table(9), None, 10, grouped=False)
    assert compute_interval(np.ones(10), None, made).how == "none: the statistic is undefined"


def test_an_unknown_kind_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no interval 'bcaa'; did you mean 'bca'"):
        bootstrap.check_interval_kind("bcaa", "--interval")
