"""Keys of a dataset's own (scene, speaker, ...): from patterns, sheets, labels and tables to splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from sfqa import store, tables
from sfqa.configuration import complete_config
from sfqa.correlation.bootstrap import draw_resampling
from sfqa.errors import UserError
from sfqa.features.importing import import_table
from sfqa.generation.importing import list_videos
from sfqa.regression.train import encode_protocol_groups
from sfqa.splits.grouping import get_group_values
from sfqa.splits.leaks import describe_leaks
from sfqa.splits.protocols import make_splits

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"
SCENES, SPEAKERS = ("City", "Street", "Lake", "Wood"), ("ann", "bob", "cem")


def read_keys(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {row["sample_id"]: json.loads(row["keys"] or "{}") for row in rows}


def make_samples(empty: int = 0) -> pd.DataFrame:
    """Two videos of every scene with every speaker; the first ``empty`` have no scene."""
    rows = [
        {"sample_id": f"{scene}_{speaker}_{n}", "method": "natural", "prompt": None,
         "image_id": None, "clip_id": None, "split": None,
         "keys": json.dumps({"scene": scene, "speaker": speaker})}
        for scene in SCENES for speaker in SPEAKERS for n in range(2)
    ]  # fmt: skip
    for row in rows[:empty]:
        row["keys"] = json.dumps({"speaker": "ann"})
    return pd.DataFrame(rows).astype(object)


def list_values(samples: pd.DataFrame, split: Any, key: str, *parts: str) -> set[str]:
    column = get_group_values(samples, key)
    return set(column[samples["sample_id"].map(split.part).isin(parts)].dropna())


def test_a_pattern_gives_keys(tmp_path: Path) -> None:
    for name in ("City_ann.mp4", "Lake_bob.mp4"):
        (tmp_path / name).write_bytes(b"")
    source = {"folder": str(tmp_path), "pattern": r"(?P<scene>[A-Z]\w+)_(?P<method>\w+)\.mp4"}
    with pytest.raises(UserError, match=r"unknown group 'scene' .*listed in import.keys"):
        list_videos(source, 1)
    rows = list_videos({**source, "keys": ["scene"]}, 1)
    assert list(read_keys(rows).values()) == [{"scene": "City"}, {"scene": "Lake"}]
    assert {row["method"] for row in rows} == {"ann", "bob"}


def test_a_sheet_gives_keys(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("video,method,scene\na.mp4,natural,City\nb.mp4,natural,\n")
    rows = list_videos({"sheet": str(sheet), "keys": ["scene"]}, 1)
    assert [row["keys"] for row in rows] == ['{"scene": "City"}', None]
    with pytest.raises(UserError, match=r"the column 'speaker' is missing \(import.keys\)"):
        list_videos({"sheet": str(sheet), "keys": ["scene", "speaker"]}, 1)
    with pytest.raises(UserError, match="unknown column 'scene'"):
        list_videos({"sheet": str(sheet)}, 1)


def test_labels_constants_names_and_lookups_give_keys(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "labels.csv").write_text("video,mos,head\na.mp4,1,h1\nb.mp4,2,h2\n")
    (tmp_path / "heads.csv").write_text("head,who\nh1,ann\nh2,bob\n")
    labels = {"files": "labels.csv", "mos": {"quality": "mos"}, "columns": {"head": "head"}}
    lookup = {"file": "heads.csv", "field": "head", "key": "head", "columns": {"speaker": "who"}}
    source = {
        "folder": str(tmp_path), "labels": labels, "lookups": [lookup],
        "constant": {"method": "natural", "room": "lab"}, "keys": ["head", "speaker", "room"],
        "names": {"room": {"lab": "studio"}},
    }  # fmt: skip
    assert read_keys(list_videos(source, 1)) == {
        "a": {"head": "h1", "speaker": "ann", "room": "studio"},
        "b": {"head": "h2", "speaker": "bob", "room": "studio"},
    }
    with pytest.raises(UserError, match=r"import.labels.columns: no field 'head'; there are .*, "):
        list_videos({**source, "keys": ["speaker", "room"]}, 1)


def test_a_table_of_features_gives_keys(tmp_path: Path) -> None:
    table = tmp_path / "features.csv"
    table.write_text("name,f1,mos,place\na_ann,1,3,City\nb_bob,2,4,\n")
    source = {
        "table": str(table), "id": "name", "mos": {"quality": "mos"}, "features": ["f1"],
        "pattern": r"\w_(?P<speaker>\w+)", "columns": {"scene": "place"}, "keys": ["speaker", "scene"],
    }  # fmt: skip
    samples = import_table(source, 1).samples
    assert read_keys(samples) == {
        "a_ann": {"speaker": "ann", "scene": "City"},
        "b_bob": {"speaker": "bob"},
    }
    store.to_arrow(tables.SAMPLES, samples)
    with pytest.raises(UserError, match="nothing is called 'scene'"):
        import_table({**source, "keys": ["speaker"]}, 1)


def test_numbers_and_lists_of_a_column_called_keys_are_texts() -> None:
    cells = ['{"scene": 3}', '{"scene": "x"}', '{"scene": ["a", 1]}', '{"scene": null}', "[1]"]
    samples = pd.DataFrame({"sample_id": list("abcde"), "keys": cells})
    values = get_group_values(samples, "scene")
    assert values.tolist() == ["3", "x", "['a', 1]", None, None]


def test_tables_of_earlier_versions_have_no_keys(tmp_path: Path) -> None:
    row = {"sample_id": "a", "method": "m", "shard": 0}
    store.write(tables.SAMPLES, [row], tmp_path / "samples.parquet")
    old = pq.read_table(tmp_path / "samples.parquet").drop_columns(["keys"])
    pq.write_table(old, tmp_path / "samples.parquet")
    samples = store.read(tables.SAMPLES, tmp_path / "samples.parquet")
    assert list(samples.columns) == tables.SAMPLES.names
    assert samples["keys"].isna().all()
    pq.write_table(old.drop_columns(["split"]), tmp_path / "samples.parquet")
    with pytest.raises(UserError, match="not a samples table"):
        store.read(tables.SAMPLES, tmp_path / "samples.parquet")


@pytest.mark.parametrize("kind", ["group_kfold", "group_trials", "leave_one_group_out"])
def test_no_value_of_a_key_is_in_two_parts(kind: str) -> None:
    samples = make_samples()
    sizes: dict[str, Any] = {"k": 4} if kind == "group_kfold" else {}
    protocol = {"name": "p", "kind": kind, "groups": ["scene"], **sizes}
    splits = make_splits(samples, protocol, 0)
    assert len(splits) == {"group_kfold": 4, "group_trials": 10, "leave_one_group_out": 4}[kind]
    for split in splits:
        parts = [list_values(samples, split, "scene", p) for p in ("train", "validation", "test")]
        assert all(parts)
        assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
        assert set(split.part) == set(samples["sample_id"])
    codes = encode_protocol_groups(samples, protocol, samples["sample_id"].tolist())
    assert codes is not None
    assert len(set(codes)) == 4
    assert draw_resampling(samples, ["scene"], 10).units == "4 scene groups"


def test_two_keys_and_a_content_are_kept_apart_together() -> None:
    samples = make_samples()
    samples["image_id"] = samples["keys"].map(lambda cell: json.loads(cell)["speaker"] + "'s face")
    protocol = {"name": "p", "kind": "group_kfold", "groups": ["image", "speaker", "scene"], "k": 3}
    splits = make_splits(samples, protocol, 0)
    assert len(splits) == 9  # a face is nested in its speaker: two groups of three folds
    for split in splits:
        for key in ("scene", "speaker"):
            assert not list_values(samples, split, key, "train", "validation") & list_values(
                samples, split, key, "test"
            )


def test_leave_one_group_out_tests_every_value_once() -> None:
    samples = make_samples()
    protocol = {"name": "p", "kind": "leave_one_group_out", "groups": ["speaker"]}
    splits = make_splits(samples, protocol, 0)
    tested = [list_values(samples, split, "speaker", "test") for split in splits]
    assert tested == [{"ann"}, {"bob"}, {"cem"}]


def test_a_sample_without_a_key_is_a_group_of_its_own() -> None:
    samples = make_samples(empty=3)
    protocol = {"name": "p", "kind": "group_kfold", "groups": ["scene"], "k": 5}
    splits = make_splits(samples, protocol, 0)
    tested = [s for split in splits for s, part in split.part.items() if part == "test"]
    assert sorted(tested) == sorted(samples["sample_id"])
    assert len({split.trial for split in splits}) == 5
    text = describe_leaks(samples, protocol, 0)
    assert text.endswith("Samples without a scene: 3, each a group of its own.")
    with pytest.raises(UserError, match=r"'City_ann_0' \(3 in all\) has no scene.*use kind"):
        make_splits(samples, {"name": "p", "kind": "leave_one_group_out", "groups": ["scene"]}, 0)


def test_order_of_rows_and_other_keys_change_nothing() -> None:
    samples = make_samples()
    protocol = {"name": "p", "kind": "group_trials", "groups": ["scene"]}
    without = samples.assign(
        keys=samples["keys"].map(lambda cell: json.dumps({"scene": json.loads(cell)["scene"]}))
    )
    assert make_splits(samples, protocol, 1) == make_splits(without[::-1], protocol, 1)
    by_style = samples.assign(style=get_group_values(samples, "scene"), keys=None)
    assert [s.part for s in make_splits(by_style, {**protocol, "groups": ["style"]}, 1)] != []


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"groups": ["scen"]}, "groups: no group 'scen'; did you mean 'scene'"),
        ({"groups": ["city"]}, "no group 'city'; there are image, clip, .*, scene, speaker"),
        ({"groups": ["scene"], "k": 5}, "4 different values of scene are too few for 5 folds"),
        ({"groups": ["style"]}, "no sample has a style"),
        ({"kind": "leave_one_group_out"}, "name the one group that is left out"),
        ({"kind": "leave_one_group_out", "groups": ["scene", "speaker"]}, "name the one group"),
        ({"kind": "leave_one_group_out", "groups": ["method"]}, "1 different values of method are"),
    ],
)
def test_impossible_groups_are_sentences(protocol: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_splits(make_samples(), {"name": "p", "kind": "group_kfold", **protocol}, 0)


def test_captions_say_which_keys_are_shared() -> None:
    samples = make_samples()
    random = {"name": "random", "kind": "random_kfold", "k": 2}
    shared = max(
        len(
            list_values(samples, s, "scene", "train", "validation")
            & list_values(samples, s, "scene", "test")
        )
        for s in make_splits(samples, random, 0)
    )
    assert describe_leaks(samples, random, 0) == (
        f"Protocol 'random': train and test share up to {shared} of 4 values of scene and "
        "up to 3 of 3 values of speaker."
    )
    by_scene = {"name": "by_scene", "kind": "group_kfold", "groups": ["scene"], "k": 2}
    assert describe_leaks(samples, by_scene, 0) == (
        "Protocol 'by_scene': train and test share no value of scene and up to "
        "3 of 3 values of speaker."
    )
    samples["split"] = ["test" if s.startswith("Wood") else "train" for s in samples["sample_id"]]
    fixed = {"name": "official", "kind": "fixed", "groups": ["scene"]}
    assert describe_leaks(samples, fixed, 0) == (
        "The published split 'official' is not disjoint: 3 values of speaker in train and test."
    )
    assert describe_leaks(samples.assign(keys=None), random, 0) == ""
    assert describe_leaks(samples.assign(keys='{"room": "lab"}'), random, 0) == ""


def complete(tmp_path: Path, protocol: dict[str, Any], **source: Any) -> dict[str, Any]:
    (tmp_path / "a_City.mp4").write_bytes(b"")
    pattern = r"(?P<method>\w)_(?P<scene>\w+)\.mp4"
    config = {
        "dataset": "x", "mode": "import_videos",
        "import": {"folder": str(tmp_path), "pattern": pattern, "keys": ["scene"], **source},
        "regression": {"protocols": [{"name": "p", "kind": "group_kfold", **protocol}]},
    }  # fmt: skip
    return complete_config(config, SCHEMA)


def test_a_configuration_with_unknown_keys_is_refused_before_any_job(tmp_path: Path) -> None:
    config = complete(tmp_path, {"groups": ["scene"]})
    assert config["import"]["keys"] == ["scene"]
    with pytest.raises(
        UserError, match=r"'p', groups: no group 'speaker'; .*language, video, scene"
    ):
        complete(tmp_path, {"groups": ["speaker"]})
    with pytest.raises(UserError, match="nothing gives the key 'speaker'"):
        complete(tmp_path, {}, keys=["scene", "speaker"])
    with pytest.raises(UserError, match="'method' cannot be a key"):
        complete(tmp_path, {}, keys=["scene", "method"])
    for key, value in (("constant", {"scene": "x"}), ("samples_by", ["scene"])):
        with pytest.raises(UserError, match=f"import.{key}: it is for label files"):
            complete(tmp_path, {}, **{key: value})
    with pytest.raises(UserError, match="'the scene' cannot be a key"):
        complete(tmp_path, {}, keys=["the scene"])
