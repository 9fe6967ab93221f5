"""Every configuration of a published dataset, on a small made folder of its exact shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from scipy import stats

from published_datasets import MAKERS, PROMPTS, make_folder
from sfqa import cli
from sfqa.configuration import complete_config
from sfqa.generation.importing import list_videos
from sfqa.labels.joining import has_ratings
from sfqa.labels.scores import read_mos, read_ratings
from sfqa.splits.protocols import make_splits

ROOT = Path(__file__).parents[2]
DATASETS = ROOT / "config" / "datasets"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def read_source(name: str, folder: Path) -> dict[str, Any]:
    """Return the section ``import`` of a dataset's configuration, for another folder."""
    config = yaml.safe_load((DATASETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return {**config["import"], "folder": str(folder)}


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


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_every_protocol_can_be_drawn(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From ``sfqa import`` and the written configuration to samples, MOS and splits."""
    made = make_folder(name, tmp_path / "data")
    out = tmp_path / "written.yaml"
    assert cli.main(["import", name, str(tmp_path / "data"), "--out", str(out)]) == 0
    assert f"{len(made)} videos in {tmp_path / 'data'}" in capsys.readouterr().out
    config = complete_config(yaml.safe_load(out.read_text()), SCHEMA)
    assert config["import"]["folder"] == str(tmp_path / "data")
    samples = pd.DataFrame(list_videos(config["import"], config["shards"]))
    ids = set(samples["sample_id"])
    scores = [*read_mos(config["import"], ids), *read_ratings(config["import"], ids)]
    labelled = {r["sample_id"] for r in scores if r.get("mos", r.get("score")) is not None}
    assert {row["dimension"] for row in scores} == set(config["correlation"]["dimensions"])
    assert config["correlation"]["protocol"] in {
        protocol["name"] for protocol in config["regression"]["protocols"]
    }
    rated = samples[samples["sample_id"].isin(labelled)]
    for protocol in config["regression"]["protocols"]:
        for split in make_splits(rated, protocol, config["seed"]):
            assert {"train", "test"} <= set(split.part.values()), protocol["name"]
            if protocol["kind"] == "fixed":
                by_id = samples.set_index("sample_id")["split"]
                tests = {by_id[i] for i, part in split.part.items() if part == "test"}
                has_test = (samples["split"] == "test").any()
                assert tests == {protocol.get("test", "test" if has_test else "val")}
