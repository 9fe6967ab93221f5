from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from sfqa import media, tables
from sfqa.conform import run, video
from sfqa.identity import sha256_file

from .conftest import FORM, words
from .conftest import video_row as row


def frames(count=50, height=96, width=128):
    yy, xx = np.mgrid[:height, :width]
    for i in range(count):
        yield np.stack([(xx + 4 * i) % 256, yy * 2 % 256, (xx + yy) % 256], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    media.write_wave(folder / "noise.wav", rng.normal(0, 0.1, 32000).astype(np.float32), 16000)
    media.write_video(folder / "v.mp4", frames(), 25, folder / "noise.wav")
    return folder


def conformed(source_row, folder):
    return video.conform_row(source_row, folder, FORM)


def test_size_rate_and_sound_are_the_common_form(source, tmp_path):
    result = conformed(row(source / "v.mp4", source / "noise.wav"), tmp_path)
    facts = media.probe(result["path"])
    assert (facts.width, facts.height, facts.fps) == (86, 64, 25.0)
    assert (result["frames"], result["duration_sec"]) == (50, 2.0)
    sound = media.probe(result["audio_path"])
    assert (sound.sample_rate, sound.channels) == (16000, 1)
    assert sound.audio_duration_sec == pytest.approx(2.0, abs=0.05)
    assert result["sha256"] == sha256_file(result["path"])
    assert result["detail"] == "no_face: no face found in 8 frames"


def test_the_same_source_gives_the_same_bytes(source, tmp_path):
    first = conformed(row(source / "v.mp4"), tmp_path / "a")
    second = conformed(row(source / "v.mp4"), tmp_path / "b")
    assert first["sha256"] == second["sha256"]
    assert first["audio_sha256"] == second["audio_sha256"]


def test_a_silent_short_small_slow_strip_is_named(tmp_path):
    media.write_wave(tmp_path / "clip.wav", np.ones(48000, np.float32) / 4, 16000)
    media.write_video(tmp_path / "v.mp4", frames(10, 32, 64), 10)
    result = conformed(row(tmp_path / "v.mp4", tmp_path / "clip.wav"), tmp_path)
    assert words(result) == ["silent", "cut_short", "no_face", "strip", "small", "low_rate"]
    assert "lasts 1.00 s, its driving clip 3.00 s" in result["detail"]
    assert (result["status"], result.get("audio_path")) == ("flawed", None)


def test_a_track_without_sound_is_silent(tmp_path):
    media.write_wave(tmp_path / "zero.wav", np.zeros(32000, np.float32), 16000)
    media.write_video(tmp_path / "v.mp4", frames(), 25, tmp_path / "zero.wav")
    assert "holds no sound" in conformed(row(tmp_path / "v.mp4"), tmp_path)["detail"]


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 4000])
def test_what_does_not_decode_is_a_row_with_a_reason(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    result = conformed(row(path), tmp_path / "out")
    assert result["status"] == "failed"
    assert result["detail"].startswith("broken: ")
    assert "bad.mp4" in result["detail"]


def test_a_file_that_changed_meanwhile_is_not_taken(source, tmp_path):
    result = conformed(row(source / "v.mp4", sha256="0" * 64), tmp_path)
    assert "changed while the workflow ran" in result["detail"]


def test_a_failed_video_stays_failed_with_its_reason(tmp_path):
    bad = row(tmp_path / "none.mp4", status="failed", detail="crashed: x", path=None)
    result = conformed(bad, tmp_path)
    assert (result["status"], result["detail"]) == ("failed", "crashed: x")


def test_what_a_dataset_does_not_expect_is_no_flaw(tmp_path):
    media.write_video(tmp_path / "v.mp4", frames(16, 96, 128), 8)
    source = row(tmp_path / "v.mp4")
    assert words(conformed(source, tmp_path)) == ["silent", "no_face", "low_rate"]
    for wanted, word in (("sound", "silent"), ("face", "no_face"), ("rate", "low_rate")):
        form = replace(FORM, expect=[wanted])
        assert words(video.conform_row(source, tmp_path, form)) == [word]
    free = video.conform_row(source, tmp_path, replace(FORM, expect=[]))
    assert (free["status"], free["detail"]) == ("ok", "")


def test_a_second_copy_is_made_for_people_to_look_at(source, tmp_path):
    result = video.conform_row(
        row(source / "v.mp4"), tmp_path, replace(FORM, crf=0, viewing_short_side=128)
    )
    small, large = media.probe(result["path"]), media.probe(result["viewing_path"])
    assert (small.width, small.height) == (86, 64)
    assert (large.width, large.height) == (170, 128)
    assert (large.frames, large.channels) == (small.frames, 2)
    assert result["viewing_path"] == str(tmp_path / "viewing" / "v.mp4")
    assert result["viewing_sha256"] == sha256_file(result["viewing_path"])
    # lossless H.264 has a profile that browsers do not play
    with av.open(result["path"]) as one, av.open(result["viewing_path"]) as other:
        assert "4:4:4" in one.streams.video[0].profile
        assert "4:4:4" not in other.streams.video[0].profile


def test_a_factor_of_zero_is_lossless(source, tmp_path):
    form = video.Form(96, 25, 16000, 0, "ultrafast")
    result = video.conform_row(row(source / "v.mp4"), tmp_path, form)
    with av.open(result["path"]) as one, av.open(str(source / "v.mp4")) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0), strict=True):
            assert np.array_equal(a.to_ndarray(), b.to_ndarray())


