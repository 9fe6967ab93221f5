"""Figures of the papers' tables by the name of table and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sfqa.errors import UserError
from sfqa.published_figures import expand_record, read_figures
from sfqa.regression.metrics import list_metrics

CONFIG = Path(__file__).parents[1] / "config"


def test_a_row_has_a_record_for_each_dimension() -> None:
    assert read_figures("sfqa_table2", "FAST-VQA") == [
        {"source": "SFQA, Table 2", "dimension": "visual_quality",
         "srcc": 0.7165, "plcc": 0.7967, "krcc": 0.5323},
        {"source": "SFQA, Table 2", "dimension": "audio_visual_consistency",
         "srcc": 0.8189, "plcc": 0.8605, "krcc": 0.6241},
    ]  # fmt: skip
    (record,) = read_figures("lgvq_table2", "MUSIQ")
    assert (record["srcc"], record["dimension"]) == (0.389, "spatial_quality")
    records = read_figures("lgvq_table3", "Ours", dataset="LGVQ")
    assert [record["srcc"] for record in records] == [0.764, 0.894, 0.545]


def test_a_metric_names_the_table_and_keeps_its_own_keys() -> None:
    entry: dict[str, Any] = {"kind": "zero_shot", "inputs": ["clip.cosine"]}
    published = {"table": "aigc_vqa_table1", "row": "CLIPSim", "protocol": "random"}
    (metric,) = list_metrics({"CLIPScore": {**entry, "published": published}}, {"clip": None})
    assert metric["published"] == [
        {"source": "AIGC-VQA, Table 1", "dimension": "quality", "protocol": "random",
         "srcc": 0.1047, "plcc": 0.1277, "krcc": 0.0702, "rmse": 21.683}
    ]  # fmt: skip
    own = {"source": "a paper", "srcc": 0.5}
    assert expand_record(own, "CLIPScore") == [own]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"table": "sfqa_table3"}, "there is no table 'sfqa_table3'; did you mean 'sfqa_table2'"),
        ({"table": "sfqa_table2"}, "sfqa_table2 has no row 'DVOER'; did you mean 'DOVER'"),
        ({"table": "lgvq_table3", "row": "Ours"}, "for the datasets FETV, LGVQ, MQT; add dataset"),
    ],
)
def test_mistakes_are_sentences(record: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        expand_record(record, "DVOER")


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_names_rows_that_there_are(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    models = config.get("regression", {}).get("models", [])
    overrides = models.items() if isinstance(models, dict) else []
    for name, entry in overrides:
        for record in (entry or {}).get("published", []):
            assert expand_record(record, name)
