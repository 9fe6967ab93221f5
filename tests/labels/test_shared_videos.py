"""One video in several samples: ids, joins, shards, splits, features computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.generation.importing import list_videos
from sfqa.labels.joining import join_labels
from sfqa.labels.scores import read_mos
from sfqa.splits.leaks import describe_leaks
from sfqa.splits.protocols import make_splits

#: Video, prompt, viewing condition, MOS: a.mp4 is rated with two prompts, one of them twice.
ROWS = [
    ("a.mp4", "a dog", "dark", 1.0),
    ("a.mp4", "a dog", "lit", 2.0),
    ("a.mp4", "a cat", "dark", 3.0),
    ("b.mp4", "a dog", "dark", 4.0),
]


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    write_labels(tmp_path, ROWS)
    columns = {"prompt": "prompt", "condition": "condition"}
    return {
        "folder": str(tmp_path),
        "labels": {"files": "labels.txt", "separator": "|", "mos": {"quality": "mos"}, "columns": columns},
        "constant": {"method": "natural"}, "keys": ["condition"],
        "samples_by": ["prompt", "condition"],
    }  # fmt: skip


def write_labels(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    lines = ["video|prompt|condition|mos", *("|".join(map(str, row)) for row in rows)]
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")


def test_every_sample_has_its_own_id_prompt_and_mos(source: dict[str, Any]) -> None:
    rows = list_videos(source, 7)
    assert [row["sample_id"] for row in rows] == [
        "a-a-cat-dark", "a-a-dog-dark", "a-a-dog-lit", "b-a-dog-dark"
    ]  # fmt: skip
    assert [row["prompt"] for row in rows] == ["a cat", "a dog", "a dog", "a dog"]
    assert [Path(row["source_path"]).name for row in rows] == ["a.mp4"] * 3 + ["b.mp4"]
    assert len({row["shard"] for row in rows[:3]}) == 1
    mos = {row["sample_id"]: row["mos"] for row in read_mos(source, [r["sample_id"] for r in rows])}
    assert mos == {
        "a-a-dog-dark": 1.0, "a-a-dog-lit": 2.0, "a-a-cat-dark": 3.0, "b-a-dog-dark": 4.0
    }  # fmt: skip


def test_a_row_more_changes_no_id(source: dict[str, Any], tmp_path: Path) -> None:
    before = {row["sample_id"] for row in list_videos(source, 1)}
    write_labels(tmp_path, [*ROWS, ("b.mp4", "a cow", "dark", 5.0)])
    assert {row["sample_id"] for row in list_videos(source, 1)} - before == {"b-a-cow-dark"}


def test_values_that_differ_in_signs_have_ids_of_their_own(
    source: dict[str, Any], tmp_path: Path
) -> None:
    write_labels(tmp_path, [("a.mp4", p, "x", 1) for p in ("a dog", "a, dog", "A dog")] + [ROWS[3]])
    names = [row["sample_id"] for row in list_videos(source, 1)]
    assert len({name.casefold() for name in names}) == 4
    assert all(name.startswith("a-a-dog-x-") for name in names if name[0] == "a" and name[2] == "a")


def test_ids_of_the_label_file_are_taken(source: dict[str, Any], tmp_path: Path) -> None:
    text = "video|id|mos\na.mp4|s1|1\na.mp4|s2|2\nb.mp4|s3|3\n"
    (tmp_path / "labels.txt").write_text(text)
    labels = {**source["labels"], "columns": {"sample_id": "id"}}
    by_id = {**source, "labels": labels, "samples_by": ["sample_id"], "keys": []}
    assert [row["sample_id"] for row in list_videos(by_id, 1)] == ["s1", "s2", "s3"]
    (tmp_path / "labels.txt").write_text(text.replace("s2", "s3"))
    assert len({row["sample_id"] for row in list_videos(by_id, 1)}) == 3  # of two videos: as ever
    with pytest.raises(
        UserError, match=r"sample_id of 'a.mp4' is 's3', but 's1' .*import.samples_by"
    ):
        labels["mos"] = {}
        list_videos({**by_id, "samples_by": []}, 1)


def test_a_second_file_counts_for_all_samples_of_a_video(
    source: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "scenes.csv").write_text("video,scene\na.mp4,City\nb.mp4,Lake\n")
    (tmp_path / "sharp.csv").write_text(
        "video,prompt,sharp\na.mp4,a dog,9\na.mp4,a cat,8\nb.mp4,a dog,7\n"
    )
    scenes = {"files": "scenes.csv", "columns": {"scene": "scene"}}
    sharp = {"files": "sharp.csv", "columns": {"prompt": "prompt"}, "mos": {"sharp": "sharp"}}
    both = {**source, "labels": [source["labels"], scenes], "keys": ["condition", "scene"]}
    assert {v.columns["sample_id"]: v.columns["scene"] for v in join_labels(both)} == {
        "a-a-cat-dark": "City", "a-a-dog-dark": "City", "a-a-dog-lit": "City", "b-a-dog-dark": "Lake"
    }  # fmt: skip
    both["labels"] = [source["labels"], scenes, sharp]
    assert {v.columns["sample_id"]: v.scores["sharp"].mos for v in join_labels(both)} == {
        "a-a-cat-dark": 8, "a-a-dog-dark": 9, "a-a-dog-lit": 9, "b-a-dog-dark": 7
    }  # fmt: skip
    text = (tmp_path / "sharp.csv").read_text()
    (tmp_path / "sharp.csv").write_text(text.replace("a cat", "a cow"))
    with pytest.raises(
        UserError, match=r"sharp.csv, row 3: no sample of 'a.mp4' has prompt 'a cow'"
    ):
        join_labels(both)


def test_labels_that_tell_no_samples_apart_are_refused(
    source: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"row 3, column mos: 'a.mp4' has a score .*row 2.*import.samples_by"
    ):
        list_videos({**source, "samples_by": []}, 1)
    with pytest.raises(UserError, match=r"row 3, column mos: 'a.mp4' has a score of 'quality'"):
        list_videos({**source, "samples_by": ["prompt"]}, 1)
    write_labels(tmp_path, [*ROWS, ("a.mp4", "a dog", "lit", 2.5)])
    with pytest.raises(UserError, match=r"row 6, column mos: 'a.mp4' has a score .*row 3"):
        list_videos(source, 1)
    with pytest.raises(
        UserError, match="import.samples_by: no field 'promt'; did you mean 'prompt'"
    ):
        list_videos({**source, "samples_by": ["promt"]}, 1)


def test_a_sheet_lists_a_video_twice(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("video,method,prompt,sample_id\na.mp4,m,a dog,s1\na.mp4,m,a cat,s2\n")
    rows = list_videos({"sheet": str(sheet)}, 9)
    assert [row["sample_id"] for row in rows] == ["s1", "s2"]
    assert rows[0]["shard"] == rows[1]["shard"]
    sheet.write_text("video,method,prompt\na.mp4,m,a dog\na.mp4,m,a cat\n")
    with pytest.raises(
        UserError, match=r"row 2 and .*row 3 both become the sample 'a__m'; give them"
    ):
        list_videos({"sheet": str(sheet)}, 9)


def make_samples() -> pd.DataFrame:
    """Twelve videos, the first six of which are in two samples each."""
    rows = [(f"v{n}.mp4", p) for n in range(12) for p in ("p", "q")[: 2 if n < 6 else 1]]
    return pd.DataFrame(
        {"sample_id": [f"{v}{p}" for v, p in rows], "method": "m", "source_path": [v for v, _ in rows]}
    )  # fmt: skip


def test_samples_of_one_video_are_never_on_two_sides_by_default() -> None:
    samples = make_samples()
    protocol = {"name": "p", "kind": "group_kfold", "k": 4}
    splits = make_splits(samples, protocol, 0)
    tested = sorted(s for split in splits for s, part in split.part.items() if part == "test")
    assert tested == sorted(samples["sample_id"])
    for split in splits:
        part = samples["sample_id"].map(split.part)
        assert (part.groupby(samples["source_path"]).nunique() == 1).all()
    assert describe_leaks(samples, protocol, 0) == "Protocol 'p': train and test share no video."
    random = {"name": "random", "kind": "random_kfold", "k": 2}
    text = describe_leaks(samples, random, 0)
    assert text.startswith("Protocol 'random': train and test share up to ")
    assert text.endswith(" of 6 videos that are in several samples.")
    single = samples.drop_duplicates("source_path")
    assert describe_leaks(single, random, 0) == ""
    with pytest.raises(UserError, match="no image, clip or prompt to group by"):
        make_splits(single, protocol, 0)


def test_fields_that_no_label_file_gives_are_refused(source: dict[str, Any]) -> None:
    by_scene = {**source, "keys": ["condition", "scene"], "constant": {"method": "m", "scene": "x"}}
    with pytest.raises(UserError, match="import.samples_by: no label file gives scene; name their"):
        list_videos({**by_scene, "samples_by": ["scene"]}, 1)
