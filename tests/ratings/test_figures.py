"""Figures: what they say in words, the same bytes twice, and refusals; pictures are for eyes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.ratings import figures
from sfqa.ratings.rater_report import report_raters
from sfqa.ratings.significance import compare_labels


def study() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(1)
    rows = [
        (f"p{p}_{m}", m, f"p{p}", "cat" if p % 2 else "dog", "zh", d, lead + draw.normal(0, 3))
        for p in range(16)
        for m, lead in (("low", 20.0), ("high", 70.0), ("top", 70.5))
        for d in ("visual_quality", "sync")
    ]
    names = ["sample_id", "method", "pair_id", "image_category", "language", "dimension", "mos"]
    frame = pd.DataFrame(rows, columns=names)
    samples = frame.drop(columns=["dimension", "mos"]).drop_duplicates("sample_id")
    return frame[["sample_id", "dimension", "mos"]], samples


def scores() -> pd.DataFrame:
    draw = np.random.default_rng(2)
    rows = [
        (f"r{k}", f"s{n}", "sync", float(np.clip(1 + n % 5 + draw.integers(-1, 2), 1, 5)), False)
        for k in range(4)
        for n in range(20)
    ]
    return pd.DataFrame(rows, columns=["rater", "sample_id", "dimension", "score", "synthetic"])


def matrix() -> dict[str, Any]:
    wide = scores().pivot(index="sample_id", columns="rater", values="score")
    return {"sync": wide.to_numpy(float)}


def drawings(name: str, paths: list[Path], synthetic: bool) -> None:
    mos, samples = study()
    if name == "histograms":
        figures.plot_histograms(mos, paths, synthetic)
    elif name == "distributions":
        figures.plot_distributions(mos, samples, paths, (), synthetic)
    elif name == "differences":
        figures.plot_differences(compare_labels(mos, samples), "method", paths, synthetic)
    elif name == "raters":
        report = report_raters(scores())
        report.loc[0, ["rejected", "status"]] = [True, "flawed"]
        figures.plot_raters(report, paths, synthetic)
    else:
        figures.plot_sos(matrix(), (1.0, 5.0), paths, synthetic)


def texts(path: Path) -> list[str]:
    """What an SVG says: matplotlib leaves every text as a comment beside its outlines."""
    return [found.strip() for found in re.findall(r"<!--(.*?)-->", path.read_text(), re.DOTALL)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("histograms", ["visual quality", "sync", "videos"]),
        ("distributions", ["visual quality", "Generation method", "cat", "n=24", "n=16"]),
        ("differences", ["sync", "MOS, row minus column", "paired t, Holm; grey: not significant at .05"]),
        ("raters", ["sync", "Bias (raw scale)", "SRCC with the others", "left out", "used"]),
        ("sos", ["sync", "fit", "a = 1", "20 samples"]),
    ],
)  # fmt: skip
def test_a_figure_names_what_it_shows_and_is_the_same_twice(
    tmp_path: Path, name: str, wanted: list[str]
) -> None:
    first = [tmp_path / "a.svg", tmp_path / "a.png"]
    drawings(name, first, synthetic=True)
    drawings(name, [tmp_path / "b.svg", tmp_path / "b.png"], synthetic=True)
    for path in first:
        assert path.read_bytes() == path.with_stem("b").read_bytes()
    assert first[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    said = texts(first[0])
    for word in [*wanted, "synthetic ratings"]:
        assert word in said, said
    drawings(name, [tmp_path / "c.svg"], synthetic=False)
    assert "synthetic ratings" not in texts(tmp_path / "c.svg")


def test_differences_stand_from_high_to_low(tmp_path: Path) -> None:
    mos, samples = study()
    frame = compare_labels(mos, samples)
    figures.plot_differences(frame, "method", [tmp_path / "d.svg"])
    said = texts(tmp_path / "d.svg")
    # Columns first (all but the best), then rows (all but the worst), for each panel.
    labels = [word for word in said if word in ("low", "high", "top")]
    own = frame[(frame["label_kind"] == "method") & (frame["dimension"] == "sync")]
    better = own[(own["label_a"] == "high") & (own["label_b"] == "top")].iloc[0]
    best, second = ("high", "top") if better["difference"] > 0 else ("top", "high")
    assert labels[:4] == [second, "low", best, second]
    numbers = [int(word) for word in said if re.fullmatch(r"\d\d", word)]
    assert sum(45 <= number <= 56 for number in numbers) == 4  # 70 to 20, twice in each panel


def test_refusals(tmp_path: Path) -> None:
    mos, samples = study()
    out = [tmp_path / "x.png"]
    with pytest.raises(UserError, match="no two labels of 'language'"):
        figures.plot_differences(compare_labels(mos, samples), "language", out)
    with pytest.raises(UserError, match="no MOS has a label"):
        figures.plot_distributions(mos, samples[["sample_id"]], out)
    with pytest.raises(UserError, match="no sample has a MOS"):
        figures.plot_histograms(mos.assign(mos=np.nan), out)
    with pytest.raises(UserError, match="no rater to draw"):
        figures.plot_raters(report_raters(scores().iloc[:0]), out)
    with pytest.raises(UserError, match="no dimension to draw"):
        figures.plot_sos({}, (1.0, 5.0), out)
    with pytest.raises(ValueError, match="svg or .png is needed"):
        figures.plot_histograms(mos, [tmp_path / "x.pdf"])
    assert not list(tmp_path.iterdir())


def test_odd_data_are_drawn(tmp_path: Path) -> None:
    """One video, videos all alike, a rater without numbers, nothing testable."""
    mos, samples = study()
    figures.plot_histograms(mos.iloc[:1], [tmp_path / "one.png"])
    figures.plot_histograms(mos.assign(mos=3.0), [tmp_path / "same.png"])
    figures.plot_distributions(mos.iloc[:3].assign(mos=3.0), samples, [tmp_path / "few.png"])
    figures.plot_differences(
        compare_labels(mos.iloc[:6:2], samples), "method", [tmp_path / "untested.svg"]
    )
    assert "?" in texts(tmp_path / "untested.svg")
    lone = pd.concat([scores(), scores().iloc[:1].assign(rater="lone")])
    figures.plot_raters(report_raters(lone), [tmp_path / "lone.png"])
    assert len(list(tmp_path.iterdir())) == 5
