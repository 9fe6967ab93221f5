"""A network that is trained whole beats its frozen twin; from shuffled labels it learns nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from demo_material import load_portrait
from rated_pictures import PORTRAITS, rate_pictures, train_on_pictures
from sfqa.generation.adapters import RenderJob
from sfqa.generation.adapters.procedural import OPTIONS as DEFECTS
from sfqa.generation.known_quality import compute_quality
from sfqa.generation.render import render_frames
from sfqa.generation.warp import Pose
from sfqa.options import fill_defaults
from sfqa.regression.train import RatedFeatures

pytestmark = pytest.mark.thorough

VARIANTS, SIDE, FRAMES = 16, 48, 1
SEEDS = (200, 201, 202, 203, 204)
#: Largest sizes of the defects that are drawn: noise adds what blur takes away.
LARGEST = {"noise_sigma": 16.0, "blur_sigma_px": 2.0, "colour_drift": 0.35}


def render_pictures(portrait: np.ndarray, options: dict[str, float], name: str, seed: int) -> Any:
    """Return frames of a video of the demo's generator, uint8 (frame, 3, row, column)."""
    numbers = np.random.default_rng(seed)
    poses = [
        Pose(mouth=mouth, dx=0.05 * dx, dy=0.05 * dy, zoom=1.1)
        for mouth, dx, dy in zip(*numbers.uniform(0, 1, (3, FRAMES)), strict=True)
    ]
    nowhere = Path(name)
    job = RenderJob(name, options, nowhere, nowhere, nowhere, nowhere, seed, SIDE, 25)
    values = {n: float(v) for n, v in fill_defaults(options, DEFECTS).items()}
    return np.array([f.transpose(2, 0, 1) for f in render_frames(portrait, poses, job, values)])


def make_features(seed: int) -> RatedFeatures:
    """Return frames of videos with drawn defects, and the MOS that the defects give."""
    numbers = np.random.default_rng(seed)
    names, frames, mos, images = [], [], [], []
    for number in range(1, PORTRAITS + 1):
        portrait = load_portrait(number, 256)
        for variant in range(VARIANTS):
            names.append(f"p{number}v{variant:02}")
            images.append(f"portrait{number:02}")
            defects = {name: largest * numbers.uniform() for name, largest in LARGEST.items()}
            frames.append(render_pictures(portrait, defects, names[-1], seed + len(names)))
            mos.append(100 * compute_quality(defects)["visual_quality"])
    return rate_pictures(names, images, frames, mos)


def compute_srcc(rated: RatedFeatures, folder: Path, seed: int, **options: Any) -> float:
    """Return the mean SRCC of the test rows over the trials of one training."""
    rows = train_on_pictures(rated, folder, seed, **options)
    rows = rows[rows["part"] == "test"].merge(rated.mos[["sample_id", "mos"]], on="sample_id")
    return float(np.mean([
        scipy.stats.spearmanr(trial["prediction"], trial["mos"]).statistic
        for _, trial in rows.groupby("trial")
    ]))  # fmt: skip


def test_training_all_beats_the_frozen_twin(tmp_path: Path) -> None:
    """Both have the same drawn network and the same videos; only ``train`` differs."""
    differences = []
    for seed in SEEDS:
        rated = make_features(seed)
        trained, frozen = (
            compute_srcc(rated, tmp_path / f"{seed}-{train}", seed, train=train)
            for train in ("all", "head")
        )
        print(f"seed {seed}: SRCC {trained:.3f} trained, {frozen:.3f} frozen")
        differences.append(trained - frozen)
    half = scipy.stats.t.ppf(0.975, len(SEEDS) - 1) * scipy.stats.sem(differences)
    print(f"difference {np.mean(differences):.3f}, half of the 95 % interval {half:.3f}")
    assert np.mean(differences) - half > 0


def test_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    """The mean SRCC over the seeds is 0 within its 95 % interval, and small."""
    srccs = []
    for seed in SEEDS:
        rated = make_features(seed)
        rated.mos["mos"] = np.random.default_rng(seed).permutation(rated.mos["mos"].to_numpy())
        srccs.append(compute_srcc(rated, tmp_path / f"{seed}", seed, train="all"))
    half = scipy.stats.t.ppf(0.975, len(SEEDS) - 1) * scipy.stats.sem(srccs)
    print(f"SRCC of shuffled labels {np.round(srccs, 3)}, mean {np.mean(srccs):.3f}, {half:.3f}")
    assert abs(np.mean(srccs)) < min(half, 0.15)
