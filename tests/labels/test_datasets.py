"""Every configuration of a published dataset, on a small made folder of its exact shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

from published_datasets import MAKERS, PROMPTS, make_folder
from sfqa.generation.importing import list_videos
from sfqa.labels.joining import has_ratings
from sfqa.labels.scores import read_mos, read_ratings

DATASETS = Path(__file__).parents[2] / "config" / "datasets"


def read_source(name: str, folder: Path) -> dict[str, Any]:
    """Return the section ``import`` of a dataset's configuration, for another folder."""
    config = yaml.safe_load((DATASETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return {**config["import"], "folder": str(folder)}


def test_every_configuration_has_a_made_folder() -> None:
    assert sorted(MAKERS) == sorted(path.stem for path in DATASETS.glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_samples_and_scores_are_the_published_ones(name: str, tmp_path: Path) -> None:
    made = {one.path: one for one in make_folder(name, tmp_path)}
    source = read_source(name, tmp_path)
    samples = {
        str(Path(row["source_path"]).relative_to(tmp_path)): row for row in list_videos(source, 3)
    }
    assert samples.keys() == made.keys()
    for path, one in made.items():
        for column, value in one.columns.items():
            assert samples[path][column] == value, (path, column)
    path_of_id = {row["sample_id"]: path for path, row in samples.items()}
    ratings = {
        (path_of_id[row["sample_id"]], row["rater"], row["dimension"]): row["score"]
        for row in read_ratings(source, path_of_id)
    }
    assert ratings == {(p, *key): v for p, one in made.items() for key, v in one.ratings.items()}
    assert has_ratings(source) == bool(ratings)
    rows = read_mos(source, path_of_id)
    dimensions = {dimension for one in made.values() for dimension in one.mos}
    assert len(rows) == len(made) * len(dimensions)
    for row in rows:
        one = made[path_of_id[row["sample_id"]]]
        assert row["mos"] == one.mos[row["dimension"]]
        if row["mos"] is None:
            assert row["status"] == "failed"
            assert row["detail"].startswith("no_mos: ")
            continue
        assert (row["status"], row["detail"]) == ("ok", "")
        sd = one.sd.get(row["dimension"])
        assert (row["sd"], row["n"]) == (sd, one.n)
        if sd is not None and one.n is not None:
            half = stats.t.ppf(0.975, one.n - 1) * sd / math.sqrt(one.n)
            assert row["ci95_high"] - row["mos"] == pytest.approx(half, rel=1e-12)


def test_prompts_keep_quotes_commas_and_blanks(tmp_path: Path) -> None:
    make_folder("t2vqa_db", tmp_path)
    prompts = {row["prompt"] for row in list_videos(read_source("t2vqa_db", tmp_path), 1)}
    assert prompts == {f"{prompt} {n}" for prompt in PROMPTS for n in (0, 1)}


def test_names_that_would_be_equal_differ(tmp_path: Path) -> None:
    make_folder("lgvq", tmp_path)
    ids = [row["sample_id"] for row in list_videos(read_source("lgvq", tmp_path), 1)]
    meeting = [name for name in ids if name.startswith("videos-gen2-a-map-of-mp4-")]
    assert len(set(ids)) == len(ids)
    assert len(meeting) == 2
