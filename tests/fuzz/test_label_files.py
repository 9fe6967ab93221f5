"""Label files and folders, mutated by seed: the right table, or a sentence that names the file.

40 mutations in the default tier, 300 with SFQA_TESTS=all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from published_datasets import MAKERS, Made, make_folder
from sfqa.errors import UserError
from sfqa.generation.importing import list_videos
from sfqa.labels.scores import read_mos, read_ratings

DATASETS = Path(__file__).parents[2] / "config" / "datasets"
COUNT = 300 if os.environ.get("SFQA_TESTS") == "all" else 40
#: Sets whose label files are text; MATLAB and Parquet files cannot be mutated line by line.
TEXT_SETS = sorted(set(MAKERS) - {"live_vqc", "sjtu_uav", "videofeedback"})
#: Tables of prompts: their rows have no video to be checked by.
PROMPT_FILES = ("fetv_data.json", "prompts_all.csv")

#: A mutation changes the folder. It returns whether the table must stay as it was.
Mutation = Callable[[random.Random, Path, Path, list[Made]], bool]


def label_lines(path: Path) -> list[str]:
    return path.read_bytes().decode().splitlines()


def write_lines(path: Path, lines: list[str], end: str = "\n") -> None:
    path.write_bytes((end.join(lines) + end).encode())


def lose_a_video(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    (folder / rng.choice(made).path).unlink()
    return False


def add_a_video(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    one = folder / rng.choice(made).path
    one.with_name(f"added_{one.name}").write_bytes(b"x")
    return False


def upper_case_a_suffix(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    one = folder / rng.choice(made).path
    one.rename(one.with_suffix(one.suffix.upper()))
    return True


def repeat_a_row(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    lines.insert(rng.randrange(len(lines) + 1), lines[rng.randrange(len(lines))])
    write_lines(path, lines)
    return False


def lose_a_row(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    del lines[rng.randrange(len(lines))]
    write_lines(path, lines)
    return False


def cut_a_row(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    number = rng.randrange(len(lines))
    lines[number] = lines[number][: len(lines[number]) // 2]
    write_lines(path, lines)
    return False


def swap_digits_for_letters(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    number = rng.randrange(len(lines))
    lines[number] = lines[number][:-3] + "abc"
    write_lines(path, lines)
    return False


def add_a_byte_order_mark(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    return True


def end_lines_as_windows_does(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    write_lines(path, label_lines(path), "\r\n")
    return True


def add_empty_lines(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    for _ in range(3):
        lines.insert(rng.randrange(1, len(lines) + 1), "")
    write_lines(path, lines)
    return path.suffix != ".json" or lines[0].startswith("{")


def shuffle_rows(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    lines = label_lines(path)
    if path.suffix == ".json" and not lines[0].startswith("{"):
        return True
    first = 1 if path.suffix == ".csv" else 0
    body = lines[first:]
    rng.shuffle(body)
    write_lines(path, lines[:first] + body)
    return True


def write_utf16(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    path.write_bytes(path.read_bytes().decode().encode("utf-16"))
    return True


def write_utf16_without_a_mark(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    path.write_bytes(path.read_bytes().decode().removeprefix("\ufeff").encode("utf-16-be"))
    return True


def end_lines_as_old_macs_did(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    write_lines(path, label_lines(path), "\r")
    return True


def end_with_blank_lines(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    path.write_bytes(path.read_bytes().rstrip() + b"\n \n\n\t \r\n\n")
    return True


def put_blanks_around_separators(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    if path.suffix.startswith(".json"):
        return True
    # A comma in a prompt is in quotes: only the first and the last separator are surely ones.
    separator = next(s for s in "|;\t," if s in label_lines(path)[-1] or s == ",")
    # A blank between a closed quote and a separator is an error that names the row.
    blanks = f" {separator} "
    lines = [x if '"' in x else x.replace(separator, blanks, 1) for x in label_lines(path)]
    write_lines(path, lines)
    return True


def write_another_separator(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    separator = rng.choice(";|\t,")
    text = path.read_bytes().decode()
    path.write_bytes(text.replace(rng.choice(";|\t,"), separator).encode())
    return False


def repeat_an_id_with_another_score(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    lines = label_lines(path)
    line = rng.choice(lines)
    lines.append(line[:-1] + ("2" if line[-1] == "1" else "1"))
    write_lines(path, lines)
    return False


def add_a_link_to_the_folder(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    (folder / rng.choice(made).path).with_name("again").symlink_to(folder)
    (folder / "self").symlink_to(".")
    return True


def add_notes_of_macos(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    for one in made[:3]:
        (folder / one.path).with_name(f"._{Path(one.path).name}").write_bytes(b"x")
        note = folder / "__MACOSX" / one.path
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(b"x")
    return True


def name_a_folder_like_a_video(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    (folder / made[0].path).with_name("folder.mp4").mkdir()
    return True


def put_a_blank_into_a_name(rng: random.Random, path: Path, folder: Path, made: list[Made]) -> bool:
    one = folder / rng.choice(made).path
    one.rename(one.with_name(f"{one.stem} {one.suffix}"))
    return False


def change_the_case_of_a_name(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    one = folder / rng.choice(made).path
    one.rename(one.with_name(one.name.swapcase()))
    return False


def copy_a_video_to_a_folder(
    rng: random.Random, path: Path, folder: Path, made: list[Made]
) -> bool:
    one = folder / rng.choice(made).path
    (one.parent / "copies").mkdir()
    (one.parent / "copies" / one.name).write_bytes(b"x")
    return False


MUTATIONS: list[Mutation] = [
    lose_a_video, add_a_video, upper_case_a_suffix, repeat_a_row, lose_a_row, cut_a_row,
    swap_digits_for_letters, add_a_byte_order_mark, end_lines_as_windows_does, add_empty_lines,
    shuffle_rows, write_utf16, write_utf16_without_a_mark, end_lines_as_old_macs_did,
    end_with_blank_lines, put_blanks_around_separators, write_another_separator,
    repeat_an_id_with_another_score, add_a_link_to_the_folder, add_notes_of_macos,
    name_a_folder_like_a_video, put_a_blank_into_a_name, change_the_case_of_a_name,
    copy_a_video_to_a_folder,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_mutated_folder_gives_the_right_table_or_a_sentence(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    name = TEXT_SETS[seed % len(TEXT_SETS)]
    made = make_folder(name, tmp_path)
    config = yaml.safe_load((DATASETS / f"{name}.yaml").read_text(encoding="utf-8"))
    source = {**config["import"], "folder": str(tmp_path)}
    path = rng.choice([p for p in sorted(tmp_path.rglob("*")) if is_label_file(p)])
    mutation = rng.choice(MUTATIONS)
    must_stay = mutation(rng, path, tmp_path, made)
    what = (seed, name, mutation.__name__, path.name)
    try:
        values = read_all(source, tmp_path)
    except UserError as error:
        assert not must_stay, (what, str(error))
        assert str(tmp_path) in str(error), (what, str(error))
        return
    expected = {one.path.casefold(): {**one.mos, **one.ratings} for one in made}
    for video, scores in values.items():
        one = expected.pop(video.casefold(), None)
        if one is None:  # an added video, without a label
            assert set(scores.values()) <= {None}, what
        elif mutation is cut_a_row or mutation is lose_a_row:
            assert all(scores.get(d) in (mos, None) for d, mos in one.items()), what
        else:
            assert scores == one, what
    if must_stay:
        assert not expected, what


def is_label_file(path: Path) -> bool:
    return path.suffix in (".csv", ".txt", ".json", ".jsonl") and path.name not in PROMPT_FILES


def read_all(source: dict[str, Any], folder: Path) -> dict[str, dict[Any, float | None]]:
    """Return the MOS by dimension of each video, by its path."""
    samples = list_videos(source, 1)
    path_of_id = {r["sample_id"]: str(Path(r["source_path"]).relative_to(folder)) for r in samples}
    values: dict[str, dict[Any, float | None]] = {path: {} for path in path_of_id.values()}
    for row in read_mos(source, path_of_id):
        values[path_of_id[row["sample_id"]]][row["dimension"]] = row["mos"]
    for row in read_ratings(source, path_of_id):
        values[path_of_id[row["sample_id"]]][row["rater"], row["dimension"]] = row["score"]
    return values
