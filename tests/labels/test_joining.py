"""Labels that do not meet their videos, contradictions, ids, several entries, lookups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sfqa.errors import UserError
from sfqa.labels.joining import LabelledVideo, join_labels, name_samples
from sfqa.labels.scores import read_mos

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text file below the dataset's folder."""

    def write_file(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def source(folder: Path, **more: Any) -> dict[str, Any]:
    labels = {"files": "labels.csv", "mos": {"quality": "mos"}} | more.pop("labels", {})
    return {"folder": str(folder), "labels": labels} | more


def add_videos(write: Write, *names: str) -> None:
    for name in names:
        write(name, "no video")


def test_a_label_without_a_video_stops_the_run_or_is_kept(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("labels.csv", "video,mos\na.mp4,1\nb.mp4,2\nbb.mp4,3\n")
    with pytest.raises(
        UserError,
        match=r"labels.csv, row 4: there is no 'bb.mp4' in .*, the nearest file is 'b.mp4'; a labelled video is missing",
    ):
        join_labels(source(tmp_path))
    videos = join_labels(source(tmp_path, without_video="keep"))
    assert [video.path for video in videos] == ["a.mp4", "b.mp4", "bb.mp4"]


def test_a_video_without_a_label_stops_the_run_or_is_kept_or_left_out(
    write: Write, tmp_path: Path
) -> None:
    add_videos(write, "a.mp4", "c.mp4")
    write("labels.csv", "video,mos\na.mp4,1\n")
    with pytest.raises(UserError, match="1 of 2 videos are in no label file: c.mp4; add labels"):
        join_labels(source(tmp_path))
    assert [v.path for v in join_labels(source(tmp_path, without_label="skip"))] == ["a.mp4"]
    kept = source(tmp_path, without_label="keep")
    assert [v.path for v in join_labels(kept)] == ["a.mp4", "c.mp4"]
    rows = {row["sample_id"]: row for row in read_mos(kept, ["a", "c"])}
    assert rows["a"]["status"] == "ok"
    assert (rows["c"]["status"], rows["c"]["mos"]) == ("failed", None)
    assert (
        rows["c"]["detail"] == "no_mos: the score is hidden or was not given, no label file has it"
    )


def test_the_case_of_a_suffix_does_not_matter(write: Write, tmp_path: Path) -> None:
    add_videos(write, "A.MP4")
    write("labels.csv", "video,mos\na.mp4,1\n")
    assert [v.path for v in join_labels(source(tmp_path))] == ["A.MP4"]


def test_a_name_in_two_folders_is_unclear(write: Write, tmp_path: Path) -> None:
    add_videos(write, "x/a.mp4", "y/a.mp4")
    write("labels.csv", "video,mos\na.mp4,1\n")
    with pytest.raises(UserError, match=r"row 2: 'a.mp4' may be 'x/a.mp4' or 'y/a.mp4'"):
        join_labels(source(tmp_path, labels={"match": "name"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "video,mos\na.mp4,1\na.mp4,2\n",
            r"labels.csv, row 3, column mos: 'a.mp4' has a score of 'quality' already \(.*row 2",
        ),
        ("video,mos\na.mp4,good\n", r"labels.csv, row 2, column mos: 'good' is not a number"),
        ("video,mos\na.mp4,inf\n", r"labels.csv, row 2, column mos: not a finite number"),
        ("video,mos\n,1\n", r"labels.csv, row 2, column video: it is empty"),
        ("video,score\na.mp4,1\n", r"labels.csv: no column 'mos' \(import.labels.mos.quality\)"),
        ("name,mos\na.mp4,1\n", r"labels.csv: no column 'video' \(import.labels.video\)"),
        ("video,mos\na.mp4,7\n", r"row 2, column mos: 7 is outside of the scale 1 to 5"),
    ],
)
def test_errors_name_file_row_and_column(
    write: Write, tmp_path: Path, text: str, message: str
) -> None:
    add_videos(write, "a.mp4")
    write("labels.csv", text)
    with pytest.raises(UserError, match=message):
        join_labels(source(tmp_path, labels={"ends": [1, 5]}))


def test_codes_and_empty_cells_are_hidden_scores(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "b.mp4", "c.mp4")
    write("labels.csv", "video,mos\na.mp4,4\nb.mp4,-1\nc.mp4,\n")
    rows = read_mos(source(tmp_path, labels={"ends": [1, 5], "missing_codes": [-1]}), "abc")
    assert [row["mos"] for row in rows] == [4.0, None, None]
    assert "it is empty in" in rows[2]["detail"]


def test_entries_of_several_files_are_joined(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("picture.csv", "id;mos\na;1,5\nb;2,5\n")
    write("sound.txt", "a|3\nb|4\n")
    write("prompts.jsonl", '{"key": "b", "text": "a \\"b\\""}\n{"key": "a", "text": "an a"}\n')
    entries = [
        {"files": "picture.csv", "video": "id", "path": "{id}.mp4", "mos": {"picture": "mos"}},
        {
            "files": "sound.txt",
            "header": ["id", "mos"],
            "video": "id",
            "path": "{id}.mp4",
            "mos": {"sound": "mos"},
        },
    ]
    pattern = r"(?P<sample_id>\w)\.mp4"
    lookups = [
        {"file": "prompts.jsonl", "field": "sample_id", "key": "key", "columns": {"prompt": "text"}}
    ]
    joined = {"folder": str(tmp_path), "labels": entries, "pattern": pattern, "lookups": lookups}
    videos = join_labels(joined)
    assert [video.columns["prompt"] for video in videos] == ["an a", 'a "b"']
    scores = [{d: s.mos for d, s in video.scores.items()} for video in videos]
    assert scores == [{"picture": 1.5, "sound": 3.0}, {"picture": 2.5, "sound": 4.0}]
    write("prompts.jsonl", '{"key": "a", "text": "an a"}\n')
    with pytest.raises(UserError, match="no row for the sample_id 'b' of 'b.mp4'"):
        join_labels(joined)


def test_a_contradiction_between_files_is_an_error(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4")
    write("labels.csv", "video,mos,model\na.mp4,1,sora\n")
    write("more.csv", "video,model\na.mp4,pika\n")
    entries = [
        {"files": "labels.csv", "mos": {"quality": "mos"}, "columns": {"method": "model"}},
        {"files": "more.csv", "columns": {"method": "model"}},
    ]
    with pytest.raises(
        UserError,
        match=r"more.csv, row 2: method of 'a.mp4' is 'pika', but 'sora' in .*labels.csv, row 2",
    ):
        join_labels({"folder": str(tmp_path), "labels": entries})


def test_a_score_behind_an_arrow_is_extracted(write: Write, tmp_path: Path) -> None:
    add_videos(write, "m1/100013.mp4")
    write(
        "train.jsonl",
        '{"id": "100013.mp4->59.79", "video": "/home/me/G1/m1/100013.mp4"}\n{"id": "x.mp4->1", "video": "x"}\n',
    )
    entry = {
        "files": "train.jsonl", "extract": {"id": r"(?P<name>.+)->(?P<score>.+)"}, "video": "name",
        "match": "name", "mos": {"quality": "score"},
    }  # fmt: skip
    (video, _) = join_labels(source(tmp_path, labels=entry, without_video="keep"))
    assert video.scores["quality"].mos == 59.79
    write("train.jsonl", '{"id": "100013.mp4", "video": "x"}\n{"id": "x.mp4->1", "video": "x"}\n')
    with pytest.raises(UserError, match=r"row 1, column id: '100013.mp4' does not match"):
        join_labels(source(tmp_path, labels=entry))


def test_ids_are_safe_unique_and_short() -> None:
    names = ["x/a b.mp4", "x/a,b.mp4", f"{'long ' * 60}.mp4", "...mp4", "A.mp4", "a.MP4"]
    videos = [LabelledVideo(name) for name in names]
    name_samples(videos)
    ids = [video.columns["sample_id"] for video in videos]
    assert len({name.casefold() for name in ids}) == len(names)
    assert all(len(name) <= 129 and set(name) <= SAFE and name[0] not in "-." for name in ids)
    # The id of a video does not depend on the order of the videos.
    turned = [LabelledVideo(name) for name in reversed(names)]
    name_samples(turned)
    assert [video.columns["sample_id"] for video in reversed(turned)] == ids


SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")


def test_percentages_are_no_scores(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("labels.csv", "video,mos\na.mp4,85%\nb.mp4,40%\n")
    with pytest.raises(UserError, match="column mos: the cells are percentages"):
        join_labels(source(tmp_path))


def test_codes_are_of_scores_alone(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("labels.csv", "video,mos,sd,n\na.mp4,3,1,99\nb.mp4,99,99,-1\n")
    labels = {"sd": {"quality": "sd"}, "n": {"quality": "n"}, "missing_codes": [99]}
    first, second = read_mos(source(tmp_path, labels=labels), "ab")
    assert (first["mos"], first["sd"], first["n"]) == (3.0, 1.0, 99)
    assert (second["mos"], second.get("sd"), second.get("n")) == (None, None, None)
    with pytest.raises(
        UserError, match=r"import.labels.sd: no dimension 'qualty'; did you mean 'quality'\?"
    ):
        join_labels(source(tmp_path, labels={"sd": {"qualty": "sd"}}))


def test_an_empty_line_of_prompts_shifts_no_other(write: Write, tmp_path: Path) -> None:
    add_videos(write, "0.mp4", "2.mp4")
    write("labels.csv", "video,mos\n0.mp4,1\n2.mp4,2\n")
    write("prompts.txt", "first\n\nthird\n")
    lookup = {
        "file": "prompts.txt",
        "header": ["prompt"],
        "separator": "\t",
        "field": "image",
        "key": "row",
        "columns": {"prompt": "prompt"},
    }
    joined = source(tmp_path, pattern=r"(?P<image>\d)\.mp4", lookups=[lookup])
    assert [video.columns["prompt"] for video in join_labels(joined)] == ["first", "third"]


def test_only_suffixes_of_media_are_stripped(write: Write, tmp_path: Path) -> None:
    add_videos(write, "gen.mp4", "gen.v2.mp4")
    write("labels.csv", "video,mos\ngen.v2,1\ngen,2\n")
    videos = join_labels(source(tmp_path, labels={"path": "{video.stem}.mp4"}))
    assert {v.path: v.scores["quality"].mos for v in videos} == {"gen.mp4": 2.0, "gen.v2.mp4": 1.0}


def test_a_base_name_and_a_folder_contradict_each_other(write: Write, tmp_path: Path) -> None:
    add_videos(write, "pika/a.mp4")
    write("labels.csv", "video,method,mos\na.mp4,sora,1\n")
    with pytest.raises(UserError, match="match: name ignores folders"):
        join_labels(source(tmp_path, labels={"match": "name", "path": "{method}/{video}"}))


def test_two_spellings_of_one_letter_meet(write: Write, tmp_path: Path) -> None:
    add_videos(write, "Ko\u0308ln.mp4")
    write("labels.csv", "video,mos\nK\u00f6ln.mp4,1\n")
    assert len(join_labels(source(tmp_path))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a.mp4;3,5\nb.mp4;2,5\n",
        "a.mp4;3,5;\nb.mp4;2,5;\n",
        "a.mp4, 3.5\nb.mp4, 2.5\n",
        "a.mp4|3,5\nb.mp4|2,5\n",
    ],
)
def test_the_names_of_the_columns_tell_the_separator(
    write: Write, tmp_path: Path, text: str
) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("labels.txt", text)
    videos = join_labels(
        source(tmp_path, labels={"files": "labels.txt", "header": ["video", "mos"]})
    )
    assert [video.scores["quality"].mos for video in videos] == [3.5, 2.5]


def test_a_group_of_the_pattern_that_is_no_field_is_named(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4")
    write("labels.csv", "video,mos\na.mp4,1\n")
    with pytest.raises(UserError, match=r"unknown group 'methd' .*did you mean 'method'"):
        join_labels(source(tmp_path, pattern=r"(?P<methd>\w)\.mp4"))


@pytest.mark.parametrize("header", ["left,right,vote", "Video_A,Video_B,choice", "clip 1,clip 2,n"])
def test_pair_comparisons_are_refused(write: Write, tmp_path: Path, header: str) -> None:
    add_videos(write, "a.mp4", "b.mp4")
    write("labels.csv", f"{header}\na.mp4,b.mp4,left\n")
    with pytest.raises(
        UserError, match=r"labels.csv: the columns .* look like pairs of videos; votes"
    ):
        join_labels(source(tmp_path))
    write("labels.csv", "video,other,mos\na.mp4,b.mp4,Left\nb.mp4,a.mp4,tie\n")
    with pytest.raises(
        UserError, match="row 2, column mos: 'Left' is not a number; votes on pairs"
    ):
        join_labels(source(tmp_path))


def test_an_archive_is_to_be_unpacked_first(write: Write, tmp_path: Path) -> None:
    add_videos(write, "a.mp4", "part/videos.tar.gz")
    write("labels.csv", "video,mos\na.mp4,1\nb.mp4,2\n")
    with pytest.raises(UserError, match="row 3: .* unpack part/videos.tar.gz first, add them"):
        join_labels(source(tmp_path))
