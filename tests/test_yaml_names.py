"""A name that YAML reads as a truth value, a number or a date is a sentence that asks for quotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sfqa.configuration import complete_config
from sfqa.errors import UserError
from sfqa.generation.registry import load_methods
from sfqa.ratings.screen.study import parse_study

SCHEMA = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"
#: A complete configuration of ready features.
PLAIN = """
dataset: d
mode: import_features
import: {table: TABLE, id: video, mos: {quality: mos}, features: [niqe, pi]}
regression:
  protocols: [{name: random, kind: random_kfold, k: 3}]
  metrics: {ridge: {kind: regressor, inputs: [imported], head: ridge, dimensions: {quality: other}}}
"""


def complete(folder: Path, old: str, new: str) -> dict[str, Any]:
    (folder / "t.csv").write_text("video,niqe,pi,mos\na,1,2,3\n")
    text = PLAIN.replace("TABLE", str(folder / "t.csv"))
    assert old in text
    return complete_config(yaml.safe_load(text.replace(old, new)), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("{quality: mos}", "{no: mos}", "config, import.mos: the key False: YAML reads no, off"),
        ("{quality: mos}", "{on: mos}", "config, import.mos: the key True: YAML reads yes, on and"),
        ("{quality: mos}", "{1: mos}", "config, import.mos: the key 1: YAML reads 1 as a number"),
        ("{quality: mos}", "{quality: 1}", "config, import.mos.quality: YAML reads 1 as a number"),
        ("id: video", "id: no", "config, import.id: YAML reads no, off and false as a truth value"),
        ("id: video", "id: 2024-01-02", "config, import.id: YAML reads 2024-01-02 as a date"),
        ("id: video", "id: ", "config, import.id: YAML reads null, ~ and nothing as an empty value"),
        ("[niqe, pi]", "[niqe, no]", "config, import.features.1: YAML reads no, off and false"),
        ("inputs: [imported]", "inputs: [yes]", "config, regression.metrics.ridge.inputs: YAML reads"),
        ("{quality: other}", "{quality: no}", "regression.metrics.ridge.dimensions: YAML reads no"),
        ("{quality: other}", "{off: other}", "regression.metrics.ridge.dimensions: the key False"),
        ("name: random", "name: off", "config, regression.protocols.0.name: YAML reads no, off"),
        ("kind: random_kfold", "kind: on", "config, regression.protocols.0.kind: YAML reads yes"),
        ("dataset: d", "dataset: 7", "config, dataset: YAML reads 7 as a number"),
        ("dataset: d", "dataset: d\n12: x", "config: the key 12: YAML reads 12 as a number"),
        ("mode:", "materials: {vocabulary: {language: [en, no]}}\nmode:",
         "config, materials.vocabulary.language.1: YAML reads no, off and false as a truth value"),
        ("mode:", "materials: {vocabulary: {category: {real: [man, yes]}}}\nmode:",
         "config, materials.vocabulary.category"),
        ("mode:", "correlation: {dimensions: [no]}\nmode:", "correlation.dimensions.0: YAML reads"),
    ],
)  # fmt: skip
def test_a_name_without_quotes_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    with pytest.raises(UserError) as caught:
        complete(tmp_path, old, new)
    assert where in str(caught.value)
    assert "put it in quotes, such as '" in str(caught.value)


def test_names_in_quotes_are_names(tmp_path: Path) -> None:
    config = complete(tmp_path, "{quality: mos}", "{'no': mos, '1': mos}")
    assert config["import"]["mos"] == {"no": "mos", "1": "mos"}


def test_other_files_ask_for_quotes_too(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("no: {kind: procedural}\n")
    with pytest.raises(UserError, match="the key False: .* put it in quotes"):
        load_methods(tmp_path / "m.yaml")
    for text in ("dimensions: [{name: no, label: {en: A}}]", "languages: [en, no]"):
        with pytest.raises(UserError, match=r"study.yaml.*put it in quotes"):
            parse_study(yaml.safe_load(text))
