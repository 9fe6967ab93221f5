"""Driving clips: the choice of the cut, and the masters."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile
from scipy.signal import butter, sawtooth, sosfilt

from sfqa import media, store, tables
from sfqa.errors import UserError
from sfqa.materials import clips, singer
from sfqa.materials.clip_plot import plot_cut
from sfqa.materials.clips import choose_cut, prepare_clips
from sfqa.materials.voicing import phrases, runs, voicing

RATE = 24000
FLAT = (np.array([0.0, 60.0]), np.array([-30.0, -30.0]))


def _voice(
    spans: list[tuple[float, float]], length: float, hz: float = 220.0, floor_db: float = -70.0
) -> np.ndarray:
    """A buzzing voice of -14 dBFS in the given spans over white noise."""
    rng = np.random.default_rng(7)
    clock = np.arange(round(length * RATE)) / RATE
    tone = sosfilt(butter(2, 3000, fs=RATE, output="sos"), sawtooth(2 * np.pi * hz * clock))
    on = np.zeros(len(clock))
    for start, end in spans:
        on[round(start * RATE) : round(end * RATE)] = 0.35
    noise = 10 ** (floor_db / 20) * rng.standard_normal(len(clock))
    return (tone * on + noise).astype(np.float32)


def _row(path: Path | str, clip_id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"clip_id": clip_id, "path": str(path), "style": "pop", "language": "zh",
            "origin": "recorded", "title": None, **more}  # fmt: skip


def _prepared(tmp_path: Path, samples: np.ndarray, rate: int = RATE, **how: Any) -> dict[str, Any]:
    source = tmp_path / "in.wav"
    wavfile.write(source, rate, samples)
    (row,) = prepare_clips([_row(source)], tmp_path / "out", sample_rate=rate, **how)
    store.to_arrow(tables.CLIPS, [row])  # fits its schema, reasons included
    return row


# --- the choice ----------------------------------------------------------------------------


def _cut(spans: list[tuple[float, float]], length: float, **how: Any) -> Any:
    return choose_cut(spans, how.pop("runs", spans), length, 5.0, 7.0, how.pop("loudness", FLAT))


def test_one_whole_phrase_wins_over_less_voice() -> None:
    cut = _cut([(0.5, 3.0), (3.6, 9.6), (10.2, 12.0)], 13.0)
    assert (cut.start_sec, cut.end_sec) == (3.48, 9.72)
    assert cut.flaw == ""


def test_several_short_phrases_and_the_earliest_on_ties() -> None:
    spans = [(0.5 + 2 * k, 2.0 + 2 * k) for k in range(8)]
    cut = _cut(spans, 17.0)
    assert (cut.start_sec, cut.end_sec) == (0.38, 6.12)
    assert cut.reason == "3 whole phrases, 4.50 s voiced"


def test_pads_shrink_at_the_longest_length_and_pauses_stretch_to_the_least() -> None:
    cut = _cut([(1.0, 7.96)], 10.0)
    assert (cut.start_sec, cut.end_sec) == (0.98, 7.98)
    cut = _cut([(2.0, 6.0)], 8.0)
    assert cut.end_sec - cut.start_sec == pytest.approx(5.0)
    assert cut.start_sec < 2.0 < 6.0 < cut.end_sec


def test_a_phrase_that_the_file_itself_cuts_comes_second() -> None:
    cut = _cut([(0.0, 5.9), (6.5, 11.8)], 12.5)
    assert cut.start_sec == pytest.approx(6.38)
    assert _cut([(0.0, 5.9)], 6.0).flaw == ""


def test_between_syllables_where_the_phrase_is_too_long() -> None:
    syllables = [(1.0, 4.0), (4.1, 6.5), (6.58, 7.9), (8.0, 14.0)]
    times = np.linspace(0, 15, 1501)
    quiet = np.where((times > 6.5) & (times < 6.58), -50.0, -20.0)
    cut = _cut([(1.0, 14.0)], 15.0, runs=syllables, loudness=(times, quiet))
    assert cut.start_sec == pytest.approx(0.88)
    assert cut.end_sec == pytest.approx(6.54)
    assert cut.flaw.startswith("cut_in_phrase: ")


def test_quietest_point_of_an_endless_note() -> None:
    times = np.linspace(0, 20, 2001)
    level = -20.0 - 10.0 * np.exp(-(((times - 7.3) / 0.05) ** 2))
    cut = _cut([(1.5, 19.5)], 20.0, loudness=(times, level))
    assert cut.start_sec == 1.5
    assert cut.end_sec == pytest.approx(7.3, abs=0.01)
    assert cut.flaw.startswith("cut_in_phrase: ")


def test_no_phrase_takes_the_quietest_ends() -> None:
    times = np.linspace(0, 20, 2001)
    level = np.where((np.abs(times - 4) < 0.1) | (np.abs(times - 10) < 0.1), -60.0, -20.0)
    cut = choose_cut([], [], 20.0, 5.0, 7.0, (times, level))
    assert (cut.start_sec, cut.end_sec) == (
        pytest.approx(4.0, abs=0.11),
        pytest.approx(10.0, abs=0.11),
    )
    assert cut.flaw.startswith("no_voice: ")


def test_short_files_are_kept_whole() -> None:
    assert _cut([(0.5, 2.0)], 4.9)[:3] == (0.0, 4.9, "whole file")
    assert _cut([(0.5, 2.0)], 4.9).flaw.startswith("short: 4.90 s")
    assert _cut([], 4.9).flaw.count("; no_voice: ") == 1


@st.composite
def _timelines(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Voiced runs and a length, in ticks of 10 ms."""
    steps = draw(
        st.lists(
            st.tuples(st.integers(1, 120), st.integers(6, 900)),  # gap, run
            min_size=1,
            max_size=10,
        )
    )
    now = -1 if draw(st.booleans()) else 0
    spans = []
    for gap, run in steps:
        start = max(0, now + gap)
        spans.append((start, start + run))
        now = start + run
    return spans, now + draw(st.integers(0, 200))


