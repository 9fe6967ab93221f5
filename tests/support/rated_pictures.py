"""Pictures of the demo's portraits with a MOS, and a small backbone that is trained from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfqa.regression.blocks import BlockDesign
from sfqa.regression.train import RatedFeatures, train_metric

PORTRAITS = 8
#: All pictures of a portrait are in one part of a split.
PROTOCOL = {
    "name": "grouped",
    "kind": "group_kfold",
    "groups": ["image"],
    "k": 2,
    "validation": 0.25,
}
OPTIONS = {
    "backbone": "image", "model": "test_resnet.r160_in1k", "start": "random", "steps": 0,
    "backbone_rate": 1.0, "loss": "plcc", "learning_rate": 3e-3, "epochs": 30, "patience": 30,
    "batch_rows": 16, "warmup_epochs": 1.0, "ema": 0.0, "flip": True,
}  # fmt: skip


def rate_pictures(
    names: Sequence[str], images: Sequence[str], frames: Sequence[Any], mos: Sequence[float]
) -> RatedFeatures:
    """Return samples, each with its portrait, its frames (frame, 3, row, column) and its MOS."""
    samples = pd.DataFrame({"sample_id": names, "method": "m", "image_id": images, "clip_id": None})
    samples[["pair_id", "prompt", "split"]] = None
    table = pd.DataFrame({
        "sample_id": names, "dimension": "visual_quality", "mos": mos, "synthetic": False,
        "status": "ok", "detail": "",
    })  # fmt: skip
    design = BlockDesign(list(names), {"image.frames": np.array(frames)}, {})
    return RatedFeatures(design, samples, table)


def train_on_pictures(
    rated: RatedFeatures, folder: Path, seed: int, **options: Any
) -> pd.DataFrame:
    """Return the predictions of a training with :data:`OPTIONS`, changed by ``options``."""
    metric = {
        "name": "m", "head": "fine_tuned", "inputs": ["image.frames"],
        "options": {**OPTIONS, **options},
    }  # fmt: skip
    return pd.DataFrame(train_metric(metric, rated, [PROTOCOL], seed, folder))
