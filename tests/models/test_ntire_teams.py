"""The models of NTIRE 2025's teams learn by their published training, as config/models.yaml has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from sfqa.models.quality_models import QualityModel
from sfqa.regression import heads
from sfqa.regression.model_metrics import load_checked_models
from sfqa.regression.problems import Features, make_problem

TEAMS = {
    name: model
    for name, model in load_checked_models().items()
    if model.group == "NTIRE 2025" and model.head != "fine_tuned"  # reads views, not features
}
#: Steps and width of the inputs at full size, by column; a width alone is a vector or a score.
SHAPES: dict[str, tuple[int, ...]] = {
    "clip.image": (8, 512),
    "clip.text": (512,),
    "slowfast": (6, 2304),
    "slowfast.slowfast": (6, 2304),
    "spatial-focusq.spatial": (6, 7168),
    "iqa-focusq.token": (6, 256),
    "image-swin_tiny.pooled": (6, 768),
    "image-swin_base.pooled": (6, 1024),
    "image-eva02_large.pooled": (8, 1024),
    "image-regnety_080.pooled": (6, 2016),
    "image-resnet18.pooled": (6, 512),
    "xclip-large_16.video": (768,),
    "siglip.image": (8, 768),
    "siglip.score": (1,),
    "iqa-liqe_mix.score": (1,),
    "fast_vqa.pooled": (4, 768),
    "blip.cls": (8, 768),
    **{f"audio.{name}": (6, 32 * 16) for name in ("chroma_stft", "chroma_cqt", "mfcc", "gfcc")},
}
#: Options of networks of sound, which would train for minutes at full size.
SMALLER = {
    "QA-Team": {"segments": 6, "columns": 16, "width": 64, "state": 16, "channels": [4, 4, 8]}
}
#: Rows for training, and up to which row they select an epoch; the others are test rows.
TRAIN, VALIDATION, COUNT = 240, 300, 500


def draw_quality(numbers: np.random.Generator) -> np.ndarray:
    """Return the quality of rows in groups of five, which share half of it; no group is split."""
    group = np.repeat(numbers.normal(size=COUNT // 5), 5)
    return (group + numbers.normal(size=COUNT)) / np.sqrt(2)


def draw_features(
    model: QualityModel, quality: np.ndarray, numbers: np.random.Generator
) -> Features:
    """Return features of the model's inputs, a part of which shows the quality in noise."""
    blocks = {}
    for column in model.inputs:
        *steps, width = SHAPES[column]
        loadings = numbers.normal(size=width) * (numbers.random(width) < 0.3) + (width == 1)
        signal = (quality[:, None] * loadings).reshape(COUNT, *[1] * len(steps), width)
        noise = numbers.normal(size=(COUNT, *steps, width)) * (0.5 if width == 1 else 2)
        blocks[column] = (signal + noise).astype(np.float32)
    if heads.read_design(model.head) == "blocks":
        options = heads.merge_options(model.head, model.options)
        head_inputs = heads.load_head(model.head).list_inputs(options, model.inputs)
        for column, head_input in zip(model.inputs, head_inputs, strict=True):
            if head_input.steps.rule == "mean_first":
                blocks[column] = blocks[column].mean(axis=1)
        return blocks
    means = [x.mean(axis=1) if x.ndim == 3 else x for x in blocks.values()]
    return np.concatenate(means, axis=1)


def train(model: QualityModel, folder: Path, shuffled: bool) -> float:
    """Return the SRCC with the labels of the test rows, after the training of the model's entry."""
    numbers = np.random.default_rng(5)
    quality = draw_quality(numbers)
    x = draw_features(model, quality, numbers)
    labels = numbers.permutation(quality) if shuffled else quality
    mos = 50 + 10 * labels[:, None]
    mos[VALIDATION:] = np.nan
    problem = make_problem(np.arange(TRAIN), np.arange(TRAIN, VALIDATION), mos, 0)
    options = heads.merge_options(model.head, {**model.options, **SMALLER.get(model.name, {})})
    scores, reasons = heads.fit_and_predict(model.head, x, [problem], options, folder, "cpu")
    assert reasons == [""]
    return float(spearmanr(scores[0, VALIDATION:, 0], labels[VALIDATION:]).statistic)


@pytest.mark.thorough
@pytest.mark.parametrize("name", list(TEAMS))
def test_each_team_learns_and_shuffled_labels_show_nothing(name: str, tmp_path: Path) -> None:
    assert train(TEAMS[name], tmp_path / "true", shuffled=False) > 0.9
    assert abs(train(TEAMS[name], tmp_path / "shuffled", shuffled=True)) < 0.3