def _possible(spans: list[tuple[int, int]], length: int) -> bool:
    """By brute force over ticks: is there a cut of 5 to 7 s that holds a span and cuts none?"""
    free = np.ones(length + 1, bool)
    sound = np.zeros(length + 1)
    for start, end in spans:
        free[start + 1 : end] = False
        sound[start:end] = 1
    before = np.concatenate([[0], np.cumsum(sound)])
    for size in range(500, min(700, length) + 1):
        at = np.arange(0, length - size + 1)
        if (free[at] & free[at + size] & (before[at + size] > before[at])).any():
            return True
    return False


@settings(max_examples=80, deadline=None)
@given(_timelines(), st.integers(0, 2**31))
def test_cut_is_inside_in_range_and_never_needlessly_in_voice(
    timeline: tuple[list[tuple[int, int]], int], seed: int
) -> None:
    ticks, length = timeline
    joined: list[list[int]] = []
    for start, end in ticks:
        if joined and start - joined[-1][1] < 25:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    whole = [(a, b) for a, b in joined]
    as_sec = lambda spans: [(a / 100, b / 100) for a, b in spans]  # noqa: E731
    times = np.arange(0, length + 1) / 100
    level = np.random.default_rng(seed).uniform(-60, -10, len(times))
    cut = choose_cut(as_sec(whole), as_sec(ticks), length / 100, 5.0, 7.0, (times, level))
    assert -1e-9 <= cut.start_sec < cut.end_sec <= length / 100 + 1e-9
    if length < 500:
        assert cut.flaw.startswith("short: ")
        return
    assert 5.0 - 1e-5 <= cut.end_sec - cut.start_sec <= 7.0 + 1e-5

    def cuts(spans: list[tuple[int, int]]) -> bool:
        return any(
            a / 100 + 1e-5 < point < b / 100 - 1e-5
            for point in cut[:2]
            for a, b in spans
        )  # fmt: skip

    assert (cut.flaw == "") == _possible(whole, length)
    assert cuts(whole) == bool(cut.flaw)
    if _possible(ticks, length):
        assert not cuts(ticks)


# --- the masters ---------------------------------------------------------------------------


def test_a_song_is_cut_at_its_pauses(tmp_path: Path) -> None:
    spans = [(0.5, 3.0), (3.7, 9.5), (10.1, 12.0)]
    sound = _voice(spans, 13.0)
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
    row = _prepared(tmp_path, np.full(round(4.0 * RATE), 0.5, np.float32))
    # A constant is silent in the voice band except where it starts and ends.
    assert row["status"] == tables.FLAWED
    samples = wavfile.read(row["path"])[1] / 32767
    size = round(0.01 * RATE)
    ramp = 0.5 * np.sin(np.pi / 2 * (np.arange(size) + 0.5) / size) ** 2
    assert samples[:size] == pytest.approx(ramp, abs=3e-5)
    assert samples[-size:] == pytest.approx(ramp[::-1], abs=3e-5)
    assert samples[size:-size] == pytest.approx(0.5, abs=3e-5)


