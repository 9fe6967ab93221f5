"""The benchmarks run, and both sides of each have the same numbers; times are never asserted."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
RATIO = {"name", "rival", "ours", "target", "reached"}


@pytest.fixture(scope="module", autouse=True)
def path():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Where drawn and conformed videos stay, for all benchmarks to use."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture
def run(path, work, tmp_path, capsys):
    def call(name: str, *words: str) -> tuple[dict[str, Any], str]:
        out = tmp_path / "deep" / "figures.json"
        words = ("--small", "--count", "1", "--work", str(work), "--out", str(out), *words)
        made = importlib.import_module(name).main(words)
        kept = json.loads(out.read_text())
        assert kept == made
        assert kept["small"] is True
        assert all(set(ratio) >= RATIO for ratio in kept["ratios"])
        return kept, capsys.readouterr().out

    return call


def test_decode_both_ways_load_the_same_pictures(run):
    figures, said = run("decode")
    # The same decoder and the same resizing; only the colour conversion is another library's.
    for name in ("clips", "key_frames"):
        assert figures["differences"][f"{name}_mean_difference"] < 0.5
    assert [r["target"] for r in figures["ratios"]] == [2.8, None, None]
    assert said.count("RATIO decode") == 3


def test_decode_a_wrong_frame_would_show(run, work, monkeypatch):
    run("decode")
    decode = importlib.import_module("decode")
    (path,) = work.glob("conformed-160/conform/*/videos/*.mp4")
    video = decode.common.videos(decode.common.conformed(_args(work), work))[0]
    assert video.path == path
    reader = decode.common.Together(
        [
            decode.ClipReader("simplevqa", decode.SIDE),
            decode.KeyFrameReader(8, decode.Square(decode.SIDE)),
        ]
    )
    plain = decode.simplevqa
    monkeypatch.setattr(decode, "simplevqa", lambda *a: [x[::-1] for x in plain(*a)])
    assert all(gap > 0.5 for gap in decode.apart(reader, video).values())


def _args(work: Path) -> Any:
    common = importlib.import_module("_common")
    return common.parser("", 1).parse_args(["--small", "--count", "1", "--work", str(work)])


@pytest.mark.thorough
def test_lse_both_ways_give_the_same_scores(run):
    figures, said = run("lse")
    told = figures["differences"]
    # The published way encodes anew and goes through JPEG twice: not bit for bit the same.
    assert told["offset_same"] == told["videos"] == 1
    assert told["lse_d_most"] < 0.03 * told["lse_d_size"]
    assert told["lse_c_most"] < 0.03 * told["lse_d_size"]
    assert figures["network_cpu_sec"] > 0
    assert "RATIO lse" in said


@pytest.mark.thorough
def test_extraction_gives_what_the_bare_passes_give(run):
    figures, said = run("extraction", "--threads", "2")
    assert figures["exactness"] == 0.0
    assert set(figures["bf16_difference"]) == {"slowfast", "image", "text"}
    for gap in figures["bf16_difference"].values():
        assert 0.0 < gap["mean"] < 0.05
    (ratio,) = figures["ratios"]
    assert ratio["ratio_wall"] == pytest.approx(ratio["rival_wall_sec"] / ratio["ours_wall_sec"])
    assert ratio["target"] == pytest.approx(1 / 1.1)
    assert "videos/s" in said


@pytest.mark.thorough
def test_feature_bytes_counts_what_is_there(run):
    figures, said = run("feature_bytes")
    (ratio,) = figures["ratios"]
    # 2 s: two clips of two files, 8 key frames and a prompt of 256 numbers each, three scores.
    head, real = 128, 4
    wanted = 2 * (2 * head + (2048 + 256) * real) + (head + 8 * 256 * real)
    wanted += (head + 256 * real) + (head + 3 * real)
    assert ratio["rival_bytes"] == wanted
    assert ratio["ours_bytes"] == pytest.approx(sum(figures["bytes"].values()))
    # float16 does not compress: a row cannot be smaller than its numbers, here and at 6 s.
    assert figures["bytes"]["slowfast"] > 2 * 2304 * 2 * 0.8
    assert ratio["reached"] is (ratio["ours_bytes"] <= 64 * 1024)
    assert "RATIO feature bytes" in said


def test_a_verdict_is_the_median_of_the_rounds(path, capsys):
    common = importlib.import_module("_common")
    spent = common.Spent
    times = {
        "rival": [spent(8.0, 9.0), spent(6.0, 6.0), spent(90.0, 9.0)],
        "ours": [spent(2.0, 3.0), spent(2.0, 3.0), spent(3.0, 3.0)],
    }
    made = common.verdict("x", times, "rival", "ours", 4.0)
    assert (made["ratio_wall"], made["ratio_cpu"], made["reached"]) == (4.0, 3.0, True)
    assert (made["rival_wall_sec"], made["ours_cpu_sec"], made["rounds"]) == (8.0, 3.0, 3)
    assert common.verdict("x", times, "rival", "ours", 4.01)["reached"] is False
    assert common.verdict("x", times, "rival", "ours", 3.0, what="cpu")["reached"] is True
    assert common.verdict("x", times, "rival", "ours")["reached"] is None
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "RATIO x: 4 wall (3 to 30 in 3 rounds), 3 CPU; target 4 (wall): reached"
    assert "missed" in said[1]


def test_a_race_takes_turns_and_a_way_may_time_itself(path):
    common = importlib.import_module("_common")
    turns: list[str] = []

    def other() -> Any:
        turns.append("b")
        return common.Spent(1.5, 2.5)

    times = common.race({"a": lambda: turns.append("a"), "b": other}, 3)
    assert turns == ["a", "b"] * 3
    assert times["b"] == [common.Spent(1.5, 2.5)] * 3
    assert all(0 <= spent.wall < 60 for spent in times["a"])


def test_bootstrap_both_ways_have_the_same_statistics(run):
    figures, said = run("bootstrap")
    assert all(gap < 1e-12 for gap in _numbers(figures["differences"]))
    assert "RATIO bootstrap" in said


def _numbers(value: Any) -> list[float]:
    return [n for v in value.values() for n in _numbers(v)] if isinstance(value, dict) else [value]


@pytest.mark.thorough
def test_to_table_both_sides_have_the_same_predictions(run):
    figures, said = run("to_table")
    assert "RATIO to_table" in said
    gaps = figures["differences"]
    assert gaps.pop("not trained") < 1e-6  # features are float32 in the workflow
    assert max(gaps.values()) < 1e-8
    assert figures["jobs"]["score_metrics"] == figures["jobs"]["plot_scatter"] == 1
    changes = figures["changes"]
    assert changes["no change"]["jobs"] == 0
    # A metric without training: no regressor is trained again.
    assert changes["one added metric"]["jobs"] < changes["one changed score"]["jobs"]


@pytest.mark.thorough
def test_alignment_both_ways_give_the_same_numbers(run):
    figures, said = run("alignment")
    assert set(figures["models"]) == {"valor", "imagebind"}
    assert all(model["difference"] < 1e-5 for model in figures["models"].values())
    assert [ratio["target"] for ratio in figures["ratios"]] == [3, 3]
    assert all(f"RATIO {model}" in said for model in figures["models"])


@pytest.mark.thorough
def test_maps_both_ways_give_the_same_scores(run):
    figures, said = run("quality_maps")
    assert set(figures["models"]) == {"fast_vqa", "dover"}
    assert all(model["difference"] < 1e-5 for model in figures["models"].values())
    assert said.count("RATIO") == 2


@pytest.mark.thorough
def test_views_from_the_cache_are_those_that_are_decoded_again(run):
    figures, said = run("views", "--extractors", "fast_vqa", "--repeats", "1")
    view = figures["extractors"]["fast_vqa"]
    assert view["equal"]
    clip = 3 * 32 * 224 * 224
    assert view["bytes_of_an_epoch_a_video"] == clip
    assert view["bytes_a_video"]["mapped"] == pytest.approx(clip, abs=256)
    # The pages of the file are not counted, and a batch is the only copy.
    assert figures["memory"]["added_mb"] < 3 * figures["memory"]["batch_mb"]
    assert figures["memory"]["file_mb"] > 2 * figures["memory"]["batch_mb"]
    assert said.count("RATIO fast_vqa") == 1
