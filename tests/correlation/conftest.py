from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from sfqa import figure_style
from sfqa.correlation import figures, learning_figure, more_figures, rank_figure
from sfqa.identity import random_generator

METHODS = ("sonic", "float", "sharp", "memo", "sad")
METRICS = [
    {"name": "constant", "group": "Controls", "kind": "control", "direction": 1},
    {"name": "oracle", "group": "Controls", "kind": "control", "direction": 1},
    {"name": "lse_d", "group": "SyncNet", "kind": "zero_shot", "direction": -1},
    {"name": "simplevqa", "group": "VQA", "kind": "regressor", "direction": 1},
    {"name": "fastvqa", "group": "VQA", "kind": "regressor", "direction": 1},
]


class World:
    """A small dataset: 60 samples of 5 methods, 2 dimensions, 5 metrics, 3 protocols, 3 trials."""

    def __init__(self) -> None:
        draw = random_generator("correlation world")
        names = [f"i{n:02d}__c{n % 3}" for n in range(12)]
        self.samples = pd.DataFrame(
            [
                {"sample_id": f"{name}__{method}", "method": method}
                for name in names
                for method in METHODS
            ]
        )
        ids = list(self.samples["sample_id"])
        level = dict(zip(METHODS, (70, 60, 50, 40, 30), strict=True))
        mos, truth = [], {}
        for dimension in ("visual_quality", "av_consistency"):
            for sample, method in zip(ids, self.samples["method"], strict=True):
                truth[dimension, sample] = float(level[method] + draw.normal(0, 10))
                mos.append(
                    {
                        "sample_id": sample,
                        "dimension": dimension,
                        "mos": truth[dimension, sample],
                        "synthetic": False,
                        "status": "ok",
                        "detail": "",
                    }
                )
        self.mos = pd.DataFrame(mos)
        self.metrics = [{**m, "weights": "none"} for m in METRICS]
        noise = {"random": 8.0, "grouped": 14.0, "leave_one_method_out": 40.0}
        rows = []
        for protocol, spread in noise.items():
            for trial in range(3):
                for number, sample in enumerate(ids):
                    part = "test" if number % 3 == trial or number % 6 == 0 else "train"
                    for dimension in ("visual_quality", "av_consistency"):
                        goal = truth[dimension, sample]
                        for name, value in (
                            ("constant", 3.3),
                            ("oracle", goal),
                            ("lse_d", 12 - goal / 10 + number % 5),
                            ("simplevqa", goal + draw.normal(0, spread)),
                            ("fastvqa", goal + draw.normal(0, spread / 2)),
                        ):
                            rows.append(
                                {
                                    "metric": name,
                                    "dimension": dimension,
                                    "protocol": protocol,
                                    "trial": trial,
                                    "sample_id": sample,
                                    "part": part,
                                    "prediction": value,
                                    "status": "ok",
                                    "detail": "",
                                }
                            )
        self.predictions = pd.DataFrame(rows)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that the modules of this package saved, in order."""
    saved: list[Figure] = []

    def keep_and_save(figure: Figure, paths: Iterable[Path]) -> None:
        saved.append(figure)
        figure_style.save_figure(figure, paths)

    for module in (figures, learning_figure, more_figures, rank_figure):
        monkeypatch.setattr(module, "save_figure", keep_and_save)
    return saved
