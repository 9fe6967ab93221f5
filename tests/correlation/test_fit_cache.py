"""Fits by content: what is fitted again, what a damaged file costs, and that processes change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sfqa.correlation.bootstrap import draw_resampling
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.fits import correlate_with_mapping
from sfqa.correlation.intervals import MetricPoints, compute_video_replicates

MAPPING = "logistic4"


@pytest.fixture(scope="module")
def all_points():
    draw = np.random.default_rng(4)
    mos = draw.uniform(1, 5, 60)
    noisy = [(mos + draw.normal(0, 1, 60), mos) for _ in range(4)]
    # No mapping, no statistic at all, and fewer points than the parameters need.
    return [*noisy, (np.ones(60), mos), (mos[:2], mos[:2]), (noisy[0][0][:6], mos[:6])]


@pytest.mark.parametrize("processes", [1, 3])
def test_fits_are_those_of_a_direct_call_and_equal_points_are_fitted_once(all_points, processes):
    fits = FitCache(processes)
    fits.prepare_fits([*all_points, *all_points], MAPPING)
    fits.prepare_fits(all_points, MAPPING)
    assert fits.computed == len(all_points)
    for prediction, mos in all_points:
        expected = correlate_with_mapping(prediction, mos, MAPPING)
        assert repr(fits.correlate(prediction, mos, MAPPING)) == repr(expected)
    assert fits.computed == len(all_points)


def test_another_mapping_or_one_changed_mos_is_another_fit(all_points):
    fits = FitCache()
    prediction, mos = all_points[0]
    fits.prepare_fits([(prediction, mos)], MAPPING)
    fits.prepare_fits([(prediction, mos)], "cubic")
    changed = mos.copy()
    changed[3] += 0.1
    fits.prepare_fits([(prediction, mos), (prediction, changed)], MAPPING)
    assert fits.computed == 3


def test_a_second_run_computes_only_what_is_new(all_points, tmp_path):
    path = tmp_path / "cache" / "fits.json"
    first = FitCache(path=path, versions=[1])
    first.prepare_fits(all_points[:-1], MAPPING)
    first.save()
    second = FitCache(path=path, versions=[1])
    second.prepare_fits(all_points, MAPPING)
    assert second.computed == 1
    for prediction, mos in all_points:
        stored, computed = (fits.correlate(prediction, mos, MAPPING) for fits in (second, first))
        assert stored[0].status == computed[0].status
        assert repr(stored) == repr(computed)


@pytest.mark.parametrize("damage", ["a digit", "cut", "empty", "versions"])
def test_a_damaged_file_and_other_versions_are_ignored(all_points, tmp_path, damage):
    path = tmp_path / "fits.json"
    fits = FitCache(path=path, versions=[1])
    fits.prepare_fits(all_points[:2], MAPPING)
    fits.save()
    text = path.read_text()
    if damage == "a digit":
        position = text.index('"srcc": 0.') + len('"srcc": 0.')
        path.write_text(text[:position] + str(9 - int(text[position])) + text[position + 1 :])
    elif damage != "versions":
        path.write_text(text[: len(text) // 2 if damage == "cut" else 0])
    again = FitCache(path=path, versions=[2] if damage == "versions" else [1])
    again.prepare_fits(all_points[:2], MAPPING)
    assert again.computed == 2


def test_what_no_table_asks_for_any_more_leaves_the_file(all_points, tmp_path):
    path = tmp_path / "fits.json"
    for points in (all_points[:3], all_points[:1]):
        fits = FitCache(path=path)
        fits.prepare_fits(points, MAPPING)
        fits.save()
    again = FitCache(path=path)
    again.prepare_fits(all_points[:3], MAPPING)
    assert again.computed == 2


def test_replicates_do_not_depend_on_the_number_of_processes():
    import pandas as pd

    draw = np.random.default_rng(7)
    names = [f"s{n:02}" for n in range(40)]
    drawn = draw_resampling(pd.DataFrame({"sample_id": names}), None, 120, grouped=False)
    mos = draw.uniform(1, 5, 40)
    points = []
    for rows in (40, 30):
        for _ in range(14):
            scores = mos[:rows] + draw.normal(0, 1, rows)
            mapping = correlate_with_mapping(scores, mos[:rows], MAPPING)[1]
            columns = {"prediction": scores, "mos": mos[:rows]}
            points.append(MetricPoints(pd.DataFrame(columns, index=names[:rows]), mapping))
    points.append(MetricPoints(points[0].points, None))
    single, several = (compute_video_replicates(points, drawn, count) for count in (1, 3))
    assert several[-1] == {}
    for one_process, three_processes in zip(single[:-1], several[:-1], strict=True):
        assert set(one_process) == {"srcc", "plcc", "krcc"}
        for name, values in one_process.items():
            np.testing.assert_array_equal(values, three_processes[name])