def test_same_input_same_bytes(tmp_path: Path) -> None:
    song = singer.sing("folk", "en", 9, 0, RATE)
    for name in "12":
        (tmp_path / name).mkdir()
    one, two = (_prepared(tmp_path / name, song.samples) for name in "12")
    places = ("path", "original")
    assert {k: v for k, v in one.items() if k not in places} == {
        k: v for k, v in two.items() if k not in places
    }
    assert 5.0 <= one["duration_sec"] <= 7.0


def test_mp3_input(tmp_path: Path) -> None:
    wav, mp3 = tmp_path / "in.wav", tmp_path / "in.mp3"
    wavfile.write(wav, RATE, _voice([(1.0, 6.5), (7.2, 9.0)], 10.0))
    subprocess.run(
        [media.ffmpeg_exe(), "-loglevel", "error", "-i", wav, "-b:a", "96k", mp3], check=True
    )
    plain, lossy = prepare_clips(
        [_row(wav, "w"), _row(mp3, "m")], tmp_path / "out", sample_rate=48000
    )
    assert lossy["status"] == tables.OK
    assert lossy["sample_rate"] == 48000
    assert lossy["cut_start_sec"] == pytest.approx(plain["cut_start_sec"], abs=0.06)
    assert lossy["cut_end_sec"] == pytest.approx(plain["cut_end_sec"], abs=0.06)


def test_stereo_is_averaged_and_its_level_kept(tmp_path: Path) -> None:
    sound = _voice([(1.0, 6.5)], 8.0)
    sound *= 0.95 / np.abs(sound).max()
    row = _prepared(tmp_path, np.stack([sound, sound], axis=1))
    assert row["cut_reason"].count("lowered") == 0
    assert np.abs(wavfile.read(row["path"])[1]).max() / 32767 == pytest.approx(0.95, abs=1e-3)


def test_floats_above_one_are_lowered_not_clipped(tmp_path: Path) -> None:
    row = _prepared(tmp_path, 3.0 * _voice([(1.0, 6.5)], 8.0))
    samples = wavfile.read(row["path"])[1].astype(int)
    assert "lowered by" in row["cut_reason"]
    assert np.sum(np.abs(samples) >= 32767) == 0
    assert np.abs(samples).max() > 32700


def test_short_clip_is_flawed_and_whole(tmp_path: Path) -> None:
    row = _prepared(tmp_path, _voice([(0.5, 2.0)], 3.0))
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
    row = _prepared(tmp_path, _voice([(0.5, 11.5)], 12.0))
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
    wavfile.write(good, RATE, _voice([(1.0, 6.5)], 8.0))
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


def test_plot_is_drawn_the_same_twice(tmp_path: Path) -> None:
    sound = _voice([(1.0, 6.5)], 8.0)
    row = _prepared(tmp_path, sound)
    for name in ("a.png", "b.png"):
        plot_cut(sound, RATE, row, tmp_path / name)
    first = (tmp_path / "a.png").read_bytes()
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert first == (tmp_path / "b.png").read_bytes()


@pytest.mark.shared
def test_real_clips(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "real" / "audio").iterdir())
    got = prepare_clips([_row(f, f.stem) for f in files], tmp_path, sample_rate=16000)
    store.to_arrow(tables.CLIPS, got)
    state = {r["clip_id"]: r["detail"].split(":")[0] for r in got}
    assert {k: v for k, v in state.items() if v} == {
        "sing_sonic_female_rap_10s": "cut_in_phrase",  # sung over 8 s without a pause
        "speech_dice_female_zh_4s": "short",
        "speech_echomimic_chunwang_zh": "short",
    }
    for row in got:
        if state[row["clip_id"]] != "short":
            assert 5.0 <= row["duration_sec"] <= 7.0


def test_numbers_change_only_with_the_version() -> None:
    """Golden numbers: where they change on purpose, raise clips.VERSION and write them anew."""
    assert clips.VERSION == 1
    song = singer.sing("rock", "en", 1, 0, 16000)
    found = voicing(song.samples, 16000)
    assert found.loudness_db.mean() == pytest.approx(-21.411943, abs=1e-4)
    assert found.periodicity.mean() == pytest.approx(0.83444755, abs=1e-5)
    assert int(found.voiced.sum()) == 723
    cut = choose_cut(
        phrases(found), runs(found.voiced), len(song.samples) / 16000, 5.0, 7.0,
        (found.times_sec, found.loudness_db),
    )  # fmt: skip
    assert cut[:3] == (3.69, 9.38, "1 whole phrase, 4.90 s voiced")
