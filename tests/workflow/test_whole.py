"""Whole runs of a small dataset: run, run again, touch, change, add a method, kill and resume."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from flow import PROTOCOLS, ROOT, SMALL, Flow, nothing_to_do
from sfqa import store, tables
from sfqa.cli import main
from sfqa.correlation.grid_reading import read_markdown

pytestmark = pytest.mark.slow

CONFIG = {
    **SMALL,
    "shards": 2,
    "features": {
        "clip": {"weights": "random", "options": {"model": "ViT-S-32-alt", "frames": 2}},
        "lse": {"weights": "random", "options": {"detect_every": 25}},
    },
    "regression": {
        "protocols": PROTOCOLS,
        "metrics": {
            "LSE-C": {"kind": "zero_shot", "group": "SyncNet", "inputs": ["lse.lse_c"]},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["clip.image"]},
        },
    },
}
VIDEOS = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    flow = Flow(tmp_path_factory.mktemp("whole"), CONFIG)
    flow.printed = flow.run()
    return flow


@pytest.fixture
def flow(run, tmp_path):
    """A copy of the finished run that a test may spoil."""
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy, symlinks=True)
    return Flow(copy, CONFIG)


def test_every_stage_has_left_its_table(run):
    connection = duckdb.connect(str(run.results / "catalog.duckdb"), read_only=True)
    views = {
        row[0]
        for row in connection.sql(
            "select view_name from duckdb_views() where not internal"
        ).fetchall()
    }
    assert views >= {
        "images", "clips", "pairs", "samples", "videos", "conformed", "features_clip",
        "features_lse", "scores", "raters", "mos", "predictions", "correlation", "rejects",
    }  # fmt: skip
    for name, count in {
        "images": 4,
        "clips": 4,
        "pairs": 4,
        "samples": VIDEOS,
        "conformed": VIDEOS,
    }.items():
        paths = [str(p) for p in run.results.glob(tables_of(name))]
        assert sum(pq.read_metadata(p).num_rows for p in paths) == count, name


def tables_of(name):
    return {
        "images": "materials/images.parquet", "clips": "materials/clips.parquet",
        "pairs": "pairs.parquet", "samples": "samples.parquet", "conformed": "conform/*/*.parquet",
    }[name]  # fmt: skip


def test_no_material_is_on_both_sides(run):
    pairs = store.read(tables.PAIRS, run.results / "pairs.parquet")
    train, val = (pairs[pairs["split"] == side] for side in ("train", "val"))
    assert len(train)
    assert len(val)
    assert not set(train["image_id"]) & set(val["image_id"])
    assert not set(train["clip_id"]) & set(val["clip_id"])


def test_the_controls_bracket_the_table(run):
    rows = store.read(tables.CORRELATION, run.results / "correlation/correlation.parquet")
    rows = rows[(rows["level"] == "video") & (rows["pooling"] == "pooled")]
    oracle = rows[rows["metric"] == "oracle"].set_index("protocol")
    assert oracle.loc["random", "srcc"].tolist() == pytest.approx([1.0] * 3)
    # The fixed split of so small a dataset tests two videos: undefined, and it says why.
    assert oracle.loc["disjoint", "srcc"].isna().all()
    assert oracle.loc["disjoint", "detail"].str.len().gt(0).all()
    constant = rows[rows["metric"] == "constant"]
    assert constant["srcc"].isna().all()
    assert constant["detail"].str.len().gt(0).all()


def test_a_main_protocol_without_numbers_gives_way_to_all_videos(run):
    """Its split tests two videos; table, paper's table and site open with all eight."""
    for name in ("metrics", "metrics_pooled", "paper"):
        (grid,) = read_markdown((run.results / f"correlation/{name}.md").read_text())
        numbers = {row[1].text: [cell.text for cell in row[2:]] for row in grid.rows}
        assert "Protocol all: zero-shot metrics over all rated videos" in grid.caption
        assert "ridge" not in numbers
        assert "–" not in numbers["LSE-C"]
        if name != "paper":
            assert "No metric has a number under protocol disjoint: too_few" in grid.caption
            assert set(numbers["oracle"]) == {"1.0000"}
    meta = (run.results / "report/site/data/meta.js").read_text()
    assert '"protocols":["all","disjoint","random"]' in meta


