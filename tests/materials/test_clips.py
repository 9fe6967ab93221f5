"""Driving clips: the masters that are cut out of them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
from scipy.io import wavfile

from demo_material import load_clip, play_band
from sfqa import media, store, tables
from sfqa.errors import UserError
from sfqa.materials.clips import measure_edges, prepare_clips
from sfqa.materials.voicing import Voicing, detect_voicing
from voices import RATE, make_voice


def _row(path: Path | str, clip_id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"clip_id": clip_id, "path": str(path), "style": "pop", "language": "zh",
            "origin": "recorded", "title": None, **more}  # fmt: skip


def _prepared(tmp_path: Path, samples: np.ndarray, rate: int = RATE, **how: Any) -> dict[str, Any]:
    source = tmp_path / "in.wav"
    wavfile.write(source, rate, samples)
    (row,) = prepare_clips([_row(source)], tmp_path / "out", sample_rate=rate, **how)
    store.to_arrow(tables.CLIPS, [row])  # fits its schema, reasons included
    return row


def test_a_song_is_cut_at_its_pauses(tmp_path: Path) -> None:
    spans = [(0.5, 3.0), (3.7, 9.5), (10.1, 12.0)]
    sound = make_voice(spans, 13.0)
    row = _prepared(tmp_path, sound)
    assert (row["status"], row["detail"]) == (tables.OK, "")
    assert row["cut_start_sec"] == pytest.approx(3.58, abs=0.04)
    assert row["cut_end_sec"] == pytest.approx(9.62, abs=0.04)
    assert row["original_duration_sec"] == pytest.approx(13.0)
    master = Path(row["path"])
    rate, samples = wavfile.read(master)
    assert rate == row["sample_rate"] == RATE
    assert samples.ndim == 1
    assert len(samples) / rate == row["duration_sec"]
    assert row["duration_sec"] == pytest.approx(row["cut_end_sec"] - row["cut_start_sec"])
    assert hashlib.sha256(master.read_bytes()).hexdigest() == row["sha256"]
    assert row["original_sha256"] == hashlib.sha256(
        (tmp_path / "in.wav").read_bytes()
    ).hexdigest()  # fmt: skip
    assert row["size_bytes"] == master.stat().st_size
    # Level untouched: the same samples between the fades, to a 16-bit step.
    first = round(row["cut_start_sec"] * RATE)
    edge = round(0.01 * RATE)
    inner = slice(edge, len(samples) - edge)
    assert np.abs(samples[inner] / 32767 - sound[first : first + len(samples)][inner]).max() < 2e-5


def test_fades_are_raised_cosines(tmp_path: Path) -> None:
    sound = np.full(round(4.0 * RATE), 0.5, np.float32)
    sound[RATE : 2 * RATE] += make_voice([(0.0, 1.0)], 1.0)
    row = _prepared(tmp_path, sound)
    size = round(0.01 * RATE)
    assert row["fade_sec"] == pytest.approx(size / RATE)
    ramp = 0.5 * np.sin(np.pi / 2 * (np.arange(size) + 0.5) / size) ** 2
    for name in ("path", "stereo_path"):
        samples = wavfile.read(row[name])[1].reshape(4 * RATE, -1).T / 32767
        for channel in samples:
            assert channel[:size] == pytest.approx(ramp, abs=3e-5)
            assert channel[-size:] == pytest.approx(ramp[::-1], abs=3e-5)
            assert channel[size:RATE] == pytest.approx(0.5, abs=3e-5)


def test_same_input_same_bytes(tmp_path: Path) -> None:
    song = load_clip("folk_zh_03", RATE)
    for name in "12":
        (tmp_path / name).mkdir()
    one, two = (_prepared(tmp_path / name, song) for name in "12")
    places = ("path", "stereo_path", "original")
    assert {k: v for k, v in one.items() if k not in places} == {
        k: v for k, v in two.items() if k not in places
    }
    assert 5.0 <= one["duration_sec"] <= 7.0
    assert Path(one["stereo_path"]).read_bytes() == Path(two["stereo_path"]).read_bytes()
    assert not list((tmp_path / "1" / "out").glob("*.png"))


def test_plots_lie_beside_the_masters(tmp_path: Path) -> None:
    _prepared(tmp_path, make_voice([(0.5, 3.0)], 4.0), plots=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["c1.png", "c1.wav", "stereo"]


def _wide(seed: int = 5) -> np.ndarray:
    """A voice in the middle, other noises left and right, shape (n, 2)."""
    sides = 0.03 * np.random.default_rng(seed).standard_normal((2, 9 * RATE))
    return (make_voice([(1.0, 6.5)], 9.0) + sides).T.astype(np.float32)


def test_both_masters_are_one_cut_and_mono_is_the_mean(tmp_path: Path) -> None:
    sound = _wide()
    row = _prepared(tmp_path, sound)
    assert row["channels"] == 2
    assert row["stereo_path"] == str(tmp_path / "out" / "stereo" / "c1.wav")
    stored = Path(row["stereo_path"]).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == row["stereo_sha256"]
    rate, stereo = wavfile.read(row["stereo_path"])
    mono = wavfile.read(row["path"])[1]
    assert (rate, stereo.dtype, stereo.shape) == (RATE, np.int16, (len(mono), 2))
    assert np.abs(mono - stereo.astype(float).mean(axis=1)).max() <= 1.0
    first = round(row["cut_start_sec"] * RATE)
    inner = slice(240, len(mono) - 240)
    assert np.abs(stereo / 32767 - sound[first : first + len(mono)])[inner].max() < 2e-5


def test_mono_gives_two_equal_channels_of_its_level(tmp_path: Path) -> None:
    row = _prepared(tmp_path, make_voice([(1.0, 6.5)], 8.0))
    stereo, mono = wavfile.read(row["stereo_path"])[1], wavfile.read(row["path"])[1]
    assert row["channels"] == 1
    assert (stereo == mono[:, None]).all()


def test_loudness_is_that_of_the_stereo_master(tmp_path: Path) -> None:
    row = _prepared(tmp_path, _wide())
    stereo = wavfile.read(row["stereo_path"])[1] / 32768
    meter = pyloudnorm.Meter(RATE)
    assert row["loudness_lufs"] == pytest.approx(meter.integrated_loudness(stereo), abs=0.15)
    assert row["true_peak_dbtp"] >= 20 * np.log10(np.abs(stereo).max()) - 0.1
    assert row["loudness_range_lu"] >= 0
    assert row["voiced_sec"] == pytest.approx(5.5, abs=0.1)


def _layout(tmp_path: Path, layout: str, channels: list[np.ndarray]) -> dict[str, Any]:
    wavfile.write(tmp_path / "raw.wav", RATE, np.stack(channels, axis=1).astype(np.float32))
    _ffmpeg("-i", tmp_path / "raw.wav", "-af", f"channelmap=channel_layout={layout}",
            "-c:a", "pcm_f32le", tmp_path / "many.wav")  # fmt: skip
    (row,) = prepare_clips([_row(tmp_path / "many.wav")], tmp_path / "out", RATE)
    return row


def _ffmpeg(*words: Any) -> None:
    subprocess.run([media.ffmpeg_exe(), "-loglevel", "error", "-y", *map(str, words)], check=True)


def test_surround_is_mixed_without_clipping(tmp_path: Path) -> None:
    voice = make_voice([(1.0, 6.5)], 8.0)
    voice *= 0.99 / np.abs(voice).max()
    row = _layout(tmp_path, "5.1", [voice] * 6)
    assert (row["status"], row["channels"]) == (tables.OK, 6)
    assert "lowered" not in row["cut_reason"]
    first = round(row["cut_start_sec"] * RATE)
    stereo = wavfile.read(row["stereo_path"])[1][240:-240] / 32767
    # Front, centre and surround of one side add up to one; the deep channel is left out.
    wanted = voice[first + 240 : first + 240 + len(stereo)]
    assert np.abs(stereo - wanted[:, None]).max() < 1e-4


@pytest.mark.parametrize(("layout", "number"), [("quad", 4), ("2.1", 3), ("7.1", 8)])
def test_other_layouts_are_taken(tmp_path: Path, layout: str, number: int) -> None:
    row = _layout(tmp_path, layout, [make_voice([(1.0, 6.5)], 8.0)] * number)
    assert (row["status"], row["channels"]) == (tables.OK, number)


def test_channels_without_a_layout_fail_with_the_same_words(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "in.wav", RATE, np.full((8 * RATE, 9), 0.1, np.float32))
    one, two = (prepare_clips([_row(tmp_path / "in.wav")], tmp_path, RATE)[0] for _ in "12")
    assert one["detail"].startswith("broken: ")
    assert "0x" not in one["detail"]
    assert one == two


def test_opposite_channels_are_silent_in_mono(tmp_path: Path) -> None:
    voice = make_voice([(1.0, 6.5)], 8.0)
    row = _prepared(tmp_path, np.stack([voice, -voice], axis=1))
    assert row["status"] == tables.FAILED
    assert row["detail"].startswith("silent: the two channels cancel each other")


@pytest.mark.parametrize(
    ("name", "words", "late"),
    [
        ("m.mp3", ("-b:a", "128k"), 0.0),  # with an encoder's delay
        ("s24.wav", ("-c:a", "pcm_s24le"), 0.0),
        ("low.wav", ("-ar", "8000"), 0.0),
        ("v.mp4", ("-c:v", "libx264", "-c:a", "aac"), 0.0),
        # FFmpeg 7 rounds the start to 1 ms unless it has a finer clock.
        ("late.mp4", ("-c:v", "libx264", "-c:a", "aac", "-movie_timescale", "48000"), 1.5),
    ],
)
def test_sources_of_every_kind_give_the_same_cut(
    tmp_path: Path, name: str, words: tuple[str, ...], late: float
) -> None:
    wav = tmp_path / "in.wav"
    wavfile.write(wav, RATE, make_voice([(1.0, 6.5)], 8.0))
    picture = ("-f", "lavfi", "-i", "color=s=32x32:r=25:d=10") if name.endswith("mp4") else ()
    _ffmpeg(*picture, "-itsoffset", late, "-i", wav, *words, tmp_path / name)
    plain, other = prepare_clips([_row(wav, "w"), _row(tmp_path / name, "o")], tmp_path, RATE)
    assert other["status"] == tables.OK
    one, two = (wavfile.read(row["path"])[1].astype(float) for row in (plain, other))
    size = min(len(one), len(two)) - RATE // 10
    moved = round((other["cut_start_sec"] - late - plain["cut_start_sec"]) * RATE)
    assert abs(moved) <= 0.02 * RATE
    a, b = (x[max(0, m) :][:size] for x, m in ((one, moved), (two, -moved)))
    # Sample for sample: half a millisecond off would part them.
    assert np.corrcoef(a, b)[0, 1] > 0.98


def test_a_shift_of_the_level_moves_no_cut(tmp_path: Path) -> None:
    sound = 0.5 * make_voice([(1.0, 6.5)], 8.0)
    plain = _prepared(tmp_path, sound)
    row = _prepared(tmp_path, sound + np.float32(0.3))
    assert row["status"] == tables.OK
    assert row["cut_start_sec"] == pytest.approx(plain["cut_start_sec"], abs=0.011)


def test_a_clipped_source_is_still_cut_at_its_pauses(tmp_path: Path) -> None:
    row = _prepared(tmp_path, np.clip(12 * make_voice([(1.0, 6.5)], 8.0), -1, 1))
    assert (row["cut_start_sec"], row["cut_end_sec"]) == (
        pytest.approx(0.88, abs=0.3), pytest.approx(6.62, abs=0.3))  # fmt: skip
    assert row["true_peak_dbtp"] > -0.5


def test_silence_before_the_song_changes_nothing(tmp_path: Path) -> None:
    song = load_clip("pop_zh_01", RATE)
    plain = _prepared(tmp_path, song)
    row = _prepared(tmp_path, np.pad(song, (6 * RATE, 0)))
    assert row["cut_start_sec"] - 6.0 == pytest.approx(plain["cut_start_sec"], abs=0.05)


def test_a_file_that_was_cut_in_the_voice_says_so(tmp_path: Path) -> None:
    row = _prepared(tmp_path, make_voice([(0.0, 6.0)], 6.0))
    assert row["detail"] == "abrupt: the file itself starts and ends in the voice"
    row = _prepared(tmp_path, make_voice([(0.0, 5.5)], 6.0))
    assert row["detail"] == "abrupt: the file itself starts in the voice"


def test_the_reason_gives_level_and_distance_of_the_voice(tmp_path: Path) -> None:
    row = _prepared(tmp_path, make_voice([(1.0, 6.5)], 8.0, floor_db=-60.0))
    levels = [float(x) for x in re.findall(r"([+-]\d+) dB to the voice", row["cut_reason"])]
    gaps = [float(x) for x in re.findall(r"([\d.]+) s from it", row["cut_reason"])]
    assert len(levels) == len(gaps) == 2
    assert max(levels) < -35  # noise of -60 dBFS against a voice near -20
    assert gaps == pytest.approx([0.12, 0.12], abs=0.1)


def test_over_music_the_reason_says_so(tmp_path: Path) -> None:
    voice = load_clip("pop_zh_01", 16000)
    band = play_band(len(voice) / 16000, 16000) * np.sqrt(np.mean(voice**2))
    row = _prepared(tmp_path, (0.2 * (voice + band)).astype(np.float32), 16000)
    assert "measured with the music taken down" in row["cut_reason"]


def test_edges_of_no_voice_are_none() -> None:
    times = np.arange(100) / 100
    nothing = Voicing(times, times - 50, times, np.zeros(100, bool))
    assert measure_edges(nothing, 0.0, 1.0) is None


def test_stereo_is_averaged_and_its_level_kept(tmp_path: Path) -> None:
    sound = make_voice([(1.0, 6.5)], 8.0)
    sound *= 0.95 / np.abs(sound).max()
    row = _prepared(tmp_path, np.stack([sound, sound], axis=1))
    assert row["cut_reason"].count("lowered") == 0
    assert np.abs(wavfile.read(row["path"])[1]).max() / 32767 == pytest.approx(0.95, abs=1e-3)


def test_floats_above_one_are_lowered_not_clipped(tmp_path: Path) -> None:
    row = _prepared(tmp_path, 3.0 * make_voice([(1.0, 6.5)], 8.0))
    samples = wavfile.read(row["path"])[1].astype(int)
    assert "lowered by" in row["cut_reason"]
    assert np.sum(np.abs(samples) >= 32767) == 0
    assert np.abs(samples).max() > 32700


def test_short_clip_is_flawed_and_whole(tmp_path: Path) -> None:
    row = _prepared(tmp_path, make_voice([(0.5, 2.0)], 3.0))
    assert row["status"] == tables.FLAWED
    assert row["detail"].startswith("short: 3.00 s")
    assert row["duration_sec"] == pytest.approx(3.0)


def test_noise_has_no_voice(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(9 * RATE)
    row = _prepared(tmp_path, noise.astype(np.float32))
    assert row["status"] == tables.FLAWED
    assert row["detail"].startswith("no_voice: ")
    assert 5.0 <= row["duration_sec"] <= 7.0


def test_endless_voice_is_cut_and_flawed(tmp_path: Path) -> None:
    row = _prepared(tmp_path, make_voice([(0.5, 11.5)], 12.0))
    assert row["detail"].startswith("cut_in_phrase: ")
    assert 5.0 <= row["duration_sec"] <= 7.0
    assert row["cut_start_sec"] == pytest.approx(0.5, abs=0.05) or row[
        "cut_end_sec"
    ] == pytest.approx(11.5, abs=0.05)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda p: wavfile.write(p, RATE, np.zeros(8 * RATE, np.int16)), "silent"),
        (lambda p: wavfile.write(p, RATE, np.full(8 * RATE, np.nan, np.float32)), "broken"),
        (lambda p: p.write_bytes(b"no sound in here"), "broken"),
        (lambda p: p.write_bytes(b""), "broken"),
        (lambda p: None, "missing"),
    ],
)
def test_unusable_files_fail_with_a_reason(tmp_path: Path, make: Any, word: str) -> None:
    make(tmp_path / "in.wav")
    good = tmp_path / "good.wav"
    wavfile.write(good, RATE, make_voice([(1.0, 6.5)], 8.0))
    bad, fine = prepare_clips(
        [_row(tmp_path / "in.wav", "bad"), _row(good, "good")], tmp_path / "out", RATE
    )
    store.to_arrow(tables.CLIPS, [bad, fine])
    assert bad["status"] == tables.FAILED
    assert bad["detail"].startswith(f"{word}: ")
    assert bad["path"] is None
    assert not (tmp_path / "out" / "bad.wav").exists()
    assert fine["status"] == tables.OK


def test_user_errors_name_the_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 2: clip_id 'a' is there twice"):
        prepare_clips([_row("x", "a"), _row("y", "a")], tmp_path)
    with pytest.raises(UserError, match=r"row 1: column 'style' is empty"):
        prepare_clips([_row("x", style="")], tmp_path)
    with pytest.raises(UserError, match="8 to 7 s"):
        prepare_clips([], tmp_path, min_sec=8.0)


@pytest.mark.shared
def test_real_clips(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "real" / "audio").iterdir())
    got = prepare_clips([_row(f, f.stem) for f in files], tmp_path, sample_rate=48000)
    store.to_arrow(tables.CLIPS, got)
    assert len(got) == 11
    state = {r["clip_id"]: r["detail"].split(":")[0] for r in got}
    assert {k: v for k, v in state.items() if v} == {
        "sing_sonic_anime3_10s": "abrupt",  # no 5 s between its whole phrases
        "sing_sonic_female_rap_10s": "cut_in_phrase",  # sung over 8 s without a pause
        "speech_dice_female_zh_4s": "short",
        "speech_echomimic_chunwang_zh": "short",
    }
    for row in got:
        if state[row["clip_id"]] != "short":
            assert 5.0 <= row["duration_sec"] <= 7.0
        found = detect_voicing(media.read_audio(row["original"], 16000), 16000)
        assert not found.over_music
        ends = measure_edges(found, row["cut_start_sec"], row["cut_end_sec"])
        assert ends is not None
        for edge, own in zip(ends, (row["cut_start_sec"] > 0.0, row["cut_end_sec"]
                             < row["original_duration_sec"] - 0.02), strict=True):  # fmt: skip
            if own and not row["detail"]:
                assert edge.gap_sec >= 0.08
                assert edge.level_db < -12.0
        assert -30 < row["loudness_lufs"] < -10
