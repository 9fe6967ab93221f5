"""A dataset whose files, ids and labels hold every awkward sign, through all stages to its pages."""

from __future__ import annotations

import csv
import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from flow import Flow, nothing_to_do
from sfqa import media, store, tables

#: File names: words of a shell, of FFmpeg, of SQL, of a glob, of Python and Snakemake.
NAMES = (
    "it's; touch pwned;", '"$(touch pwned)" `touch pwned`', "new\nline", "--help", "-i -y", "日本語 é",
    "{input} {wildcards.method} %03d %s", "a:b pipe:1", "*.[mp4]?#&=+~!", "'); DROP VIEW samples; --",
)  # fmt: skip
#: Labels: markup, a template, LaTeX, broken mathematics of Matplotlib, a formula of a spreadsheet.
LABELS = (
    "<script>window.evil=1</script>", "</td>|`{x}`", r"$\undefined{$ 5 % & _a^b \\", "=1+1;'\"", "_ é 日",
)  # fmt: skip
METHODS = ("one", "two")
CONFIG = {
    "dataset": "awkward",
    "mode": "import_videos",
    "shards": 1,
    "import": {"sheet": "in; touch pwned; %s é/videos $(touch pwned).csv"},
    "conform": {"short_side": 64, "preset": "ultrafast"},
    "features": {"signal": {"weights": "none"}},
    "ratings": {
        "source": "table",
        "path": "in; touch pwned; %s é/it's scores.csv",
        "columns": {"rater": "who", "sample_id": "video", "score": "points"},
        "dimension_name": "quality",
        "scale": "mean",
    },
    "regression": {
        "protocols": [{"name": "by_image", "kind": "group_kfold", "groups": ["image"], "k": 2}],
        "metrics": {
            "Sharp": {
                "kind": "zero_shot", "group": f"<b> {LABELS[2]}", "inputs": ["signal.sharpness"],
            },
        },
    },
}  # fmt: skip


def video(path, seed):
    rng = np.random.default_rng(seed)
    sound = path.with_name("sound.wav")
    media.write_wave(sound, rng.normal(0, 0.1, 16000).astype(np.float32), 16000)
    still = rng.integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    media.write_video(path, (np.roll(still, 2 * i, 1) for i in range(25)), 25, sound)


def write(path, head, rows):
    with open(path, "w", newline="") as out:
        csv.writer(out).writerows([head, *rows])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    flow = Flow(tmp_path_factory.mktemp("awkward"), CONFIG)
    folder = flow.folder / "in; touch pwned; %s é"
    folder.mkdir()
    rows, scores = [], []
    for m, method in enumerate(METHODS):
        for n, name in enumerate(NAMES):
            video(folder / f"{name} {method}.mp4", 100 * m + n)
            label = LABELS[n % len(LABELS)]
            rows.append(
                [f"{name} {method}.mp4", method, f"s{n}{method}", f"i{n}", label, label, label]
            )
            scores += [
                [f"rater {LABELS[r]}", f"s{n}{method}", 1 + (n + m + r) % 5] for r in range(3)
            ]
    (folder / f"{NAMES[0]} one.mp4").write_bytes(b"no video")  # a row in the table of rejects
    head = ["video", "method", "sample_id", "image", "image_category", "style", "prompt"]
    write(folder / "videos $(touch pwned).csv", head, rows)
    write(folder / "it's scores.csv", ["who", "video", "points"], scores)
    flow.run()
    return flow


@pytest.mark.thorough
@pytest.mark.slow
def test_awkward_names_and_labels_reach_every_table_and_run_nothing(run):
    videos = pd.concat(
        store.read(tables.VIDEOS, p) for p in run.results.glob("generation/*/0.parquet")
    )
    failed = videos[videos["status"] == "failed"]
    assert failed["sample_id"].tolist() == ["s0one"], videos["detail"].tolist()
    samples = store.read(tables.SAMPLES, run.results / "samples.parquet")
    assert set(samples["image_category"]) == {*LABELS}
    assert {row.rpartition(" ")[0] for row in samples["source_path"].str.rpartition("/")[2]} == {
        *NAMES
    }
    rows = store.read(tables.CORRELATION, run.results / "correlation/correlation.parquet")
    assert rows[rows["metric"] == "Sharp"]["srcc"].notna().any()
    assert not list(run.folder.rglob("pwned"))
    assert nothing_to_do(run.run())


@pytest.mark.thorough
@pytest.mark.slow
def test_pages_show_awkward_names_as_text(run):
    run.run("--report", "report it's.html")
    assert not list(run.folder.rglob("pwned"))
    pages = [
        *run.results.rglob("*.html"),
        *run.results.rglob("*.svg"),
        run.folder / "report it's.html",
    ]
    assert len(pages) > 5
    for page in pages:
        text = page.read_text("utf-8")
        assert "<script>window.evil" not in text, page
        assert "</td>|`" not in text, page
    said = "".join(p.read_text("utf-8") for p in run.results.glob("report/site/data/*.js"))
    assert "<" not in re.sub(r"\\.", "", said)
    found = [json.loads(part) for part in re.findall(r'"samples",(\{.*\})\);', said)]
    assert set(found[0]["labels"]["style"]["values"]) == {*LABELS}
    # Links of the site lead to files that are there, also to the video as the user named it.
    links = [unquote(link) for link in found[0]["video"]]
    assert [link for link in links if not (run.results / "report/site" / link).is_file()] == []
    assert any(link.endswith(f"/{NAMES[0]} one.mp4") for link in links)
