"""The figures of ``sfqa mos``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def draw_figures(
    folder: Path,
    scores: pd.DataFrame,
    mos: pd.DataFrame,
    report: pd.DataFrame,
    scale: tuple[float, float],
    samples: pd.DataFrame | None,
    extra: Sequence[str],
    differences: pd.DataFrame | None,
) -> None:
    """Draw every figure that the tables have data for, as .png and .svg."""
    from sfqa.correlation import figures as bars
    from sfqa.ratings import figures
    from sfqa.ratings.by_label import average_by_label
    from sfqa.ratings.reliability import select_sos_ratings

    folder.mkdir(exist_ok=True)
    synthetic = bool(scores["synthetic"].any())

    def list_files(name: str) -> list[Path]:
        return [folder / f"{name}.png", folder / f"{name}.svg"]

    if mos["mos"].notna().any():
        figures.plot_histograms(mos, list_files("mos"), synthetic)
    figures.plot_raters(report, list_files("raters"), synthetic)
    if matrices := select_sos_ratings(scores, scale):
        figures.plot_sos(matrices, scale, list_files("sos"), synthetic)
    if samples is None or differences is None:
        return
    by_label = average_by_label(mos, samples, extra)
    if not by_label.empty:
        bars.draw_mos_by_label(by_label, list_files("mos_by_label"), synthetic)
        figures.plot_distributions(mos, samples, list_files("distributions"), extra, synthetic)
    for label_kind in dict.fromkeys(differences["label_kind"]):
        files = list_files(f"differences_{label_kind}")
        figures.plot_differences(differences, str(label_kind), files, synthetic)
