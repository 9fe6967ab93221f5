"""Published trials: lists of every form become the trials, and mistakes name file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import io

from sfqa.configuration import complete_config
from sfqa.errors import UserError
from sfqa.plan import Plan
from sfqa.splits.leaks import describe_leaks
from sfqa.splits.protocols import make_splits
from sfqa.splits.trial_lists import list_trial_files

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"
NAMES = [f"v{n:02d}" for n in range(12)]
#: The published parts of two trials; v11 is in none.
TRIALS = {
    1: {n: "train" if k < 8 else "test" for k, n in enumerate(NAMES[:11])},
    2: {n: "test" if k < 4 else "train" for k, n in enumerate(NAMES[:11])},
}


def make_samples(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(
        {"sample_id": NAMES, "method": "natural", "source_path": [f"{folder}/videos/{n}.mp4" for n in NAMES]}
    )  # fmt: skip


def protocol(folder: Path, **lists: Any) -> dict[str, Any]:
    more = {key: lists.pop(key) for key in ("allow_shared", "validation") if key in lists}
    lists = {"folder": str(folder), **lists}
    return {"name": "published", "kind": "listed_trials", "validation": 0, "lists": lists, **more}


def write_name_files(folder: Path, end: Callable[[str], str] = str) -> dict[str, Any]:
    for trial, parts in TRIALS.items():
        for part in ("train", "test"):
            lines = [end(name) for name, p in parts.items() if p == part]
            (folder / f"{part}_{trial}.txt").write_text("\n".join(lines) + "\n")
    return {"files": {"train": "train_{trial}.txt", "test": "test_{trial}.txt"}}


def write_trial_tables(folder: Path) -> dict[str, Any]:
    for trial, parts in TRIALS.items():
        rows = "".join(f"{name}.mp4|{part}\n" for name, part in parts.items())
        (folder / f"trial{trial}.txt").write_text(rows)
    return {"files": "trial{trial}.txt", "header": ["video", "part"], "sample": "video"}


def write_trial_column(folder: Path) -> dict[str, Any]:
    rows = [
        f"{t},{n},{'1' if p == 'train' else '0'}" for t, ps in TRIALS.items() for n, p in ps.items()
    ]
    (folder / "all.csv").write_text("split,sample,is_train\n" + "\n".join(rows))
    return {
        "files": "all.csv",
        "trial": "split",
        "part": "is_train",
        "names": {"1": "train", "0": "test"},
    }


def write_wide_table(folder: Path) -> dict[str, Any]:
    rows = [f"{n};" + ";".join(TRIALS[t].get(n, "") for t in TRIALS) for n in NAMES]
    (folder / "wide.csv").write_text("sample;s1;s2\n" + "\n".join(rows))
    return {"files": "wide.csv", "columns": "s{trial}"}


def write_part_tables(folder: Path) -> dict[str, Any]:
    for part in ("train", "test"):
        rows = [f"{t}\t{n}" for t, ps in TRIALS.items() for n, p in ps.items() if p == part]
        (folder / f"{part}.tsv").write_text("trial\tsample\n" + "\n".join(rows))
    return {"files": {"train": "train.tsv", "test": "test.tsv"}, "trial": "trial", "trials": 2}


def write_matlab_matrix(folder: Path) -> dict[str, Any]:
    cells = np.empty((11, 1), object)
    cells[:, 0] = NAMES[:11]
    split = np.array([[float(TRIALS[t][n] == "train") for t in TRIALS] for n in NAMES[:11]])
    io.savemat(folder / "splits.mat", {"sample": cells, "split": split})
    names = {"1": "train", "0": "test"}
    return {"files": "splits.mat", "columns": "split_{trial}", "names": names}


FORMS = [
    write_name_files, write_trial_tables, write_trial_column, write_wide_table, write_part_tables,
    write_matlab_matrix,
]  # fmt: skip


@pytest.mark.parametrize("write_lists", FORMS)
def test_lists_of_every_form_become_the_trials(write_lists: Any, tmp_path: Path) -> None:
    published = protocol(tmp_path, **write_lists(tmp_path))
    samples = make_samples(tmp_path)
    splits = make_splits(samples, published, 0)
    assert {split.trial: split.part for split in splits} == TRIALS
    assert make_splits(samples[::-1], published, 5) == splits
    assert describe_leaks(samples, published, 0) == "Samples in no trial of 'published': 1 of 12."


@pytest.mark.parametrize(
    "end",
    [
        lambda n: f"{n}.mp4", lambda n: f"videos/{n}.mp4", lambda n: f"./videos/{n}",
        lambda n: f"videos\\{n}.MP4", lambda n: n.upper(), lambda n: f"  {n}  ",
    ],
)  # fmt: skip
def test_samples_are_named_by_id_path_or_file(end: Callable[[str], str], tmp_path: Path) -> None:
    published = protocol(tmp_path, **write_name_files(tmp_path, end))
    splits = make_splits(make_samples(tmp_path), published, 0)
    assert {split.trial: split.part for split in splits} == TRIALS


def test_ids_made_of_paths_with_blanks_are_met(tmp_path: Path) -> None:
    samples = pd.DataFrame({"sample_id": ["a-b-c", "a-d", "x-1"], "method": "m"})
    (tmp_path / "train_1.txt").write_text("a/b c.mp4\nA/D\n")
    (tmp_path / "test_1.txt").write_text("x/1.mp4\n")
    files = {"train": "train_{trial}.txt", "test": "test_{trial}.txt"}
    (split,) = make_splits(samples, protocol(tmp_path, files=files), 0)
    assert split.part == {"a-b-c": "train", "a-d": "train", "x-1": "test"}


def test_validation_rows_are_listed_or_drawn(tmp_path: Path) -> None:
    lists = write_name_files(tmp_path)
    samples = make_samples(tmp_path)
    splits = make_splits(samples, protocol(tmp_path, **lists, validation=0.25), 0)
    assert [list(s.part.values()).count("validation") for s in splits] == [2, 2]
    assert all(
        s.part[n] == "test" for s in splits for n, p in TRIALS[s.trial].items() if p == "test"
    )
    for trial in TRIALS:
        (tmp_path / f"val_{trial}.txt").write_text("v11\n")
    lists["files"]["val"] = "val_{trial}.txt"
    splits = make_splits(samples, protocol(tmp_path, **lists, validation=0.25), 0)
    assert {s.trial: s.part for s in splits} == {
        trial: {**parts, "v11": "validation"} for trial, parts in TRIALS.items()
    }


def test_a_shared_prompt_stops_the_run_or_is_in_the_caption(tmp_path: Path) -> None:
    lists = write_name_files(tmp_path)
    samples = make_samples(tmp_path).assign(prompt=[f"p{n % 5}" for n in range(12)])
    with pytest.raises(UserError, match=r"trial 1: the prompt 'p\d' .* is in train and in test"):
        make_splits(samples, protocol(tmp_path, **lists), 0)
    published = protocol(tmp_path, **lists, allow_shared=True)
    assert {s.trial: s.part for s in make_splits(samples, published, 0)} == TRIALS
    assert describe_leaks(samples, published, 0) == (
        "The published trials of 'published' are not disjoint: up to 4 prompts in train and test. "
        "Samples in no trial of 'published': 1 of 12."
    )


def change_line(path: Path, number: int, line: str | None) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1 : number] = [] if line is None else [line]
    path.write_text("\n".join(lines))


def test_a_file_without_a_number_belongs_to_every_trial(tmp_path: Path) -> None:
    lists = write_name_files(tmp_path)
    for trial in (1, 2):
        (tmp_path / f"train_{trial}.txt").write_text("\n".join(NAMES[trial : trial + 3]))
    (tmp_path / "val.txt").write_text("v06\nv07\n")
    (tmp_path / "test.txt").write_text("v08\nv09\n")
    lists["files"] |= {"val": "val.txt", "test": "test.txt"}
    splits = make_splits(make_samples(tmp_path), protocol(tmp_path, **lists, trials=2), 0)
    assert [split.trial for split in splits] == [1, 2]
    for split in splits:
        part_of = {
            part: sorted(n for n, p in split.part.items() if p == part)
            for part in ("train", "validation", "test")
        }
        assert part_of["train"] == NAMES[split.trial : split.trial + 3]
        assert (part_of["validation"], part_of["test"]) == (["v06", "v07"], ["v08", "v09"])


def test_the_number_of_the_trial_may_be_in_folder_and_name(tmp_path: Path) -> None:
    for trial, parts in TRIALS.items():
        (tmp_path / f"split{trial}").mkdir()
        for part in ("train", "test"):
            names = [name for name, p in parts.items() if p == part]
            (tmp_path / f"split{trial}/{part}_{trial}.txt").write_text("\n".join(names))
    (tmp_path / "split1/train_2.txt").write_text("v00\n")  # of no trial
    files = {part: f"split{{trial}}/{part}_{{trial}}.txt" for part in ("train", "test")}
    splits = make_splits(make_samples(tmp_path), protocol(tmp_path, files=files), 0)
    assert {split.trial: split.part for split in splits} == TRIALS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: change_line(f / "train_1.txt", 3, "v99"), r"train_1.txt, row 3: there is no sample 'v99'"),
        (lambda f: change_line(f / "train_1.txt", 3, "v0222"), r"the nearest is 'v02'"),
        (lambda f: change_line(f / "train_1.txt", 3, "v08"),
         r"test_1.txt, row 1: 'v08' is in trial 1 in two parts, train and test \(also .*train_1.txt, row 3\)"),
        (lambda f: change_line(f / "train_2.txt", 3, "v04"),
         r"train_2.txt, row 3: 'v04' is in trial 2 twice \(also .*train_2.txt, row 1\)"),
        (lambda f: (f / "test_2.txt").unlink(), r"no file of the part test for trial 2 in"),
        (lambda f: (f / "test_2.txt").write_text("\n\n"), r"trial 2 has no test samples"),
        (lambda f: [(f / f"{p}_2.txt").rename(f / f"{p}_3.txt") for p in ("train", "test")],
         r"trial 2 is missing \(1 in all\) among the trials 1 to 3"),
        (lambda f: [(f / f"{p}_1.txt").rename(f / f"{p}_02.txt") for p in ("train", "test")],
         r"is trial 2, too; rename one"),
        (lambda f: [p.unlink() for p in f.glob("t*.txt")], r"there is no file .*train_\{trial\}.txt"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_row(change: Any, message: str, tmp_path: Path) -> None:
    published = protocol(tmp_path, **write_name_files(tmp_path))
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        make_splits(make_samples(tmp_path), published, 0)


@pytest.mark.parametrize(
    ("text", "lists", "message"),
    [
        ("sample,part\nv00,train\nv01,tset\n", {}, "row 3, column part: 'tset' is no part; did you mean 'test'"),
        ("sample,part\nv00,train\nv01,\n", {}, "row 3, column part: '' is no part"),
        ("sample,part\nv00,train\n,test\n", {}, "row 3, column sample: it is empty"),
        ("name,part\nv00,train\nv01,test\n", {}, r"no column 'sample' \(regression.protocols.lists.sample\)"),
        ("sample,part,t\nv00,train,one\n", {"trial": "t"}, "row 2, column t: 'one' is no number of a trial"),
        ("sample,part,t\nv00,train,1\nv00,test,3\n", {"trial": "t"}, "trial 2 is missing"),
        ("sample,s_1\nv00,train\n", {"columns": "t_{trial}"}, r"no column is called like 't_\{trial\}'"),
        ("sample,part\nv00,train\nv01,test\n", {"trials": 10}, "10, but the lists have 1 trials"),
        ("sample,part\n", {}, "the files are empty"),
        ("sample,part\nv00,train\nv01,train\n", {}, "trial 1 has no test samples"),
    ],
)  # fmt: skip
def test_mistakes_of_tables_name_row_and_column(
    text: str, lists: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "trials.csv").write_text(text)
    published = protocol(tmp_path, files="trials.csv", **lists)
    with pytest.raises(UserError, match=message):
        make_splits(make_samples(tmp_path), published, 0)


def test_a_name_of_two_videos_is_unclear(tmp_path: Path) -> None:
    samples = pd.DataFrame(
        {"sample_id": ["a1", "a2", "b"], "method": "m", "source_path": ["x/1/a.mp4", "x/2/a.mp4", "x/b.mp4"]}
    )  # fmt: skip
    files = {"train": "train.txt", "test": "test.txt"}
    (tmp_path / "test.txt").write_text("b\n")
    (tmp_path / "train.txt").write_text("a.mp4\n")
    with pytest.raises(
        UserError, match="'a.mp4' may be the sample 'a1' or 'a2'; write the sample id"
    ):
        make_splits(samples, protocol(tmp_path, files=files), 0)
    (tmp_path / "train.txt").write_text("1/a.mp4\n2/a\n")
    (split,) = make_splits(samples, protocol(tmp_path, files=files), 0)
    assert split.part == {"a1": "train", "a2": "train", "b": "test"}


def test_lists_that_do_not_fit_the_videos_stop_the_plan(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    videos = tmp_path / "data" / "videos"
    videos.mkdir(parents=True)
    for name in NAMES:
        (videos / f"{name}.mp4").write_bytes(b"")
    lists = write_name_files(tmp_path / "data")
    config = {
        "dataset": "x", "mode": "import_videos",
        "import": {"folder": "data", "pattern": r"(?P<method>\w+)/(?P<sample_id>\w+)\.mp4"},
        "regression": {"protocols": [{"name": "p", "kind": "listed_trials", "lists": lists}]},
    }  # fmt: skip
    plan = Plan(config, SCHEMA, check_files=True)
    assert [Path(p).name for p in plan.trial_list_files()] == [
        "train_1.txt", "train_2.txt", "test_1.txt", "test_2.txt"
    ]  # fmt: skip
    change_line(tmp_path / "data" / "test_2.txt", 2, "v0x")
    with pytest.raises(UserError, match=r"data/test_2.txt, row 2: there is no sample 'v0x'"):
        Plan(config, SCHEMA, check_files=True)
    (tmp_path / "data" / "test_2.txt").unlink()
    with pytest.raises(UserError, match="no file of the part test for trial 2"):
        Plan(config, SCHEMA, check_files=False)
    wrong = {
        **config,
        "regression": {"protocols": [{"name": "p", "kind": "fixed", "lists": lists}]},
    }
    with pytest.raises(UserError, match="'lists' is a key of kind listed_trials"):
        complete_config(wrong, SCHEMA)
    with pytest.raises(UserError, match="lists.files: missing"):
        make_splits(make_samples(tmp_path), {"name": "p", "kind": "listed_trials"}, 0)


def test_a_folder_with_signs_of_a_pattern_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "a [1]"
    folder.mkdir()
    (folder / "t[x]_1.csv").write_text("")
    found = list_trial_files({"folder": str(folder), "files": "t[x]_{trial}.csv"}, "")
    assert [(trial, path.name) for trial, _, path in found] == [(1, "t[x]_1.csv")]
