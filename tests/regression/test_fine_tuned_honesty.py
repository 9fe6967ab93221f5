"""What a fine-tuned backbone may not learn from: the MOS of test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from demo_material import load_portrait
from rated_pictures import PORTRAITS, rate_pictures, train_on_pictures
from sfqa.generation.known_quality import compute_quality
from sfqa.regression.train import RatedFeatures

SIDE = 48


def draw_picture(portrait: np.ndarray, noise: float, numbers: np.random.Generator) -> np.ndarray:
    """Return a piece of a portrait (3, row, column), noisy as by the procedural generator."""
    top, left = numbers.integers(0, 56 - SIDE, 2)
    piece = portrait[top : top + SIDE, left : left + SIDE].astype(np.float32)
    piece = piece + numbers.normal(size=piece.shape) * noise
    return piece.clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def make_features(variants: int) -> RatedFeatures:
    """Return two pictures of each variant of each portrait, and the MOS of its noise."""
    numbers = np.random.default_rng(0)
    names, frames, mos, images = [], [], [], []
    for number in range(1, PORTRAITS + 1):
        portrait = load_portrait(number, 56)[:56]
        for variant in range(variants):
            defects = {"noise_sigma": numbers.uniform(0, 16)}
            names.append(f"p{number}v{variant:02}")
            images.append(f"portrait{number:02}")
            frames.append([draw_picture(portrait, defects["noise_sigma"], numbers) for _ in "ab"])
            mos.append(100 * compute_quality(defects)["visual_quality"])
    return rate_pictures(names, images, frames, mos)


def test_labels_of_test_rows_change_no_prediction(tmp_path: Path) -> None:
    """A training that reads a test row's MOS, to learn or to select, would predict otherwise."""
    rated = make_features(4)
    before = train_on_pictures(rated, tmp_path / "before", 0, steps=2, epochs=2, patience=2)
    tested = before[(before["trial"] == 0) & (before["part"] == "test")]
    changed = rated.mos.copy()
    is_tested = changed["sample_id"].isin(tested["sample_id"])
    changed.loc[is_tested, "mos"] = 100 - changed.loc[is_tested, "mos"]
    after = train_on_pictures(
        RatedFeatures(rated.design, rated.samples, changed), tmp_path / "after", 0,
        steps=2, epochs=2, patience=2,
    )  # fmt: skip
    first, second = (rows[rows["trial"] == 0].set_index("sample_id") for rows in (before, after))
    assert len(tested)
    assert len(first) == len(second)
    pd.testing.assert_series_equal(first["prediction"], second["prediction"])
    others = [rows[rows["trial"] == 1].set_index("sample_id") for rows in (before, after)]
    assert not np.allclose(others[0]["prediction"], others[1]["prediction"], atol=1e-6)
