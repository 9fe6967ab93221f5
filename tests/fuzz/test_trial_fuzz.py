"""Lists of published trials and keys of samples, mutated by seed: the right trials, or a sentence.

The sentence names the file, and the row where a single one is wrong. 20 mutations in the default
tier, 100 with SFQA_TESTS=all.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.generation.importing import list_videos
from sfqa.splits.protocols import make_splits

COUNT = 100 if os.environ.get("SFQA_TESTS") == "all" else 20
METHODS, SCENES = ("gen 2", "sora"), ("City", "Lake", "Wood", "Zoo")
#: What a mutation does to the trials: nothing, it may be accepted with fewer rows, or it must not be.
SAME, FEWER, WRONG = "same", "fewer", "wrong"

#: A mutation changes one file; it returns SAME, FEWER or WRONG.
Mutation = Callable[[random.Random, Path], str]


def list_names() -> list[str]:
    """Return the paths of the videos: six of each scene."""
    return [f"{method}/{scene} {n}.mp4" for scene in SCENES for method in METHODS for n in range(3)]


def list_trials(rng: random.Random) -> dict[int, dict[str, str]]:
    """Return the part of each video in three published trials."""
    trials = {}
    for trial in (1, 2, 3):
        names = list_names()
        rng.shuffle(names)
        parts = ["train"] * 14 + ["validation"] * 4 + ["test"] * 6
        trials[trial] = dict(zip(names, parts, strict=True))
    return trials


def write_name_lists(folder: Path, trials: dict[int, dict[str, str]]) -> dict[str, Any]:
    for trial, part_of in trials.items():
        for part in ("train", "validation", "test"):
            lines = [name for name, p in part_of.items() if p == part]
            (folder / f"{part}_{trial}.txt").write_text("\n".join(lines) + "\n")
    names = {"train": "train", "val": "validation", "test": "test"}
    return {"files": {key: f"{name}_{{trial}}.txt" for key, name in names.items()}, "trials": 3}


def write_long_table(folder: Path, trials: dict[int, dict[str, str]]) -> dict[str, Any]:
    rows = [f"{t};{name};{part}" for t, part_of in trials.items() for name, part in part_of.items()]
    (folder / "trials.csv").write_text("trial;sample;part\n" + "\n".join(rows) + "\n")
    return {"files": "trials.csv", "trial": "trial", "trials": 3}


def write_wide_table(folder: Path, trials: dict[int, dict[str, str]]) -> dict[str, Any]:
    rows = [f"{name}\t" + "\t".join(trials[t][name] for t in trials) for name in list_names()]
    (folder / "trials.tsv").write_text("sample\tt1\tt2\tt3\n" + "\n".join(rows) + "\n")
    return {"files": "trials.tsv", "columns": "t{trial}", "trials": 3}


WRITERS = (write_name_lists, write_long_table, write_wide_table)


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def choose_row(rng: random.Random, path: Path) -> int:
    """Return the index of a row that is not the header."""
    return rng.randrange(0 if path.suffix == ".txt" else 1, len(read_lines(path)))


def write_rows(path: Path, lines: list[str], end: str = "\n") -> None:
    path.write_bytes((end.join(lines) + end).encode())


def name_a_missing_sample(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    row = choose_row(rng, path)
    lines[row] = re.sub(r"(City|Lake|Wood|Zoo) \d", "Street 7", lines[row])
    write_rows(path, lines)
    return WRONG


def repeat_a_row(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    lines.append(lines[choose_row(rng, path)])
    write_rows(path, lines)
    return WRONG


def add_a_sample_of_another_part(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    first = lines[choose_row(rng, path)]
    if path.suffix == ".txt":
        other = path.with_name(
            path.name.replace("train", "test")
            if "train" in path.name
            else f"train_{path.stem[-1]}.txt"
        )
        write_rows(other, [*read_lines(other), first])
    else:
        swapped = {"train": "test", "test": "validation", "validation": "train"}
        lines.append(re.sub("train|test|validation", lambda m: swapped[m[0]], first))
        write_rows(path, lines)
    return WRONG


def lose_a_row(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    del lines[choose_row(rng, path)]
    write_rows(path, lines)
    return FEWER


def lose_the_file_or_trial(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    if path.suffix == ".txt":
        path.unlink()
    elif path.suffix == ".csv":
        write_rows(path, [line for line in lines if not line.startswith("2;")])
    else:
        write_rows(path, ["\t".join(line.split("\t")[:2] + line.split("\t")[3:]) for line in lines])
    return WRONG


def misspell_a_part(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    row = choose_row(rng, path)
    if path.suffix == ".txt":
        lines[row] += " (train)"
    else:
        lines[row] = re.sub("train|test|validation", "tran", lines[row], count=1)
    write_rows(path, lines)
    return WRONG


def add_blanks_and_empty_lines(rng: random.Random, path: Path) -> str:
    separator = {".csv": ";", ".tsv": "\t", ".txt": None}[path.suffix]
    lines = []
    for line in read_lines(path):
        cells = line.split(separator) if separator else [line]
        lines.append((separator or "").join(f" {cell}  " for cell in cells))
        if rng.random() < 0.2:
            lines.append("")
    write_rows(path, lines)
    return SAME


def change_the_case(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    change = rng.choice([str.upper, str.swapcase])
    first = 0 if path.suffix == ".txt" else 1
    changed = []
    for line in lines[first:]:
        head, separator, tail = line.rpartition("/")
        changed.append(
            change(head) + separator + change(tail) if path.suffix == ".txt" else change(line)
        )
    write_rows(path, lines[:first] + changed)
    return SAME


def drop_folders_or_suffixes(rng: random.Random, path: Path) -> str:
    text = path.read_text()
    if rng.random() < 0.5:
        path.write_text(text.replace(".mp4", ""))
        return SAME
    path.write_text(re.sub(r"(gen 2|sora)/", "", text))
    return WRONG  # a name of both methods


def change_the_separator(rng: random.Random, path: Path) -> str:
    if path.suffix == ".txt":
        path.write_text(path.read_text().replace("/", "\\"))
    else:
        old = ";" if path.suffix == ".csv" else "\t"
        path.write_text(path.read_text().replace(old, rng.choice([",", "|", ";"])))
    return SAME


def end_lines_as_windows_does(rng: random.Random, path: Path) -> str:
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(read_lines(path)).encode())
    return SAME


def shuffle_rows(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    first = 0 if path.suffix == ".txt" else 1
    body = lines[first:]
    rng.shuffle(body)
    write_rows(path, lines[:first] + body)
    return SAME


def cut_a_row(rng: random.Random, path: Path) -> str:
    lines = read_lines(path)
    row = choose_row(rng, path)
    lines[row] = lines[row][: len(lines[row]) // 2]
    write_rows(path, lines)
    return WRONG


MUTATIONS: list[Mutation] = [
    name_a_missing_sample, repeat_a_row, add_a_sample_of_another_part, lose_a_row,
    lose_the_file_or_trial, misspell_a_part, add_blanks_and_empty_lines, change_the_case,
    drop_folders_or_suffixes, change_the_separator, end_lines_as_windows_does, shuffle_rows, cut_a_row,
]  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The samples of a folder whose names hold blanks, with the scene as a key."""
    folder = tmp_path_factory.mktemp("data")
    for name in list_names():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    rows = list_videos(
        {
            "folder": str(folder),
            "pattern": r"(?P<sample_id>(?P<kind>[^/]+)/(?P<scene>\w+) \d)\.mp4",
            "keys": ["kind", "scene"],
            "labels": {"files": "labels.csv"},
            **write_labels(folder),
        },
        1,
    )
    return pd.DataFrame(rows)


