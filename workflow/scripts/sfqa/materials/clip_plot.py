"""Plot how a clip was cut: waveform, loudness, periodicity, phrases, cut."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sfqa import store
from sfqa.materials.voicing import Voicing, detect_voicing, find_phrases

VERSION = 2

# Okabe and Ito's colour-blind safe colours; the cut is also the only thick line.
_BLUE, _ORANGE, _RED, _SKY = "#0072B2", "#E69F00", "#D55E00", "#56B4E9"
_LINES = (165, 140, 110, 80)  # characters per line of the title: the first that fits is used
_LONG_SEC, _AROUND_SEC = 30.0, 8.0  # for longer files, only this much around the cut is drawn
_POINTS = 4000  # more points would not be visible


def plot_cut(
    samples: npt.ArrayLike,
    sample_rate: int,
    row: dict[str, Any],
    path: Path | str,
    voicing: Voicing | None = None,
) -> None:
    """Plot an original clip, mono of shape (n,), with the cut of its row of the clips table.

    Top: waveform. Bottom: loudness, periodicity and voiced frames. Phrases are shaded, and the
    removed parts greyed. For files over 30 s only 8 s around the cut are shown. ``voicing`` is the
    result of :func:`sfqa.materials.voicing.detect_voicing`, computed if not given. Writes a PNG of
    1200x600 pixels atomically; the same input gives the same bytes.
    """
    sound = np.asarray(samples, dtype=np.float64)
    voicing = detect_voicing(sound, sample_rate) if voicing is None else voicing
    length = max(len(sound) / sample_rate, 1e-3)
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for characters in _LINES:
        title = figure.suptitle(_format_title(row, characters), fontsize=9, x=0.01, ha="left")
        if title.get_window_extent(canvas.get_renderer()).x1 < figure.bbox.x1:
            break
    start, end = row.get("cut_start_sec"), row.get("cut_end_sec")
    start_shown, end_shown = 0.0, length
    if start is not None and end is not None and length > _LONG_SEC:
        start_shown, end_shown = max(0.0, start - _AROUND_SEC), min(length, end + _AROUND_SEC)
    _draw_wave(top, sound, sample_rate, start_shown, end_shown)
    right = _draw_voice(bottom, voicing)
    for first, last in find_phrases(voicing):
        for axes in (top, bottom):
            axes.axvspan(first, last, color=_SKY, alpha=0.25, linewidth=0, zorder=0)
    bottom.fill_between([], [], color=_SKY, alpha=0.25, label="phrase")
    if start is not None and end is not None:
        _draw_cut((top, right), start, end, length)
    top.set_xlim(start_shown, end_shown)
    bottom.set_xlabel(f"time in the original (s), which lasts {length:.2f} s")
    lines = [axes.get_legend_handles_labels() for axes in (bottom, right)]
    figure.legend(*[a + b for a, b in zip(*lines, strict=True)], loc="outside lower center",
                  ncols=6, fontsize=9, frameon=False)  # fmt: skip
    with store.replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _format_title(row: dict[str, Any], characters: int) -> str:
    """Format the facts of a row as a title of at most four lines."""
    level = row.get("loudness_lufs")
    facts = [
        f"{row['clip_id']} ({row['style']}, {row['language']}): {row['status']}",
        "no loudness" if level is None else f"{level:.1f} LUFS",
        *filter(None, (row.get("cut_reason"), row.get("detail"))),
    ]
    # An unescaped dollar sign would start a formula.
    text = " | ".join(facts).replace("$", r"\$")
    return "\n".join(textwrap.wrap(text, characters, max_lines=4, placeholder=" ..."))


def _draw_wave(
    axes: Axes, sound: npt.NDArray[np.float64], sample_rate: int, low: float, high: float
) -> None:
    sound = sound[int(low * sample_rate) : int(high * sample_rate) + 1]
    step = max(1, len(sound) // _POINTS)
    blocks = sound[: len(sound) // step * step].reshape(-1, step)
    clock = low + np.arange(len(blocks)) * step / sample_rate
    axes.fill_between(clock, blocks.min(axis=1), blocks.max(axis=1), color="0.3", linewidth=0)
    axes.set_ylabel("amplitude")
    axes.set_ylim(-1, 1)


def _draw_voice(axes: Axes, voicing: Voicing) -> Axes:
    axes.plot(voicing.times_sec, voicing.loudness_db, color=_BLUE, linewidth=1.2, label="loudness")
    axes.set_ylabel("voice without music (dBFS)" if voicing.over_music else "loudness (dBFS)")
    axes.set_ylim(-90, 0)
    right = axes.twinx()
    right.plot(
        voicing.times_sec, voicing.periodicity, color=_ORANGE, linewidth=0.8, label="periodicity"
    )
    right.fill_between(
        voicing.times_sec, 0, 0.04, where=list(voicing.voiced), color="black", linewidth=0,
        step="mid", label="voiced",
    )  # fmt: skip
    right.set_ylabel("periodicity")
    right.set_ylim(0, 1.02)
    return right


def _draw_cut(panels: tuple[Axes, ...], start: float, end: float, length: float) -> None:
    for axes in panels:
        for low, high in ((0.0, start), (end, length)):
            axes.axvspan(low, high, color="white", alpha=0.65, linewidth=0, zorder=4)
        for point in (start, end):
            axes.axvline(point, color=_RED, linewidth=2.5, zorder=5)
    panels[-1].plot([], [], color=_RED, linewidth=2.5, label="cut")
