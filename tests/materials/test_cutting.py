"""The choice of the cut: on timelines, and against the true phrases of the demo's clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import demo_material
from sfqa.materials import clips
from sfqa.materials.cutting import Cut, choose_cut
from sfqa.materials.voicing import Voicing, detect_voicing, find_phrases, find_runs, remove_music

FLAT = (np.array([0.0, 60.0]), np.array([-30.0, -30.0]))


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
    cut = _cut([(1.0, 7.9)], 10.0)
    assert (cut.start_sec, cut.end_sec) == (0.95, 7.95)
    cut = _cut([(2.0, 6.0)], 8.0)
    assert cut.end_sec - cut.start_sec == pytest.approx(5.0)
    assert cut.start_sec < 2.0 < 6.0 < cut.end_sec


def test_a_phrase_that_the_file_itself_cuts_comes_second() -> None:
    cut = _cut([(0.0, 5.9), (6.5, 11.8)], 12.5)
    assert cut.start_sec == pytest.approx(6.38)
    assert _cut([(0.0, 5.9)], 6.0).flaw == ""


def test_a_pause_that_may_be_a_comma_comes_second() -> None:
    spans = [(0.15, 3.4), (4.1, 6.0), (6.26, 7.2), (8.0, 9.0)]
    assert _cut(spans, 9.2).start_sec == pytest.approx(3.98)  # not 0.15 to 6.0, most of the voice
    assert _cut(spans, 9.2).end_sec == pytest.approx(9.12)


def test_the_end_moves_on_past_a_consonant() -> None:
    times = np.linspace(0, 12, 1201)
    level = np.where((times > 6.9) & (times < 7.12), -25.0, -60.0)
    cut = _cut([(1.0, 6.9)], 12.0, loudness=(times, level))
    assert cut.start_sec == pytest.approx(0.88)
    assert cut.end_sec == pytest.approx(7.13, abs=0.02)


def test_pads_are_shared_where_the_longest_length_is_reached() -> None:
    cut = _cut([(0.05, 6.98)], 10.0)
    assert cut.end_sec - cut.start_sec == pytest.approx(7.0)
    assert 0.05 - cut.start_sec >= 0.03
    assert cut.end_sec - 6.98 >= 0.03
    assert _cut([(1.0, 7.96)], 10.0).flaw.startswith("cut_in_phrase: ")  # 20 ms a side are too few


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
            # gap, run; a gap is even, so that its middle is a tick too
            st.tuples(st.integers(1, 60).map(lambda half: 2 * half), st.integers(6, 900)),
            min_size=1,
            max_size=10,
        )
    )
    now = -2 if draw(st.booleans()) else 0
    spans = []
    for gap, run in steps:
        start = max(0, now + gap)
        spans.append((start, start + run))
        now = start + run
    return spans, now + draw(st.integers(0, 200))


def _possible(spans: list[tuple[int, int]], length: int) -> bool:
    """By brute force over ticks: is there a cut of 5 to 7 s that holds a span and cuts none?

    It keeps 30 ms away from every span, where the middle of the pause and the file allow.
    """
    free = np.ones(length + 1, bool)
    sound = np.zeros(length + 1)
    for (start, end), last, after in zip(
        spans, [None, *spans], [*spans[1:], (length, 0)], strict=False
    ):
        before = min(3, (start - last[1]) // 2 if last else start)
        behind = min(3, (after[0] - end) // 2 if after[1] else length - end)
        free[start - before + 1 : end + behind] = False
        sound[start:end] = 1
    before = np.concatenate([[0], np.cumsum(sound)])
    for size in range(500, min(700, length) + 1):
        at = np.arange(0, length - size + 1)
        if (free[at] & free[at + size] & (before[at + size] > before[at])).any():
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(_timelines(), st.integers(0, 2**31))
@example(([(1, 380), (500, 698)], 701), 0)  # five seconds only up to the next phrase's first sound
@example(([(1, 698)], 701), 698)  # whole in seven seconds, but with less than 30 ms around it
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

    def cuts(spans: list[tuple[int, int]], away: float = 0.0) -> bool:
        return any(
            a / 100 - away + 1e-5 < point < b / 100 + away - 1e-5
            for point in cut[:2]
            for a, b in spans
        )

    assert (cut.flaw == "") == _possible(whole, length)
    assert bool(cut.flaw) >= cuts(whole)
    # A flaw is also said of what was cut on the phrase's edge, nearer than the 30 ms of a good cut.
    assert bool(cut.flaw) <= cuts(whole, away=0.03)
    if _possible(ticks, length):
        assert not cuts(ticks)


def _chosen(samples: np.ndarray) -> tuple[Cut, Voicing]:
    found = detect_voicing(samples, 16000)
    cut = choose_cut(
        find_phrases(found), find_runs(found.voiced), len(samples) / 16000, 5.0, 7.0,
        (found.times_sec, found.loudness_db),
    )  # fmt: skip
    return cut, found


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(demo_material.CLIPS), st.floats(0.97, 1.1), st.floats(0.1, 1.0),
    st.integers(0, 3),
)  # fmt: skip
def test_cuts_lie_outside_every_sung_phrase(
    clip_id: str, speed: float, gain: float, silence_sec: int
) -> None:
    song = demo_material.change_speed(demo_material.load_clip(clip_id, 16000), speed)
    sung = np.array(demo_material.PHRASES[clip_id]) / speed + silence_sec
    cut, _ = _chosen(np.pad(gain * song, (16000 * silence_sec, 0)))
    assert cut.flaw == ""
    assert 5.0 <= cut.end_sec - cut.start_sec <= 7.0
    kept = 0
    for start, end in sung:
        assert not start < cut.start_sec < end
        assert not start < cut.end_sec < end
        kept += cut.start_sec <= start and end <= cut.end_sec
    assert kept >= 1


@pytest.mark.parametrize("clip_id", demo_material.CLIPS)
def test_no_cut_in_a_phrase_over_a_loud_band(clip_id: str) -> None:
    voice = demo_material.load_clip(clip_id, 16000).astype(float)
    spans = demo_material.PHRASES[clip_id]
    sung = np.concatenate([voice[round(a * 16000) : round(b * 16000)] for a, b in spans])
    band = demo_material.play_band(len(voice) / 16000, 16000)
    mix = voice + 10 ** (-3 / 20) * np.sqrt(np.mean(sung**2)) * band  # only 3 dB below
    cut, found = _chosen(mix)
    assert found.over_music
    assert cut.flaw == ""
    for start, end in spans:
        assert not start + 0.03 < cut.start_sec < end - 0.03
        assert not start + 0.03 < cut.end_sec < end - 0.03


def test_numbers_change_only_with_the_version() -> None:
    """Golden numbers: where they change on purpose, raise clips.VERSION and write them anew."""
    assert clips.VERSION == 4
    # Every third sample: the numbers hang on no resampler.
    song = demo_material.load_clip("rock_en_02", 48000)[::3]
    cut, found = _chosen(song)
    assert found.loudness_db.mean() == pytest.approx(-21.190957, abs=1e-4)
    assert found.periodicity.mean() == pytest.approx(0.82031742, abs=1e-5)
    assert int(found.voiced.sum()) == 796
    assert cut[:3] == (4.4, 10.35, "1 whole phrase, 5.16 s voiced")
    rng = np.random.default_rng(1)
    drawn = remove_music(0.1 * np.cumsum(rng.standard_normal(32000)) / 50)
    assert np.abs(drawn).mean() == pytest.approx(0.010982663, abs=1e-7)
