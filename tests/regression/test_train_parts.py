"""A metric that several jobs fit: the same numbers as from one job, and nothing is fitted twice."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from rated_features import make_rated_features
from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.train import train_metric, train_part

PROTOCOLS = [
    {"name": "grouped", "kind": "group_kfold", "groups": ["image"], "k": 3},
    {"name": "random", "kind": "random_kfold", "k": 2},
]
MLP = {"name": "m", "head": "mlp", "options": {"epochs": 2, "hidden": [4]}}
FOREST = {"name": "f", "head": "random_forest", "options": {"trees": 2}}
RIDGE = {"name": "r", "head": "ridge", "options": {}}
#: Five trials of two dimensions.
FITS = 10


@pytest.fixture
def rated():
    return make_rated_features()


class KilledError(Exception):
    pass


def refuse_to_fit(*_):
    raise AssertionError("a fit was repeated")


@pytest.mark.parametrize("metric", [MLP, FOREST], ids=["mlp", "random_forest"])
def test_parts_at_a_time_give_the_numbers_of_one_job(metric, rated, tmp_path, monkeypatch):
    expected = train_metric(metric, rated, PROTOCOLS, 0, tmp_path / "one")
    work = tmp_path / "parts"
    with multiprocessing.get_context("fork").Pool(3) as processes:
        arguments = [(metric, rated, PROTOCOLS, 0, work, part, 3) for part in range(3)]
        parts = processes.starmap(train_part, arguments)
    assert [len(part) for part in parts] == [4, 3, 3]
    fits = [fit for part in parts for fit in part]
    assert len({fit["digest"] for fit in fits}) == len({fit["label"] for fit in fits}) == FITS
    assert {path.stem for path in work.glob("*.npz")} == {fit["digest"] for fit in fits}
    curves = {
        folder.name: {path.name: path.read_bytes() for path in folder.glob("curves/*.csv")}
        for folder in (tmp_path / "one", work)
    }
    assert curves["one"] == curves["parts"]
    assert len(curves["one"]) == (FITS if metric is MLP else 0)
    monkeypatch.setattr(heads, "fit_and_predict", refuse_to_fit)
    assert train_metric(metric, rated, PROTOCOLS, 0, work) == expected
    # Another number of jobs reads the same fits.
    again = [train_part(metric, rated, PROTOCOLS, 0, work, part, 2) for part in range(2)]
    assert sorted(fit["digest"] for part in again for fit in part) == sorted(
        fit["digest"] for fit in fits
    )


def test_what_a_part_has_not_fitted_is_fitted_afterwards(rated, tmp_path):
    expected = train_metric(FOREST, rated, PROTOCOLS, 0, tmp_path / "one")
    fits = train_part(FOREST, rated, PROTOCOLS, 0, tmp_path / "parts", 1, 4)
    (tmp_path / "parts" / f"{fits[0]['digest']}.npz").write_bytes(b"damaged")
    assert train_metric(FOREST, rated, PROTOCOLS, 0, tmp_path / "parts") == expected


def test_a_killed_part_resumes_with_the_fit_it_was_at(rated, tmp_path, monkeypatch):
    expected = train_metric(FOREST, rated, PROTOCOLS, 0, tmp_path / "one")
    work, labels = tmp_path / "parts", []
    original = heads.fit_and_predict

    def fit(name, x, problems, *rest):
        labels.extend(problem.label for problem in problems)
        if len(labels) == 3:
            raise KilledError
        return original(name, x, problems, *rest)

    monkeypatch.setattr(heads, "fit_and_predict", fit)
    with pytest.raises(KilledError):
        train_part(FOREST, rated, PROTOCOLS, 0, work, 0, 2)
    for part in (1, 0):
        train_part(FOREST, rated, PROTOCOLS, 0, work, part, 2)
    assert len(labels) == FITS + 1
    assert labels[2] == labels[8]
    assert not list(work.glob("*.work"))
    monkeypatch.setattr(heads, "fit_and_predict", refuse_to_fit)
    assert train_metric(FOREST, rated, PROTOCOLS, 0, work) == expected


def test_a_failed_fit_is_named_and_not_repeated(rated, tmp_path, monkeypatch):
    original = heads.fit_and_predict

    def fail_first(name, x, problems, *rest):
        predictions, reasons = original(name, x, problems, *rest)
        predictions[0] = np.nan
        return predictions, ["diverged: no epoch gave finite predictions", *reasons[1:]]

    monkeypatch.setattr(heads, "fit_and_predict", fail_first)
    fits = train_part(RIDGE, rated, PROTOCOLS, 0, tmp_path, 0, 1)
    assert [bool(fit["detail"]) for fit in fits] == [True] + [False] * (FITS - 1)
    monkeypatch.setattr(heads, "fit_and_predict", refuse_to_fit)
    rows = train_metric(RIDGE, rated, PROTOCOLS, 0, tmp_path)
    failed = {row["detail"] for row in rows if row["status"] == "failed"}
    assert failed == {"diverged: no epoch gave finite predictions"}


def test_a_part_beyond_the_jobs_is_refused(rated, tmp_path):
    with pytest.raises(UserError, match="metric f: part 3; write a number from 0 to 2"):
        train_part(FOREST, rated, PROTOCOLS, 0, tmp_path, 3, 3)
