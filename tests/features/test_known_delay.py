"""The demo's methods through conform and the measures: known delays and lost tails are found.

SyncNet's part runs where its real weights are: at SFQA_SYNCNET, or in resources/weights.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest

from demo_material import save_portrait
from sfqa import identity, media, timing
from sfqa.conform.video import Form, conform_row
from sfqa.features import base
from sfqa.features.weights import Weights
from sfqa.generation import adapters

ROOT = Path(__file__).parents[2]
SYNCNET = Path(os.environ.get("SFQA_SYNCNET", ROOT / "resources/weights/syncnet_v2.model"))
RATE, FPS, FRAMES, SIZE = 16000, 25.0, 90, 160
FORM = Form(SIZE, FPS, RATE, 12, "ultrafast")
SIGNAL = base.build_extractor("signal", {}, Weights("none", "none"), "cpu")
#: Options of the demo's methods in config/methods.yaml.
SHARP: dict[str, float] = {}
LATE = {"lip_delay_frames": 6}
#: As much silence before and after, so that an injected delay cuts nothing off.
_REST = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("delay")
    save_portrait(made / "portrait01.png", 1, 256)
    rng, levels = identity.random_generator("known_delay"), [0.0] * _REST
    while len(levels) < FRAMES - _REST:
        levels += [float(rng.choice([0.0, 0.1, 0.3, 0.5]))] * int(rng.integers(3, 8))
    levels = levels[: FRAMES - _REST] + [0.0] * _REST
    tone = np.sin(2 * np.pi * 220 * np.arange(FRAMES * 640) / RATE)
    breath = 1 + 0.1 * rng.normal(size=tone.size)  # else a period later is the same sound
    loud = np.repeat(levels, 640) * tone * breath
    media.write_wave(made / "clip.wav", loud.clip(-1, 1).astype(np.float32), RATE)
    return made


def generated(folder: Path, size: int = SIZE, **options: float) -> Path:
    """A demo method's video of the clip."""
    output = folder / f"{size}_{'_'.join(f'{k}{v}' for k, v in options.items()) or 'sharp'}.mp4"
    if not output.exists():
        image, clip = folder / "portrait01.png", folder / "clip.wav"
        job = adapters.RenderJob("a__b", dict(options), image, clip, output, folder, 5, size, FPS)
        adapters.load("procedural").generate(job)
    return output


