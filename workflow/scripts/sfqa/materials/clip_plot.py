"""A picture of how a clip was cut: waveform, loudness, periodicity, phrases, cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sfqa import store
from sfqa.materials.voicing import phrases, voicing


def plot_cut(
    samples: npt.ArrayLike, sample_rate: int, row: dict[str, Any], path: Path | str
) -> None:
    """Draw an original clip, mono of shape (n,), with the cut of its row of the clips table.

    The picture is a PNG of 1200x600 pixels, written by rename, the same bytes for the same input.
    """
    sound = np.asarray(samples, dtype=np.float64)
    found = voicing(sound, sample_rate)
    length = len(sound) / sample_rate
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    step = max(1, len(sound) // 4000)
    blocks = sound[: len(sound) // step * step].reshape(-1, step)
    clock = np.arange(len(blocks)) * step / sample_rate
    top.fill_between(clock, blocks.min(axis=1), blocks.max(axis=1), color="0.45", linewidth=0)
    top.set_ylabel("amplitude")
    top.set_ylim(-1, 1)
    top.set_title(
        f"{row['clip_id']} ({row['style']}, {row['language']}): {row['status']}"
        f"  {row['cut_reason'] or ''}  {row['detail']}",
        fontsize=9,
        loc="left",
    )
    bottom.plot(found.times_sec, found.loudness_db, color="tab:blue", linewidth=0.9)
    bottom.set_ylabel("loudness (dBFS)", color="tab:blue")
    bottom.set_ylim(-90, 0)
    bottom.set_xlabel("time in the original (s)")
    right = bottom.twinx()
    right.plot(found.times_sec, found.periodicity, color="tab:green", linewidth=0.7)
    right.fill_between(found.times_sec, 0, 0.04 * found.voiced, color="black", step="mid")
    right.set_ylabel("periodicity; black: voiced", color="tab:green")
    right.set_ylim(0, 1)
    for start, end in phrases(found):
        for axes in (top, bottom):
            axes.axvspan(start, end, color="tab:orange", alpha=0.22, linewidth=0)
    if row["cut_start_sec"] is not None:
        for axes in (top, bottom):
            for point in (row["cut_start_sec"], row["cut_end_sec"]):
                axes.axvline(point, color="tab:red", linewidth=1.6)
    top.set_xlim(0, max(length, 1e-3))
    with store.replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
