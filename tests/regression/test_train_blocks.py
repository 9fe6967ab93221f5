"""A head of sequences goes through the same trainer: rows, reasons and cache as all others."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from sfqa.regression.blocks import BlockDesign
from sfqa.regression.train import RatedFeatures, train_metric

TINY = {
    "width": 8, "layers": 1, "feedforward": 8, "fusion_feedforward": 8, "hidden": 8, "epochs": 2,
    "frames": 4, "clips": 4,
}  # fmt: skip
PROTOCOLS = [{"name": "p", "kind": "group_kfold", "groups": ["image"], "k": 3}]


def test_ugvq_is_trained_on_all_dimensions_and_found_again(tmp_path, caplog):
    rng, ids = np.random.default_rng(0), [f"s{n:02d}" for n in range(48)]
    shapes = {"clip.image": (4, 6), "slowfast": (4, 5), "clip.text": (7,)}
    blocks = {k: rng.normal(size=(len(ids), *s)).astype(np.float32) for k, s in shapes.items()}
    design = BlockDesign(ids[1:], {k: x[1:] for k, x in blocks.items()}, {ids[0]: "no_face: none"})
    samples = pd.DataFrame(
        {"sample_id": ids, "method": [f"m{n % 4}" for n in range(48)]}
        | {"image_id": [f"i{n // 4}" for n in range(48)]}
    )
    samples[["pair_id", "clip_id", "prompt", "split"]] = None
    mos = pd.DataFrame(
        [
            {"sample_id": s, "dimension": d, "mos": float(n + k), "status": "ok", "detail": ""}
            for n, s in enumerate(ids)
            for k, d in enumerate("ab")
        ]
    )
    metric = {"name": "UGVQ", "head": "ugvq", "options": TINY}
    caplog.set_level(logging.INFO, "sfqa")
    made = [
        train_metric(metric, RatedFeatures(design, samples, mos), PROTOCOLS, 1, tmp_path / "work")
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert "from the cache" in caplog.text.splitlines()[-1]
    rows = pd.DataFrame(made[0])
    tested = rows[rows["part"] == "test"]
    assert sorted(tested["sample_id"]) == sorted(2 * ids)
    missing = tested["sample_id"] == ids[0]
    assert set(tested.loc[missing, "detail"]) == {"no_face: none"}
    assert np.isfinite(tested.loc[~missing, "prediction"].astype(float)).all()
