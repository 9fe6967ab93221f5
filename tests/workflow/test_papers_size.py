"""The paper's size, planned over placeholder materials: 432 pairs by 12 methods, then by 13."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from flow import ROOT, SMALL, Flow, nothing_to_do, started
from sfqa import estimate, sheets, store, tables
from sfqa.plan import Plan

SFQA = ["SadT", "AniP", "VExp", "hallo2", "FLOAT", "memo", "EchoM", "sonic", "hallo3", "SkyR",
        "fantasy", "DICE"]  # fmt: skip
SHARDS = 4


def placeholders(flow: Flow) -> None:
    """Tables of 100 images and 36 clips, the paper's labels, without a picture behind them."""
    real = [f"{sex}_{age}" for sex in ("female", "male") for age in ("young", "old")]
    images = []
    for number in range(100):
        source = "real" if number < 50 else "ai"
        category = real[number % 4] if source == "real" else f"ai_{number % 7}"
        images.append(
            {
                "image_id": f"img{number:03d}", "source": source, "category": category,
                "status": "ok", "detail": "", "original": f"{number}.png",
                "path": f"images/{number}.png", "sha256": f"{number:064x}",
            }
        )  # fmt: skip
    clips = [
        {
            "clip_id": f"clip{number:02d}", "style": f"style{number % 7}",
            "language": ("zh", "en")[number % 2], "origin": "recorded", "status": "ok",
            "detail": "", "original": f"{number}.wav", "path": f"clips/{number}.wav",
            "sha256": f"{1000 + number:064x}",
        }
        for number in range(36)
    ]  # fmt: skip
    columns = {"images": sheets.IMAGE_COLUMNS[:4], "clips": sheets.CLIP_COLUMNS[:5]}
    for table, rows in ((tables.IMAGES, images), (tables.CLIPS, clips)):
        names = columns[table.name]
        lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
        (flow.folder / f"{table.name}.csv").write_text("\n".join(lines) + "\n")
        path = flow.results / "materials" / f"{table.name}.parquet"
        store.write(table, [dict.fromkeys(table.names) | row for row in rows], path)


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Flow:
    """The paper's dataset up to its samples, then placeholders for all that 12 methods make."""
    folder = tmp_path_factory.mktemp("paper")
    config = {
        "dataset": "sfqa", "mode": "build", "shards": SHARDS, "missing": "skip",
        "materials": {"images": "images.csv", "clips": "clips.csv"},
        "pairs": {"count": 432, "train_val_ratio": 3.5},
        "generation": {"methods": SFQA},
    }  # fmt: skip
    flow = Flow(folder, config)
    # A thirteenth method is an entry in the registry and an adapter: here one that is there.
    (folder / "config").unlink()
    shutil.copytree(ROOT / "config", folder / "config")
    registry = folder / "config" / "methods.yaml"
    entries = yaml.safe_load(registry.read_text())
    thirteenth = entries["sonic"] | {"name": "Sonic again", "version": 2}
    registry.write_text(
        registry.read_text() + "\n" + yaml.safe_dump({"thirteenth": thirteenth}, sort_keys=False)
    )
    placeholders(flow)
    flow.run("results/sfqa/samples.parquet")
    return flow


def test_the_pairs_and_their_proof(flow):
    pairs = store.read(tables.PAIRS, flow.results / "pairs.parquet")
    assert pairs["split"].value_counts().to_dict() == {"train": 336, "val": 96}
    for name in ("image_id", "clip_id"):
        sides = pairs.groupby(name)["split"].nunique()
        assert (sides == 1).all()
        assert len(sides) == {"image_id": 100, "clip_id": 36}[name]
    samples = store.read(tables.SAMPLES, flow.results / "samples.parquet")
    assert len(samples) == 432 * 12
    said = (flow.results / "logs/pairs/make_pairs.log").read_text()
    assert "gap" in said
    # every image category meets every style and language, in the printed matrix
    assert re.search(r"154 of 154 combinations", said)
    report = (flow.results / "pairs.txt").read_text()
    assert "uncovered combinations: value 0, bound 0, gap 0.00 %, proven" in report


def test_twelve_methods_are_planned_and_a_thirteenth_adds_only_its_own_jobs(flow):
    planned = flow.planned("dataset")
    assert planned["generate_videos"] == planned["conform_videos"] == 12 * SHARDS
    assert planned["fetch_generator"] == 12

    for label in SFQA:
        manifest = flow.folder / f"resources/generators/{label}/manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}\n")
        for shard in range(SHARDS):
            store.write(tables.VIDEOS, [], flow.results / f"generation/{label}/{shard}.parquet")
            store.write(tables.CONFORMED, [], flow.results / f"conform/{label}/{shard}.parquet")
    assert flow.planned("dataset") == {"check_videos": 1, "dataset": 1}

    config = flow.config | {"generation": {"methods": [*SFQA, "thirteenth"]}}
    flow.configure(config)
    flow.run("results/sfqa/samples.parquet")
    said = flow.run("dataset", "-n")
    labels = re.findall(r"^    wildcards: .*method=([\w-]+)", said, flags=re.MULTILINE)
    assert set(labels) == {"thirteenth"}
    assert flow.planned("dataset") == {
        "fetch_generator": 1, "generate_videos": SHARDS, "conform_videos": SHARDS,
        "check_videos": 1, "dataset": 1,
    }  # fmt: skip


def test_planning_loads_no_pandas(flow):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *flow.command("dataset", "-n")[1:]],
        cwd=flow.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert "snakemake.dag" in loaded
    # Half a second and 30 MB of every dry run, and of every job of a cluster.
    assert not loaded & {"pandas", "torch", "scipy", "duckdb", "matplotlib"}


def test_a_run_that_does_not_fit_on_the_disk_is_refused_before_any_job(flow):
    whole = flow.config
    flow.configure(whole | {"disk_margin": 1e9})
    said = flow.run("dataset", ok=False)
    assert re.search(r"results/sfqa: the run will write about [\d.]+ [GM]B more \(conform", said)
    assert re.search(r"and [\d.]+ [TGM]B are free there \(disk_margin 1e\+09\)", said)
    assert started(said) == {}
    assert "Traceback" not in said
    # Neither a dry run nor the next one is hindered.
    assert flow.planned("dataset")
    flow.configure(whole)
    assert nothing_to_do(flow.run("results/sfqa/samples.parquet"))


@pytest.mark.thorough
def test_a_small_run_takes_what_was_estimated_within_a_factor_of_two(tmp_path, monkeypatch):
    more = {"features": {"signal": {"weights": "none"}}, "ratings": {"source": "none"}}
    flow = Flow(tmp_path, SMALL | more)
    flow.run()
    monkeypatch.chdir(flow.folder)
    plan = Plan(flow.config, ROOT / "workflow/schemas/config.schema.yaml", check_files=False)
    for stage in estimate.estimate(estimate.measure_dataset(plan)):
        took = estimate.allocated_bytes(flow.results / stage.name)
        if took > 500_000:
            assert 0.5 <= stage.bytes / took <= 2, stage.name