def test_without_conforming_the_file_itself_is_measured(source, tmp_path):
    before = sha256_file(source / "v.mp4")
    form = replace(FORM, mode="none", viewing_short_side=64)
    result = video.conform_row(row(source / "v.mp4", source / "noise.wav"), tmp_path, form)
    assert (result["path"], result["sha256"]) == (str(source / "v.mp4"), before)
    assert (result["width"], result["height"], result["frames"]) == (128, 96, 50)
    assert media.probe(result["audio_path"]).sample_rate == 16000
    assert media.probe(result["viewing_path"]).height == 64
    assert not (tmp_path / "videos" / "v.mp4").exists()
    assert sha256_file(source / "v.mp4") == before


def test_a_wrong_header_is_a_row_with_a_reason(tmp_path):
    media.write_video(tmp_path / "long.mp4", frames(5, 16, 144), 25)
    assert (
        "144x16 is more than 8 times" in conformed(row(tmp_path / "long.mp4"), tmp_path)["detail"]
    )
    media.write_video(tmp_path / "slow.mp4", frames(4), 0.001)
    assert "lasts 4000 s" in conformed(row(tmp_path / "slow.mp4"), tmp_path)["detail"]


def test_a_run_that_takes_too_long_is_a_row_with_a_reason(source, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_MAX_LIMIT_SEC", 0.01)
    result = conformed(row(source / "v.mp4"), tmp_path)
    assert "ffmpeg was not done after 0 s" in result["detail"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_and_lost_ends_are_rows_with_a_reason(source, tmp_path, seed):
    """Whatever is broken: a row, no crash, no half-written file."""
    data = bytearray((source / "v.mp4").read_bytes())
    rng = np.random.default_rng(seed)
    if seed % 2:
        data = data[: int(len(data) * rng.uniform(0.3, 0.9))]
    else:
        for place in rng.integers(len(data) // 4, len(data), 40):
            data[place] ^= 1 << int(rng.integers(8))
    (tmp_path / "v.mp4").write_bytes(data)
    result = conformed(row(tmp_path / "v.mp4"), tmp_path / "o")
    assert set(words(result)) & {"broken", "damaged"}
    made = [path.name for path in (tmp_path / "o").rglob("*") if path.is_file()]
    assert set(made) <= {"v.mp4", "v.wav"}
    if result["status"] != "failed":
        assert media.frame_times(result["path"])[0] == result["frames"]


def test_the_identity_tells_forms_apart_but_not_the_order_of_what_is_expected():
    assert (
        replace(FORM, expect=["rate", "sound"]).identity
        == replace(FORM, expect=("sound", "rate")).identity
    )
    others = [replace(FORM, **{key: value}) for key, value in (
        ("expect", []), ("mode", "none"), ("viewing_short_side", 768), ("crf", 13), ("fps", 24),
    )]  # fmt: skip
    assert len({form.identity for form in (FORM, *others)}) == 6


def test_a_second_call_conforms_nothing_and_a_damaged_result_is_made_again(
    source, tmp_path, monkeypatch
):
    videos = pd.DataFrame([row(source / "v.mp4")])
    calls = []
    real = run.conform_row
    monkeypatch.setattr(run, "conform_row", lambda *a: calls.append(1) or real(*a))
    first = run.conform_shard(videos, tmp_path, FORM, workers=0)
    assert set(first[0]) <= set(tables.CONFORMED.names)
    assert run.conform_shard(videos, tmp_path, FORM, workers=0) == first
    assert len(calls) == 1
    with open(first[0]["path"], "r+b") as handle:
        handle.seek(2000)
        handle.write(b"\xff")
    assert run.conform_shard(videos, tmp_path, FORM, workers=0) == first
    record = tmp_path / "records" / "v.json"
    record.write_text(json.dumps({"key": "x"}))
    assert run.conform_shard(videos, tmp_path, FORM, workers=0) == first
    Path(first[0]["audio_path"]).unlink()
    assert run.conform_shard(videos, tmp_path, FORM, workers=0) == first
    assert len(calls) == 4


@pytest.mark.shared
def test_the_real_videos_come_through_with_their_defects_named(shared_data, tmp_path):
    folder = shared_data / "real" / "videos"
    names = ["aniportrait_kara_grid", "memo_statue_noaudio", "fantasy_23", "sadtalker_art_7_poem2"]
    found = {
        name: video.conform_row(row(folder / f"{name}.mp4"), tmp_path, video.Form(256, 25, 16000, 20, "ultrafast"))
        for name in names
    }  # fmt: skip
    assert "strip: 1030x516 looks like 2 pictures" in found["aniportrait_kara_grid"]["detail"]
    for word in ("silent", "small", "low_rate"):
        assert word in found["memo_statue_noaudio"]["detail"]
    assert (found["fantasy_23"]["source_fps"], found["fantasy_23"]["fps"]) == (23.0, 25.0)
    assert found["sadtalker_art_7_poem2"]["status"] == "ok"
