"""The picture of a cut: same bytes, inside its frame, colours that the colour-blind part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.text
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from demo_material import load_clip
from sfqa.materials import clip_plot
from sfqa.materials.clip_plot import plot_cut
from sfqa.materials.voicing import detect_voicing

RATE = 16000


def _row(**more: Any) -> dict[str, Any]:
    return {"clip_id": "c1", "style": "pop", "language": "zh", "status": "ok", "detail": "",
            "cut_reason": "1 whole phrase, 5.00 s voiced", "cut_start_sec": 1.0,
            "cut_end_sec": 6.5, "loudness_lufs": -17.34, **more}  # fmt: skip


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return load_clip("classical_en_04", RATE)


def test_the_same_bytes_twice_and_with_a_known_voicing(tmp_path: Path, song: np.ndarray) -> None:
    plot_cut(song, RATE, _row(), tmp_path / "a.png")
    plot_cut(song, RATE, _row(), tmp_path / "b.png", detect_voicing(song, RATE))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size == (1200, 600)


def _drawn(song: np.ndarray, row: dict[str, Any], path: Path, monkeypatch: Any) -> Figure:
    kept: list[Figure] = []

    class Keeping(Figure):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            kept.append(self)
            super().savefig(*args, **kwargs)

    monkeypatch.setattr(clip_plot, "Figure", Keeping)
    plot_cut(song, RATE, row, path)
    return kept[0]


def test_a_long_title_stays_inside_the_picture(
    tmp_path: Path, song: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = "short: " + "a sentence of some length, " * 30 + "x" * 300
    figure = _drawn(song, _row(detail=detail, clip_id="W" * 60), tmp_path / "t.png", monkeypatch)
    renderer = FigureCanvasAgg(figure).get_renderer()
    # Ticks beyond an axis have texts too, which are not drawn.
    ticks = [t for axes in figure.axes for t in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    shown = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text() and t not in ticks]
    assert len(shown) > 8
    for text in shown:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= 1200
        assert box.y0 >= 0
        assert box.y1 <= 600


def test_the_title_gives_loudness_and_takes_dollars_as_they_are(
    tmp_path: Path, song: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = _drawn(song, _row(detail="$_{"), tmp_path / "t.png", monkeypatch)
    assert "-17.3 LUFS" in figure.get_suptitle()
    figure = _drawn(song, _row(loudness_lufs=None), tmp_path / "t.png", monkeypatch)
    assert "no loudness" in figure.get_suptitle()


def test_the_cut_is_drawn_where_it_is(tmp_path: Path, song: np.ndarray) -> None:
    plot_cut(song, RATE, _row(), tmp_path / "a.png")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    red = (np.abs(picture - [0xD5, 0x5E, 0x00]).max(axis=2) < 8)[:500].sum(axis=0)
    columns = np.flatnonzero(red > 300)
    left, right = columns.min(), columns.max()
    wide = (right - left) / 5.5  # pixels of a second
    assert 900 < wide * len(song) / RATE < 1150


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.full(3 * RATE, 0.5)])
def test_odd_sounds_are_drawn(tmp_path: Path, samples: np.ndarray) -> None:
    row = _row(cut_start_sec=None, cut_end_sec=None, cut_reason=None)
    plot_cut(samples, RATE, row, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_of_a_long_file_the_surroundings_of_the_cut_are_drawn(
    tmp_path: Path, song: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = _row(cut_start_sec=20.0, cut_end_sec=26.0)
    figure = _drawn(np.tile(song, 4), row, tmp_path / "t.png", monkeypatch)
    assert figure.axes[0].get_xlim() == (12.0, 34.0)
    assert "lasts 40.85 s" in figure.axes[1].get_xlabel()