def test_untrained_weights_and_simulated_raters_are_never_silent(run):
    rows = store.read(tables.CORRELATION, run.results / "correlation/correlation.parquet")
    assert rows["synthetic_mos"].all()
    assert set(rows.loc[rows["metric"].isin(["LSE-C", "ridge"]), "weights"]) == {"random"}
    for suffix in ("md", "tex", "html"):
        text = (run.results / f"correlation/metrics.{suffix}").read_text().lower()
        assert "random weights" in text
        assert "simulated raters" in text
    features = next((run.results / "features/lse/sharp").glob("*.parquet"))
    assert store.read_metadata(features)["weights"]["kind"] == "random"


def test_a_second_run_does_nothing(run):
    assert nothing_to_do(run.run())


def test_touching_every_video_computes_nothing_and_changes_no_table(flow):
    before = flow.tables()
    assert nothing_to_do(flow.run())  # the copy is new to the watch: it looks, and believes
    for path in flow.results.rglob("*.mp4"):
        os.utime(path)
    assert nothing_to_do(flow.run())
    assert flow.tables() == before


def test_one_changed_byte_costs_one_video_and_the_tables(flow):
    before = flow.tables()
    assert nothing_to_do(flow.run())
    frame = store.read(tables.VIDEOS, sorted(flow.results.glob("generation/late/*.parquet")))
    path, shard = flow.folder / frame["path"][0], str(frame["shard"][0])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(bytes(data))
    flow.forget_logs()
    planned = flow.planned()
    flow.run()
    assert flow.computed("clip") == flow.computed("lse") == 1
    # One shard of one method, once per extractor; then what rests on all samples.
    assert planned["generate_videos"] == planned["conform_videos"] == 1
    assert planned["extract_features"] == 2
    assert planned["predict"] == planned["score_metrics"] == 1
    for rule in ("prepare_images", "prepare_clips", "make_pairs", "list_samples"):
        assert rule not in planned
    changed = {name for name, data in flow.tables().items() if before[name] != data}
    assert f"generation/late/{shard}.parquet" in changed
    assert changed.issuperset({f"features/{e}/late/{shard}.parquet" for e in ("clip", "lse")})
    # Nothing of the other method and the other shard, and no score that people would have given.
    others = {n for n in changed if "/sharp/" in n or f"/late/{1 - int(shard)}" in n}
    assert not others
    assert "pairs.parquet" not in changed
    assert "ratings/mos.parquet" not in changed
    assert nothing_to_do(flow.run())


@pytest.mark.thorough
def test_a_damaged_conformed_video_is_made_again_and_no_feature_computed(flow):
    before = flow.tables()
    assert nothing_to_do(flow.run())
    path = next(iter(sorted(flow.results.glob("conform/sharp/videos/*.mp4"))))
    path.write_bytes(path.read_bytes()[:1000])
    flow.forget_logs()
    flow.run()
    assert flow.computed("clip") == flow.computed("lse") == 0
    assert flow.tables() == before


@pytest.mark.thorough
def test_a_deleted_video_is_generated_again(flow):
    before = flow.tables()
    assert nothing_to_do(flow.run())
    path = next(iter(sorted(flow.results.glob("generation/sharp/videos/*.mp4"))))
    path.unlink()
    flow.forget_logs()
    flow.run()
    assert path.is_file()
    assert flow.computed("clip") == flow.computed("lse") == 0
    assert flow.tables() == before


def test_a_changed_image_costs_the_videos_of_its_pairs(flow):
    assert nothing_to_do(flow.run())
    pairs = store.read(tables.PAIRS, flow.results / "pairs.parquet")
    image = pairs["image_id"].iloc[0]
    material = flow.folder / "resources/demo"
    material.unlink()  # a link into the checkout
    shutil.copytree(ROOT / "resources/demo", material)
    path = material / f"{image}.webp"
    with Image.open(path) as picture:
        ImageOps.mirror(picture).save(path)
    flow.forget_logs()
    flow.run("results/small/conform/videos.parquet")
    logs = [p.read_text() for p in flow.results.glob("logs/generation/*/*.log")]
    generated = sum(text.count(", generated in ") for text in logs)
    assert generated == 2 * (pairs["image_id"] == image).sum()
    assert nothing_to_do(flow.run("results/small/conform/videos.parquet"))


