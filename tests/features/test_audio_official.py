"""The sound features against numbers of the official code of GeneralAVQA and DNN-RNT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from official_code import check_array, draw_song, read_numbers
from sfqa.features import gammatone, spectra
from sfqa.features.extractors import audio

GENERAL = read_numbers("general_avqa")["front_end"]
INPUTS = {"8 s, 48 kHz": (8, 48000), "6 s, 48 kHz": (6, 48000), "6 s, 16 kHz": (6, 16000)}
#: The constant-Q transform is computed without librosa's short cuts.
MAPS: dict[str, tuple[Any, int, float]] = {
    "gfcc": (gammatone.compute_gfcc, audio.GFCC_HOP, 1e-7),
    "mfcc": (spectra.mel_cepstra, audio.HOP, 1e-4),
    "chroma_stft": (spectra.chroma_stft, audio.HOP, 1e-6),
    "chroma_cqt": (spectra.chroma_cqt, audio.HOP, 5e-3),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("described", INPUTS)
def test_maps_equal_those_of_general_avqa(name: str, described: str) -> None:
    """spafe 0.2.0, which the official call needs, does not pre-emphasise."""
    seconds, rate = INPUTS[described]
    compute_map, hop, tolerance = MAPS[name]
    segments = audio.cut_segments(draw_song(seconds, rate))
    for number in (0, 29):
        summary = GENERAL[described][name][f"segment {number}"]
        columns = summary["shape"][1]
        computed = compute_map(segments[number], rate, hop)[:columns].T
        check_array(computed, summary, tolerance)


def test_a_segment_of_8_seconds_has_the_first_64_official_columns() -> None:
    part = audio.cut_segments(draw_song(8, 48000))[0]
    maps = audio.compute_segment_maps(part, 48000)
    summary = GENERAL["8 s, 48 kHz"]["gfcc"]["segment 0"]
    flat = np.arange(len(summary["values"])) * summary["step"]
    bins, columns = np.unravel_index(flat, summary["shape"])
    kept = columns < audio.COLUMNS
    assert kept.sum() > 15
    np.testing.assert_allclose(
        maps["gfcc"][columns[kept], bins[kept]],
        np.array(summary["values"])[kept],
        rtol=0,
        atol=1e-7,
    )


def test_log_mel_equals_that_of_dnn_rnt() -> None:
    computed = spectra.log_mel(draw_song(8, 48000), 48000).T
    check_array(computed, read_numbers("dnn_rnt")["log_mel"], 1e-6)