def delayed(video: Path, frames: int, target: Path) -> Path:
    """The same pictures, the sound later by so many frames in the file's own times."""
    command = [
        media.ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(video), "-itsoffset",
        str(frames / FPS), "-i", str(video), "-map", "0:v", "-map", "1:a", "-c", "copy", str(target),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return target


def conformed(video: Path, folder: Path, form: Form = FORM) -> dict[str, Any]:
    clip = folder.parent / "clip.wav"
    row = {
        "sample_id": video.stem, "method": "m", "shard": 0, "status": "ok", "detail": "",
        "path": str(video), "sha256": identity.sha256_file(video), "clip_path": str(clip),
        "prompt": None,
    }  # fmt: skip
    made = conform_row(row, folder, form)
    assert made["status"] != "failed", made["detail"]
    return made


def seen(row: dict[str, Any]) -> base.Video:
    return base.Video(
        row["sample_id"], Path(row["path"]), row["sha256"], row["fps"], row["frames"],
        Path(row["audio_path"]), row["audio_sha256"], RATE,
    )  # fmt: skip


@pytest.mark.parametrize("late", [-8, -3, -1, 2, 5, 9])
def test_an_injected_delay_of_the_sound_is_found(folder: Path, late: int) -> None:
    video = delayed(generated(folder, **SHARP), late, folder / f"late{late}.mp4")
    row = conformed(video, folder / "out")
    assert row["audio_offset_sec"] == pytest.approx(late / FPS, abs=0.002)
    # The lips are early by what the sound is late.
    assert SIGNAL.extract(seen(row))["lip_loudness_offset_frames"] == -late


@pytest.mark.parametrize(("options", "late"), [(SHARP, 0), (LATE, 6)])
def test_the_demos_late_method_is_late(folder: Path, options: dict[str, float], late: int) -> None:
    row = conformed(generated(folder, **options), folder / "out")
    assert row["audio_offset_sec"] == pytest.approx(0, abs=0.002)
    assert SIGNAL.extract(seen(row))["lip_loudness_offset_frames"] == late


@pytest.mark.thorough
def test_a_lost_tail_grows_with_what_is_cut(folder: Path) -> None:
    cuts = (0.0, 0.4, 0.8, 1.2, 2.0)
    rows = [conformed(generated(folder, cut_end_sec=cut), folder / "out") for cut in cuts]
    lost = [row["lost_tail_sec"] for row in rows]
    assert lost[0] == pytest.approx(0, abs=0.03)
    # The clip ends with silence, which nobody misses.
    for cut, found in zip(cuts[2:], lost[2:], strict=True):
        assert found == pytest.approx(cut - _REST / FPS, abs=0.2)
    assert all(a < b for a, b in pairwise(lost[1:]))
    for cut, row in zip(cuts, rows, strict=True):
        assert row["duration_difference_sec"] == pytest.approx(-cut, abs=0.01)
        assert ("lost_tail" in row["detail"]) == (row["lost_tail_sec"] > 0.25)


@pytest.mark.thorough
def test_defects_survive_the_common_form(folder: Path) -> None:
    """What frozen lips, blur and low resolution do to their measures, encoded anew."""

    def measured(name: str, option: str, values: tuple[float, ...]) -> list[float]:
        rows = (conformed(generated(folder, **{option: v}), folder / "out") for v in values)
        return [SIGNAL.extract(seen(row))[name] for row in rows]

    for name, option, values in (
        ("lip_motion_range", "lip_freeze_share", (0, 0.5, 1)),
        ("sharpness", "blur_sigma_px", (0, 1, 3)),
        ("si_mean", "scale", (1, 0.6, 0.3)),
    ):
        found = measured(name, option, values)
        assert all(a > b for a, b in pairwise(found)), (name, option, found)


@pytest.mark.skipif(not SYNCNET.is_file(), reason="needs SyncNet's weights (SFQA_SYNCNET)")
@pytest.mark.parametrize("late", [-6, -2, 3, 7])
def test_syncnet_finds_an_injected_delay(folder: Path, late: int) -> None:
    """The offset moves by exactly what was injected; the sound first is positive."""
    pytest.importorskip("sfqa.features.extractors.lse")
    weights = Weights("file", identity.sha256_file(SYNCNET), SYNCNET)
    extractor = base.build_extractor("lse", {}, weights, "cpu")
    form = Form(256, FPS, RATE, 12, "ultrafast")
    video = generated(folder, 256, **SHARP)
    rows = [
        conformed(v, folder / "syncnet", form)
        for v in (video, delayed(video, late, folder / f"net{late}.mp4"))
    ]
    plain, moved = (extractor.extract(seen(row)) for row in rows)
    assert abs(plain["offset"]) <= 1
    assert moved["offset"] == plain["offset"] - late


@pytest.mark.thorough
def test_a_variable_rate_moves_no_lips(folder):
    """Every second frame of the second half is dropped; each of the others keeps its time."""
    video = generated(folder, **SHARP)
    source = folder / "variable.mp4"
    media.run_ffmpeg(
        ffmpeg.output(
            ffmpeg.input(str(video)).video.filter("select", f"lt(n,{FRAMES // 2})+mod(n,2)"),
            ffmpeg.input(str(video)).audio,
            str(source), fps_mode="vfr", video_track_timescale=90000, acodec="copy", crf=8,
        ),
        source,
    )  # fmt: skip
    row = conformed(source, folder / "kept", replace(FORM, mode="none"))
    assert "variable_rate: the frame rate varies" in row["detail"]
    fixed = SIGNAL.extract(seen(conformed(video, folder / "out")))
    taken_as_fixed = SIGNAL.extract(seen(row))
    kept = SIGNAL.extract(replace(seen(row), variable_rate=True))
    assert fixed["lip_loudness_offset_frames"] == kept["lip_loudness_offset_frames"] == 0
    assert taken_as_fixed["lip_loudness_offset_frames"] != 0
    assert kept["lip_loudness_zero_lag"] > taken_as_fixed["lip_loudness_zero_lag"] + 0.2
    assert len(kept["ti_per_second"]) == len(fixed["ti_per_second"]) == 4
    # SyncNet's reader shows the frames of the constant rate, half of them twice at the end.
    shown = timing.list_shown_frames(source, 25).tolist()
    assert shown[:40] == list(range(40))
    assert len(shown) == FRAMES
    assert len(set(shown[50:80])) == 16