@pytest.mark.thorough
def test_a_new_method_re_runs_nothing_of_the_others(flow):
    flow.forget_logs()
    flow.configure({**CONFIG, "generation": {"methods": ["sharp", "late", "blurry"], "size": 128}})
    before = flow.tables()
    flow.run()
    ran = [str(p.relative_to(flow.results / "logs")) for p in flow.results.glob("logs/**/*.log")]
    touched = [p for p in ran if p.split("/")[0] in ("generation", "conform", "features")]
    assert {p for p in touched if "/sharp/" in p or "/late/" in p} == set()
    shards = len(list(flow.results.glob("generation/blurry/*.parquet")))
    assert len([p for p in touched if "/blurry/" in p]) == 4 * shards
    assert flow.computed("clip") == VIDEOS / 2
    after = flow.tables()
    kept = [n for n in before if "/sharp/" in n or "/late/" in n]
    assert all(after[n] == before[n] for n in kept)
    assert nothing_to_do(flow.run())


@pytest.mark.thorough
def test_two_runs_from_scratch_give_the_same_bytes(run, tmp_path):
    other = Flow(tmp_path / "other", CONFIG)
    other.run()
    ours, theirs = run.tables(), other.tables()
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.thorough
def test_kill_9_in_the_feature_stage_loses_at_most_the_video_in_flight(run, tmp_path):
    flow = Flow(tmp_path / "killed", CONFIG)

    def rows():
        from sfqa.cache import find_records

        files = flow.results.glob("features/lse/cache/**/*.rows")
        return sum(1 for f in files for _ in find_records(f))

    flow.kill_when(lambda: rows() >= 2)
    kept = rows()
    flow.forget_logs()
    flow.run("--unlock")
    flow.run()
    assert kept >= 2
    assert flow.computed("lse") == VIDEOS - kept
    ours, theirs = run.tables(), flow.tables()
    assert [name for name in ours if ours[name] != theirs.get(name)] == []


def test_a_run_ends_with_its_results_and_prints_no_reasons(run):
    end = run.printed[run.printed.index("The run of the dataset small is complete.") :]
    for path in ("correlation/metrics.md", "report/site/index.html", "report/rejects.html"):
        assert f"results/small/{path}" in end
    assert "flawed, but used:" in end or "All rows are ok." in end
    assert " left (" in run.printed
    assert "reason:" not in run.printed


def test_the_report_holds_the_tables_and_figures(run):
    run.run("--report", "report.html")
    text = (run.folder / "report.html").read_text()
    for word in (
        "metrics against MOS",
        "leakage panel",
        "MOS by method",
        "LSE-C",
        "rows that are not ok",
    ):
        assert word in text


def test_a_moved_dataset_is_up_to_date_and_its_catalogue_opens(run, tmp_path, monkeypatch):
    """The new folder has a fresh copy of the project, whose files are newer than all outputs."""
    moved = tmp_path / "moved"
    for name in ("results", ".snakemake/metadata"):
        shutil.copytree(run.folder / name, moved / name)
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, moved / name, copy_function=shutil.copyfile)
    shutil.copyfile(ROOT / "Snakefile", moved / "Snakefile")
    for name in ("images.csv", "clips.csv", "test.yaml"):
        shutil.copyfile(run.folder / name, moved / name)
    shutil.copytree(run.folder / "resources", moved / "resources", symlinks=True)
    assert oldest(moved / "workflow/scripts") > oldest(moved / "results")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "test.yaml", "-n"]
    done = subprocess.run(command, cwd=moved, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert nothing_to_do(done.stdout + done.stderr), (done.stdout + done.stderr)[-3000:]
    # An edited script is noticed, by its content.
    with open(moved / "workflow/scripts/compute_mos.py", "a") as handle:
        handle.write("# edited\n")
    done = subprocess.run(command, cwd=moved, capture_output=True, text=True, check=False)
    assert "compute_mos" in done.stdout + done.stderr
    monkeypatch.chdir(tmp_path)
    path = str(moved / "results/small/catalog.duckdb")
    search = {"file_search_path": str(moved)}
    with duckdb.connect(path, read_only=True, config=search) as catalog:
        assert catalog.sql("SELECT count(*) FROM samples").fetchall() == [(8,)]
    alone = tmp_path / "alone"
    shutil.copytree(moved / "results/small", alone)
    assert main(["catalog", "alone"]) == 0
    with duckdb.connect(str(alone / "catalog.duckdb"), read_only=True) as catalog:
        assert catalog.sql("SELECT count(*) FROM mos").fetchall() == [(16,)]


def oldest(folder: Path) -> float:
    """The earliest time of the tables or scripts in a folder."""
    files = [p for suffix in ("*.py", "*.parquet") for p in folder.glob(f"**/{suffix}")]
    return min(path.stat().st_mtime for path in files)
