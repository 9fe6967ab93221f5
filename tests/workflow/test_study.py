"""A rating study from a dataset to MOS: planned, opened by its links, answered, exported, used."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from demo_material import write_sheets
from flow import ROOT, Flow, nothing_to_do, started
from sfqa import store, tables
from sfqa.ratings.screen.app import create_app

CONFIG = {
    "dataset": "rated",
    "mode": "build",
    "shards": 1,
    "materials": {"images": "images.csv", "clips": "clips.csv", "image_px": 96},
    "pairs": {"count": 2, "train_val_ratio": 1},
    "generation": {"methods": ["sharp", "blurry"], "size": 96, "require_gpu": False},
    "conform": {"short_side": 96},
    "regression": {"protocols": [{"name": "random", "kind": "random_kfold", "k": 2}]},
}
STUDY = "results/rated/ratings/study"
DIMENSIONS = ("visual_quality", "audio_visual_consistency")


def sfqa(flow: Flow, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sfqa", *map(str, words)],
        cwd=flow.folder, env={"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rate(folder, token: str, judge) -> int:
    """Be a rater from the first page to the last; return how many videos were answered."""
    now = [1e9]
    with TestClient(create_app(folder, clock=lambda: now[0])) as client:
        base, answered = f"/r/{token}", 0
        assert client.get(base).status_code == 200
        client.post(f"{base}/consent", json={"language": "en", "profile": {}})
        while True:
            state = client.get(f"{base}/state").json()
            if state["stage"] == "finished":
                return answered
            if state["stage"] == "session":
                client.post(f"{base}/begin", json={})
                continue
            if state["stage"] == "break":
                now[0] += 100
                continue
            shown = state["presentation"]["id"]
            video = client.get(f"{base}/media/{shown}/video")
            assert video.status_code == 200
            assert client.get(f"{base}/media/{shown}/image").status_code == 200
            assert client.get(f"{base}/media/{shown}/clip").status_code == 200
            now[0] += 60
            body = {
                "presentation": shown,
                "scores": dict.fromkeys(DIMENSIONS, judge(video.content)),
            }
            assert client.post(f"{base}/score", json=body).json()["stored"]
            answered += 1


@pytest.mark.slow
def test_a_dataset_is_rated_and_its_mos_come_back(tmp_path):
    flow = Flow(tmp_path / "rated", CONFIG)
    write_sheets(flow.folder, 2, 2)
    flow.run("dataset")
    said = sfqa(flow, "plan", "results/rated", "--raters", 4, "--per-sample", 4, "--out", STUDY)
    assert "4 raters" in said
    flow.configure({**CONFIG, "ratings": {"source": "study"}})
    assert "write it with sfqa rate export" in flow.run("-n", ok=False)

    links = dict(
        re.findall(r"^(\S+)\thttp://\S+/[ro]/(\S+)$", sfqa(flow, "rate", "links", STUDY), re.M)
    )
    assert set(links) == {"organiser", "r001", "r002", "r003", "r004"}
    videos = store.read(tables.CONFORMED, flow.results / "conform/videos.parquet")
    sharp = {
        (flow.folder / p).read_bytes() for p in videos.loc[videos["method"] == "sharp", "path"]
    }
    low, high = iter((1, 2, 1, 2)), iter((4, 5, 4, 5))
    for name in ("r001", "r002", "r003", "r004"):
        bad, good = next(low), next(high)
        count = rate(flow.folder / STUDY, links[name], lambda v: good if v in sharp else bad)  # noqa: B023
        assert count == 4
    sfqa(flow, "rate", "export", STUDY)

    done = started(flow.run())
    assert done["import_ratings"] == done["compute_mos"] == done["report_raters"] == 1
    assert "conform_videos" not in done
    mos = store.read(tables.MOS, flow.results / "ratings/mos.parquet")
    assert len(mos) == 8
    assert not mos["synthetic"].any()
    worse = mos["sample_id"].str.endswith("__blurry")
    assert mos.loc[worse, "mos"].max() < mos.loc[~worse, "mos"].min()
    report = store.read(tables.RATER_REPORT, flow.results / "ratings/rater_report.parquet")
    assert (report["video_seconds"].isna()).all()  # this browser measured nothing, and says nothing
    assert (report["n"] == 4).all()
    differences = store.read(
        tables.LABEL_DIFFERENCES, flow.results / "ratings/label_differences.parquet"
    )
    assert set(differences.loc[differences["label_kind"] == "method", "label_a"]) == {"blurry"}
    for name in ("ratings/raters.svg", "ratings/sos.svg", "correlation/mos_differences.svg"):
        assert (flow.results / name).stat().st_size > 1000
    assert nothing_to_do(flow.run())
    assert "informal" in (flow.folder / STUDY / "plan.txt").read_text()
