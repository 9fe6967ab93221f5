"""The estimate of a run: right within a factor of two, and a run that does not fit is refused."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import sfqa
from sfqa import estimate, media
from sfqa.cli import main
from sfqa.errors import UserError
from sfqa.plan import Plan

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
#: What `./run.sh demo` wrote on 21 November 2026 (materials: 29 November): files and bytes as allocated (du), by stage;
#: report without the report.html that Snakemake makes on request.
DEMO = {
    "materials": (29, 16_572_416), "generation": (100, 12_034_048), "conform": (149, 24_674_304),
    "features": (48, 3_813_376), "ratings": (11, 524_288), "regression": (64, 372_736),
    "correlation": (47, 4_911_104), "report": (30, 583_567),
}  # fmt: skip
#: Its processor seconds, by the jobs' benchmark files.
DEMO_CPU = {"generation": 38, "conform": 33, "features": 560}
USAGE = namedtuple("USAGE", "total used free")


def plan(config: dict, folder: Path = ROOT) -> Plan:
    return Plan(config, SCHEMA, check_files=False)


@pytest.fixture
def demo(monkeypatch) -> Plan:
    monkeypatch.chdir(ROOT)
    return plan(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


@pytest.fixture
def imported(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").symlink_to(ROOT / "config")
    rows = [f"v{n}.mp4,m{n % 3}" for n in range(300)]
    (tmp_path / "videos.csv").write_text("video,method\n" + "\n".join(rows) + "\n")
    return plan(
        {
            "dataset": "x", "mode": "import_videos", "import": {"sheet": "videos.csv"},
            "shards": 2, "features": {"clip": {"weights": "random"}},
        }
    )  # fmt: skip


def test_every_stage_of_the_demo_is_within_a_factor_of_two(demo):
    found = {stage.name: stage for stage in estimate.estimate(estimate.measure_dataset(demo))}
    for name, (files, size) in DEMO.items():
        assert 0.5 <= found[name].bytes / size <= 2, name
        assert 0.5 <= found[name].files / files <= 2, name
    for name, seconds in DEMO_CPU.items():
        assert 0.5 <= found[name].cpu_hours * 3600 / seconds <= 2, name


def test_imported_videos_are_counted_and_stay_where_they_are(imported):
    of = estimate.measure_dataset(imported)
    assert (of.videos, of.methods, of.shards, of.generated_px) == (300, 3, 2, None)
    found = {stage.name: stage for stage in estimate.estimate(of)}
    assert found["generation"].files == found["generation"].jobs == 6
    assert found["generation"].bytes < 1e6 < found["conform"].bytes
    assert found["materials"].bytes == found["ratings"].bytes == found["correlation"].bytes == 0


def test_lengths_are_looked_up_and_a_usual_one_taken_where_there_is_no_decoder(
    imported, monkeypatch
):
    monkeypatch.setattr(media, "probe", lambda path: media.Probe(True, True, duration_sec=11.0))
    assert estimate.measure_dataset(imported).seconds == 11
    monkeypatch.setitem(sys.modules, "sfqa.media", None)
    monkeypatch.delattr(sfqa, "media")
    assert estimate.measure_dataset(imported).seconds == 6


def test_more_videos_pixels_and_seconds_take_more_and_shards_take_files_only(demo):
    of = estimate.measure_dataset(demo)

    def size(**changes: object) -> estimate.Stage:
        return estimate.sum_stages(estimate.estimate(replace(of, **changes)))

    base, ten = size(videos=10_000), size(videos=100_000)
    assert 9 < ten.bytes / base.bytes < 10.5
    assert size(videos=10_000, conform={"short_side": 512}).bytes > 1.7 * base.bytes
    assert size(videos=10_000, conform={"short_side": 256, "crf": 24}).bytes < base.bytes
    assert size(videos=10_000, seconds=12.0).bytes > 1.7 * base.bytes
    many = size(videos=10_000, shards=100)
    assert many.jobs > 50 * base.jobs / 2
    assert many.bytes < 1.2 * base.bytes


def test_ready_features_are_a_table_and_no_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("name,mos,a\n" + "".join(f"v{n},3,{n}\n" for n in range(50)))
    source = {"table": "t.csv", "id": "name", "mos": {"quality": "mos"}, "features": ["a"]}
    of = estimate.measure_dataset(
        plan({"dataset": "x", "mode": "import_features", "import": source})
    )
    assert (of.videos, of.ready) == (50, True)
    found = {stage.name: stage for stage in estimate.estimate(of)}
    assert found["generation"].jobs == found["conform"].jobs == 0
    assert found["features"].jobs == 1


def free(monkeypatch, size: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: USAGE(1e15, 0, size))


def test_a_run_that_does_not_fit_is_refused_with_both_numbers(imported, monkeypatch):
    free(monkeypatch, 1e6)
    with pytest.raises(UserError) as caught:
        estimate.check_space(imported)
    said = str(caught.value)
    need = estimate.sum_stages(estimate.estimate(estimate.measure_dataset(imported))).bytes
    assert said.startswith(
        f"results/x: the run will write about {estimate.format_bytes(need)} more"
    )
    assert "conform" in said
    assert "1.0 MB are free there (disk_margin 1.2)" in said
    assert "disk_margin: 0" in said
    # Room for all of it, but not with the margin.
    free(monkeypatch, 1.1 * need)
    with pytest.raises(UserError):
        estimate.check_space(imported)
    free(monkeypatch, 1.21 * need)
    estimate.check_space(imported)


def test_without_a_margin_nothing_is_looked_at(imported, monkeypatch):
    free(monkeypatch, 0)
    imported.config["disk_margin"] = 0
    monkeypatch.setattr(estimate, "measure_dataset", lambda plan: pytest.fail("looked"))
    estimate.check_space(imported)


def test_what_is_there_need_not_be_written_again(imported, monkeypatch):
    stages = {s.name: s.bytes for s in estimate.estimate(estimate.measure_dataset(imported))}
    free(monkeypatch, 1.3 * (sum(stages.values()) - stages["conform"]))
    with pytest.raises(UserError):
        estimate.check_space(imported)
    monkeypatch.setattr(
        estimate, "allocated_bytes", lambda folder: 1e12 if folder.name == "conform" else 0
    )
    estimate.check_space(imported)


def test_allocated_bytes_are_those_of_all_files_below(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 40)
    assert estimate.allocated_bytes(tmp_path) >= 2 * 10_240


def test_the_command_line_prints_the_table_and_what_would_be(demo, capsys):
    assert main(["estimate"]) == 0
    said = capsys.readouterr().out
    assert "48 videos of 4 methods, 6.0 s on average" in said
    for name in DEMO:
        assert f"\n{name}" in said
    assert main(["estimate", "--videos", "1000000", "--seconds", "8", "--shards", "700"]) == 0
    assert "1000000 videos of 4 methods, 8.0 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--config", "none.yaml"], "no such file"),
        (["--videos", "0"], "above 0"),
        (["--config", "README.md"], "not YAML"),
        (["--config", "{folder}/list.yaml"], "no configuration keys"),
        (["--config", "{folder}/bad.yaml"], "did you mean 'shards'?"),
    ],
)
def test_wrong_calls_are_sentences(demo, capsys, tmp_path, words, part):
    (tmp_path / "list.yaml").write_text("- dataset\n")
    (tmp_path / "bad.yaml").write_text("{dataset: a, mode: build, shard: 2}\n")
    words = [word.format(folder=tmp_path) for word in words]
    assert main(["estimate", *words]) == 2
    assert part in capsys.readouterr().err


def test_maps_cost_by_the_clip():
    official = estimate.get_rate("dover", {})
    assert estimate.get_rate("dover-two", {"clips": 1, "draws": 2}) == official
    assert estimate.get_rate("fast_vqa", {"clips": 1}).cache == pytest.approx(201_000)
    small = estimate.get_rate("fast_vqa", {"maps": False})
    assert small.table < 2_000
    assert small.cpu_sec == estimate.get_rate("fast_vqa", {}).cpu_sec
