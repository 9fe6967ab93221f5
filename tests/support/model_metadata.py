"""The smallest metadata that a model file may have."""

from __future__ import annotations

from typing import Any

from sfqa.regression import heads

CONFORM = {
    "short_side": 512, "fps": 25, "sample_rate": 16000, "crf": 18, "preset": "fast",
    "mode": "encode", "expect": [],
}  # fmt: skip


def make_model_metadata(**changes: Any) -> dict[str, Any]:
    """Return metadata of a ridge model of one dimension, which reads one feature."""
    metadata = {
        "head": {
            "name": "ridge", "version": heads.read_version("ridge"), "refit": False,
            "options": heads.merge_number_options("ridge", {}),
        },
        "dataset": "d", "metric": {"name": "m"}, "conform": dict(CONFORM), "design": "pooled",
        "inputs": [{"input": "signal.sharpness", "columns": ["sharpness"], "shape": []}],
        "extractors": {
            "signal": {
                "version": 1, "options": {}, "weights": {"kind": "none", "identity": "none"},
            },
        },
        "fits": [
            {
                "dimensions": ["quality"], "seed": 1, "train": 10, "validation": 2,
                "validation_srcc": {"quality": 0.5},
            }
        ],
        "mos": {"quality": {"lowest": 1.0, "highest": 5.0, "mean": 3.0, "synthetic": False}},
        "rows": {"count": 12}, "packages": {"numpy": "2"},
    }  # fmt: skip
    return metadata | changes
