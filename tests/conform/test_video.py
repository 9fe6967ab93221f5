from __future__ import annotations

import json
from pathlib import Path

import ffmpeg
import numpy as np
import pandas as pd
import pytest

from sfqa import media
from sfqa.conform import run, video
from sfqa.identity import sha256_file

FORM = video.Form(64, 25, 16000, 12, "veryfast")


def frames(count=50, height=96, width=128):
    yy, xx = np.mgrid[:height, :width]
    for i in range(count):
        yield np.stack([(xx + 4 * i) % 256, yy * 2 % 256, (xx + yy) % 256], -1).astype(np.uint8)


def row(source, clip=None, **more):
    base = {
        "sample_id": source.stem, "method": "m", "shard": 0, "status": "ok", "detail": "",
        "path": str(source), "sha256": sha256_file(source) if source.exists() else None,
        "size_bytes": 1, "clip_path": str(clip) if clip else None,
        "clip_sha256": sha256_file(clip) if clip else None, "prompt": None, "reproducible": True,
    }  # fmt: skip
    return base | more


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


@pytest.mark.parametrize("fps", [10, 12, 23, 24, 29.97, 30, 50])
def test_any_rate_becomes_25_with_the_frame_nearest_in_time(tmp_path, fps):
    count = round(2 * fps)
    stills = [np.full((64, 64, 3), 20 + 180 * i // count, np.uint8) for i in range(count)]
    media.write_video(tmp_path / "v.mp4", stills, fps)
    result = conformed(row(tmp_path / "v.mp4"), tmp_path / "out")
    assert result["fps"] == pytest.approx(25)
    assert result["frames"] == pytest.approx(50, abs=1)
    grey = media.read_frames(result["path"])[:, 32, 32].mean(-1)
    wanted = np.array([20 + 180 * (i * fps / 25) / count for i in range(len(grey))])
    step = max(1, fps / 25) * 180 / count
    assert np.abs(grey - wanted).max() < step + 6


def test_a_silent_short_small_slow_strip_is_named(tmp_path):
    media.write_wave(tmp_path / "clip.wav", np.ones(48000, np.float32) / 4, 16000)
    media.write_video(tmp_path / "v.mp4", frames(10, 32, 64), 10)
    result = conformed(row(tmp_path / "v.mp4", tmp_path / "clip.wav"), tmp_path)
    words = [part.split(":")[0] for part in result["detail"].split("; ")]
    assert words == ["silent", "cut_short", "no_face", "strip", "small", "low_rate"]
    assert "lasts 1.00 s, its driving clip 3.00 s" in result["detail"]
    assert (result["status"], result.get("audio_path")) == ("flawed", None)


def test_a_track_without_sound_is_silent(tmp_path):
    media.write_wave(tmp_path / "zero.wav", np.zeros(32000, np.float32), 16000)
    media.write_video(tmp_path / "v.mp4", frames(), 25, tmp_path / "zero.wav")
    assert "holds no sound" in conformed(row(tmp_path / "v.mp4"), tmp_path)["detail"]


def test_rotation_is_applied(source, tmp_path):
    turned = tmp_path / "r.mp4"
    try:
        stream = ffmpeg.input(str(source / "v.mp4"), display_rotation=90)
        media.run_ffmpeg(stream.output(str(turned), c="copy"), source)
    except media.MediaError:  # before ffmpeg 6 the tag is told so
        stream = ffmpeg.input(str(source / "v.mp4"))
        media.run_ffmpeg(
            stream.output(str(turned), c="copy", **{"metadata:s:v:0": "rotate=90"}), source
        )
    assert media.probe(turned).rotation % 180 == 90
    result = conformed(row(turned), tmp_path)
    assert (result["width"], result["height"]) == (64, 86)


@pytest.mark.parametrize("late_sec", [0.0, 0.6])
def test_sound_keeps_its_place_in_time(source, tmp_path, late_sec):
    click = np.zeros(32000, np.float32)
    click[16000:16160] = 0.9
    media.write_wave(tmp_path / "click.wav", click, 16000)
    sound = ffmpeg.input(str(tmp_path / "click.wav"), itsoffset=late_sec)
    picture = ffmpeg.input(str(source / "v.mp4"))
    late = tmp_path / "late.mp4"
    media.run_ffmpeg(ffmpeg.output(picture.video, sound.audio, str(late), vcodec="copy"), late)
    result = conformed(row(late), tmp_path)
    for heard in (result["audio_path"], result["path"]):
        samples = media.read_audio(heard, 16000)
        assert np.argmax(np.abs(samples) > 0.3) / 16000 == pytest.approx(1 + late_sec, abs=2e-4)


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


def test_a_second_call_conforms_nothing_and_a_damaged_result_is_made_again(
    source, tmp_path, monkeypatch
):
    videos = pd.DataFrame([row(source / "v.mp4")])
    calls = []
    real = run.conform_row
    monkeypatch.setattr(run, "conform_row", lambda *a: calls.append(1) or real(*a))
    first = run.conform_shard(videos, tmp_path, FORM)
    assert run.conform_shard(videos, tmp_path, FORM) == first
    assert len(calls) == 1
    with open(first[0]["path"], "r+b") as handle:
        handle.seek(2000)
        handle.write(b"\xff")
    assert run.conform_shard(videos, tmp_path, FORM) == first
    record = tmp_path / "records" / "v.json"
    record.write_text(json.dumps({"key": "x"}))
    assert run.conform_shard(videos, tmp_path, FORM) == first
    Path(first[0]["audio_path"]).unlink()
    assert run.conform_shard(videos, tmp_path, FORM) == first
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
