"""Import of ready videos: a folder with a pattern, scores in a table, and a very large sheet."""

from __future__ import annotations

import pandas as pd
import pytest

from flow import Flow, nothing_to_do
from sfqa import store, tables
from videos import make_video

CONFIG = {
    "dataset": "ready",
    "mode": "import_videos",
    "shards": 2,
    "import": {
        "folder": "videos",
        "pattern": r"(?P<method>[a-z]+)/(?P<image>i\d)_(?P<clip>c\d)\.mp4",
    },
    "conform": {"short_side": 96},
    "features": {"clip": {"weights": "random", "options": {"model": "ViT-S-32-alt", "frames": 2}}},
    "ratings": {
        "source": "table",
        "path": "scores.csv",
        "columns": {"rater": "who", "sample_id": "video", "score": "points"},
        "dimension_name": "quality",
        "scale": "bt500",
    },
    "regression": {
        "protocols": [{"name": "by_image", "kind": "group_kfold", "groups": ["image"], "k": 2}],
        "metrics": {"ridge": {"kind": "regressor", "head": "ridge", "inputs": ["clip.image"]}},
    },
}
METHODS, IMAGES = ("one", "two"), 6


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ready")
    scores = []
    for m, method in enumerate(METHODS):
        for i in range(IMAGES):
            make_video(folder / f"videos/{method}/i{i}_c{i % 2}.mp4", 10 * m + i)
            scores += [
                {
                    "who": f"r{r}",
                    "video": f"i{i}__c{i % 2}__{method}",
                    "points": 1 + (i + r + m) % 5,
                }
                for r in range(4)
            ]
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    flow = Flow(folder, CONFIG)
    flow.run()
    return flow


@pytest.mark.slow
def test_a_folder_of_videos_becomes_a_table_of_metrics(run):
    samples = store.read(tables.SAMPLES, run.results / "samples.parquet")
    assert len(samples) == len(METHODS) * IMAGES
    assert set(samples["method"]) == set(METHODS)
    mos = store.read(tables.MOS, run.results / "ratings/mos.parquet")
    assert not mos["synthetic"].any()
    assert mos["n"].eq(4).all()
    rows = store.read(tables.CORRELATION, run.results / "correlation/correlation.parquet")
    assert {"ridge", "random", "constant", "oracle"} == set(rows["metric"])
    assert "simulated raters" not in (run.results / "correlation/metrics.md").read_text()
    assert nothing_to_do(run.run())


@pytest.mark.slow
@pytest.mark.thorough
def test_a_new_a_changed_and_a_lost_video_cost_one_video_each(run):
    before = run.tables()
    make_video(run.folder / "videos/two/i9_c1.mp4", 99)
    run.forget_logs()
    run.run()
    assert run.computed("clip") == 1
    after = run.tables()
    assert [n for n in before if "/one/" in n and before[n] != after[n]] == []

    changed = run.folder / "videos/one/i3_c1.mp4"
    make_video(changed, 1234)
    run.forget_logs()
    run.run()
    assert run.computed("clip") == 1

    # One in thirteen: below max_failed, so a row with a reason, kept to the end.
    (run.folder / "videos/one/i4_c0.mp4").write_bytes(b"not a video")
    run.run()
    rejects = store.read(tables.REJECTS, run.results / "rejects.parquet")
    lost = rejects[rejects["item"] == "i4__c0__one"]
    assert set(lost["stage"]) >= {"conformed", "features_clip", "predictions"}
    assert lost["detail"].str.contains("broken").all()
    assert nothing_to_do(run.run())


@pytest.mark.slow
def test_too_many_failures_stop_the_run_with_a_sentence(run, tmp_path):
    flow = Flow(tmp_path, {**CONFIG, "max_failed": 0.1, "ratings": {"source": "none"}})
    for i in range(4):
        path = tmp_path / f"videos/one/i{i}_c0.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            b"no video" if i < 2 else (run.folder / f"videos/one/i{i}_c{i % 2}.mp4").read_bytes()
        )
    said = flow.run(ok=False)
    assert "2 of 4 rows failed (50.0 %)" in said
    assert "raise max_failed" in said


def test_a_score_of_no_sample_and_a_name_of_no_pattern_are_sentences(run, tmp_path):
    flow = Flow(tmp_path, CONFIG)
    (tmp_path / "videos").symlink_to(run.folder / "videos")
    (tmp_path / "scores.csv").write_text("who,video,points\nr1,i0__c0__on,3\n")
    said = flow.run("results/ready/ratings/scores.parquet", ok=False)
    assert "the first is 'i0__c0__on'" in said
    flow.configure({**CONFIG, "import": {**CONFIG["import"], "pattern": r"(?P<method>x+)\.mp4"}})
    said = flow.run("results/ready/samples.parquet", ok=False)
    assert "pattern" in said


@pytest.mark.thorough
def test_thirty_four_thousand_videos_are_planned_by_shards(tmp_path):
    videos, methods, shards = 34_029, 12, 24
    rows = [f"v{i}.mp4,m{i % methods}" for i in range(videos)]
    config = {
        "dataset": "large", "mode": "import_videos", "shards": shards,
        "import": {"sheet": "videos.csv"}, "ratings": {"source": "none"},
        "features": {name: {"weights": "random"} for name in ("slowfast", "clip", "lse")},
        "disk_margin": 0,  # planned only: a small disk must not fail it
        "missing": "skip",
    }  # fmt: skip
    flow = Flow(tmp_path, config)
    (tmp_path / "videos.csv").write_text("video,method\n" + "\n".join(rows) + "\n")
    flow.run("results/large/samples.parquet")
    planned = flow.planned()
    assert planned["import_videos"] == planned["conform_videos"] == methods * shards
    assert planned["extract_features"] == 3 * methods * shards
    # One row changes: one shard of one method is planned anew, once the others are made.
    rows[5] = "other.mp4,m5"
    (tmp_path / "videos.csv").write_text("video,method\n" + "\n".join(rows) + "\n")
    assert flow.planned("results/large/samples.parquet") == {"list_samples": 1}