def write_labels(folder: Path) -> dict[str, Any]:
    lines = ["video,mos", *(f"{name},{n}" for n, name in enumerate(list_names()))]
    (folder / "labels.csv").write_text("\n".join(lines))
    labels = {"files": "labels.csv", "mos": {"quality": "mos"}}
    return {"labels": labels, "constant": {"method": "any"}}


@pytest.mark.parametrize("seed", range(COUNT))
def test_mutated_lists_give_the_right_trials_or_a_sentence(
    seed: int, samples: pd.DataFrame, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    trials = list_trials(rng)
    lists = WRITERS[seed % len(WRITERS)](tmp_path, trials)
    path = rng.choice(sorted(tmp_path.iterdir()))
    mutation = MUTATIONS[seed // len(WRITERS) % len(MUTATIONS)]
    effect = mutation(rng, path)
    what = (seed, mutation.__name__, path.name)
    protocol = {
        "name": "p", "kind": "listed_trials", "allow_shared": True, "validation": 0,
        "lists": {"folder": str(tmp_path), **lists},
    }  # fmt: skip
    path_of = {
        row.sample_id: "/".join(Path(str(row.source_path)).parts[-2:])
        for row in samples.itertuples()
    }
    try:
        splits = make_splits(samples, protocol, 0)
    except UserError as error:
        assert effect != SAME, (what, str(error))
        assert str(tmp_path) in str(error) or "trial" in str(error), (what, str(error))
        if mutation in (name_a_missing_sample, repeat_a_row, misspell_a_part):
            assert re.search(r"\.(txt|csv|tsv), row \d+", str(error)), (what, str(error))
        return
    read = {split.trial: {path_of[s]: p for s, p in split.part.items()} for split in splits}
    assert effect != WRONG, what
    if effect == SAME:
        assert read == trials, what
    else:
        for trial, part_of in read.items():
            assert part_of.items() <= trials[trial].items(), what
        assert sum(map(len, read.values())) >= 3 * len(list_names()) - 3, what


@pytest.mark.parametrize("seed", range(COUNT // 4))
def test_mutated_keys_are_kept_apart_or_refused(seed: int, tmp_path: Path) -> None:
    """Keys in a sheet: empty cells, blanks, other case, other separators, missing columns."""
    rng = random.Random(seed)
    rows = []
    for name in list_names():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
        scene = name.rpartition("/")[2].split()[0]
        rows.append([name, "any", scene, name.rpartition("/")[2]])
    change = seed % 5
    expected = [row[2] for row in rows]
    if change == 0:
        for index in rng.sample(range(len(rows)), 5):
            rows[index][2] = expected[index] = ""
    if change == 1:
        rows = [[row[0], row[1], f"  {row[2]} ", row[3]] for row in rows]
    separator = rng.choice([";", "\t", "|"]) if change == 2 else ","
    header = ["video", "method", "scene", "sample_id"]
    for row in rows:
        row[3] = f"{row[0]}".replace("/", "_")
    if change == 3:
        header[2] = rng.choice(["Scene", "scenes", "place"])
    if change == 4:
        rng.shuffle(rows)
        expected = [row[2] for row in rows]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("\n".join(separator.join(row) for row in [header, *rows]) + "\n")
    protocol = {"name": "p", "kind": "group_kfold", "groups": ["scene"], "k": 4}
    try:
        samples = pd.DataFrame(list_videos({"sheet": str(sheet), "keys": ["scene"]}, 1))
        splits = make_splits(samples, protocol, seed)
    except UserError as error:
        assert change == 3, (seed, str(error))
        assert str(sheet) in str(error)
        return
    assert change != 3
    scene_of = {row[3].replace(" ", "-"): scene for row, scene in zip(rows, expected, strict=True)}
    assert set(scene_of) == set(samples["sample_id"])
    for split in splits:
        parts: dict[str, set[str]] = {}
        for sample, part in split.part.items():
            if scene_of[sample]:
                parts.setdefault(scene_of[sample], set()).add("test" if part == "test" else "other")
        assert all(len(part) == 1 for part in parts.values()), seed
