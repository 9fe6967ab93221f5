"""``sfqa import``: check a published dataset's folder and write a configuration for it."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sfqa.cli import FAILURE, SUCCESS
from sfqa.errors import UserError, hint
from sfqa.media_files import list_files
from sfqa.project_files import PROJECT

if TYPE_CHECKING:
    from sfqa.labels.joining import LabelledVideo

SUMMARY = "check the folder of a published dataset and write a configuration for it"
EXAMPLES = """\
sfqa import --list
sfqa import t2vqa_db /data/T2VQA-DB
sfqa import thqa_ntire /data/THQA-NTIRE --out my.yaml
sfqa import my.yaml                               # checks a configuration that you edited
sfqa import published/demo                        # a folder that sfqa publish wrote
"""
#: Where the configurations of published datasets are.
DATASETS = PROJECT / "config" / "datasets"
#: Sets that users may ask for, with the reason and what to do instead (docs/datasets.md).
NOT_IMPORTED = {
    "agavqa_3k": "its pairs are ranked without scores, and the label file of its MOS is unknown; "
    "describe it in import.labels",
    "evalcrafter": "the file of its human scores is unknown; unpack the archives, and describe the "
    "names, the prompts and your scores in import",
    "genai_bench": "its labels are preferences between two videos, not scores",
    "live_sjtu": "the columns of its label file are not certain; describe it in import.labels, and "
    "its raw YUV pictures and WAV sound in import.raw",
    "mqt": "nothing is known of its files; describe yours in import.labels",
    "ntire2024_aigc_video": "its videos are those of T2VQA-DB; use t2vqa_db",
    "q_eval_main": "the form of its main list is unknown, and Q-Eval-plus has pairs; use "
    "q_eval_video for the part of the challenge",
    "tdve_db": "its scores stand inside of sentences; write them into a table of videos and scores",
    "thqa_10k": "it is not released; its videos are the largest part of thqa_ntire",
    "thqa_3d": "its own label file is unknown; its videos are a part of thqa_ntire",
    "unb_avq_2013": "the columns of its label file are unknown; describe yours in import.labels",
    "videoscore_bench": "it is published as frames and as pairs, not as videos with MOS",
}
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_MAX_EXAMPLES = 3
_MAX_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "name",
        nargs="?",
        metavar="NAME",
        help="a dataset of config/datasets/, a folder that sfqa publish wrote, or a configuration "
        "(.yaml) to check",
    )
    add("folder", nargs="?", type=Path, metavar="FOLDER", help="its unpacked folder")
    add("--out", type=Path, metavar="FILE", help="the configuration to write (NAME.yaml)")
    add("--dataset", metavar="NAME", help="new name of a dataset that sfqa publish wrote")
    add("--list", action="store_true", help="list the datasets and exit")


def run(args: argparse.Namespace) -> int:
    """Compare the folder with its configuration, print what differs, write the configuration."""
    if args.list or args.name is None:
        for name in list_datasets():
            print(f"{name:<16} {read_summary(name)}")
        return SUCCESS
    if Path(args.name).is_dir():
        return _import_published(Path(args.name), args.out, args.dataset)
    if Path(args.name).suffix in (".yaml", ".yml"):
        return _check_own_config(Path(args.name))
    args.name = args.name.lower().replace("-", "_")
    if args.name in NOT_IMPORTED:
        raise UserError(
            f"sfqa import: {args.name} cannot be imported: {NOT_IMPORTED[args.name]} "
            "(docs/datasets.md)"
        )
    if args.name not in list_datasets():
        names = [*list_datasets(), *NOT_IMPORTED]
        raise UserError(f"sfqa import: no dataset {args.name!r}; {hint(args.name, names)}")
    if args.folder is None:
        raise UserError("sfqa import: the folder is missing; name the unpacked dataset's folder")
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: there is no such folder; unpack the dataset there")
    out = args.out or Path(f"{args.name}.yaml")
    if out.exists():
        raise UserError(f"{out}: it is there already; name another file with --out")
    text = set_folder(
        (DATASETS / f"{args.name}.yaml").read_text(encoding="utf-8"), args.folder.resolve()
    )
    is_complete = _check_folder(args.name, text)
    for sentence in list_guesses(text):
        print(sentence)
    out.write_text(text, encoding="utf-8")
    print(f"\nWritten: {out}. Edit it (weights, metrics, protocols), then run")
    print(f"  snakemake --cores 8 --configfile {out}")
    return SUCCESS if is_complete else FAILURE


def _import_published(folder: Path, out: Path | None, dataset: str | None) -> int:
    """Check a folder that ``sfqa publish`` wrote, and write its configuration with paths."""
    from sfqa.publishing.configuration import write_config
    from sfqa.publishing.importing import check_folder, place_config

    config = place_config(folder, dataset)
    out = out or Path(f"{config['dataset']}.yaml")
    if out.exists():
        raise UserError(f"{out}: it is there already; name another file with --out")
    check = check_folder(folder)
    print(f"{check.unchanged} files are as they were published")
    for names, text in (
        (check.missing, "are missing; fetch them again"),
        (check.changed, "are not as they were published; fetch them again"),
        (check.missing_videos, "videos of the sheet are not in the folder (left_out.csv)"),
    ):
        if names:
            more = ", ..." if len(names) > _MAX_EXAMPLES else ""
            print(f"{len(names)} {text}: {', '.join(names[:_MAX_EXAMPLES])}{more}")
    write_config(config, out, f"Written by sfqa import {folder}.")
    print(f"\nWritten: {out}. Run\n  snakemake --cores 8 --configfile {out}")
    return SUCCESS if check.is_complete else FAILURE


def _check_own_config(path: Path) -> int:
    """Compare the folder of a user's configuration with it, and print what differs."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such configuration; correct the path")
    is_complete = _check_folder(str(path), path.read_text(encoding="utf-8"))
    return SUCCESS if is_complete else FAILURE


def list_datasets() -> list[str]:
    """Return the names of the datasets with a configuration.

    >>> "t2vqa_db" in list_datasets()
    True
    """
    return sorted(path.stem for path in DATASETS.glob("*.yaml"))


def read_summary(name: str) -> str:
    """Return the first line of a configuration's comment."""
    with open(DATASETS / f"{name}.yaml", encoding="utf-8") as handle:
        return handle.readline().removeprefix("#").strip()


def list_guesses(text: str) -> list[str]:
    """Return the sentences of a configuration's comment that say what in it is a guess.

    >>> list_guesses("# A set.\\n# A guess: the name of\\n# the list.\\n# Licence: MIT.\\n")
    ['A guess: the name of the list.']
    """
    comment = " ".join(re.findall(r"(?m)^# ?(.*)$", text.partition("\ndataset:")[0]))
    return re.findall(r"A guess: .*?\.(?=\s|$)", comment)


def set_folder(text: str, folder: Path) -> str:
    """Return the text of a configuration with another ``import.folder``.

    >>> set_folder("import:\\n  folder: resources/x   # videos\\n", Path("/data/x y"))
    'import:\\n  folder: "/data/x y"   # videos\\n'
    """
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return re.sub(r"(?m)^(  folder: )\S+", lambda match: f'{match[1]}"{quoted}"', text, count=1)


def _check_folder(name: str, text: str) -> bool:
    """Print what is there, what is missing, how many rows match; return whether all of them do."""
    from sfqa.generation.importing import list_videos
    from sfqa.labels.joining import join_labels, list_all_files
    from sfqa.untrusted.documents import load_yaml
    from sfqa.untrusted.limits import RefusedError

    try:
        source = (load_yaml(text) or {}).get("import", {})
    except RefusedError as error:
        raise UserError(f"{name}: not valid YAML ({error}); correct it") from None
    if "labels" not in source or "folder" not in source:
        raise UserError(
            f"{name}: the section import has no folder with labels; see docs/datasets.md"
        )
    missing_files = [path for path in list_all_files(source) if not path.is_file()]
    for path in list_all_files(source):
        print(f"{'missing' if path in missing_files else 'found':<8} {path}")
    if missing_files:
        raise UserError(
            f"{missing_files[0]}: there is no such label file"
            + _explain_missing_file(name, missing_files[0], Path(source["folder"]))
        )
    expected_unlabelled = source.get("without_label", "error") != "error"
    videos = join_labels({**source, "without_video": "keep", "without_label": "keep"})
    folder = Path(source["folder"])
    lost = [video for video in videos if not (folder / video.path).is_file()]
    unlabelled = [video for video in videos if not video.where]
    present_paths = {video.path for video in videos} - {video.path for video in lost}
    labelled_paths = present_paths - {video.path for video in unlabelled}
    print(f"{len(present_paths)} videos in {folder}")
    print(f"{len(labelled_paths)} videos with labels")
    if len({video.path for video in videos}) < len(videos):
        print(f"{len(videos)} samples: some videos are in several")
    _print_examples("label", "without a video", lost)
    _print_remedy(lost, unlabelled)
    archives = list_files(folder, _ARCHIVE_SUFFIXES)
    if lost and archives:
        print(f"{archives[0]} is an archive; unpack it if the videos are in it")
    _print_examples("video", "without a label", unlabelled)
    for column in ("method", "split"):
        _print_counts(column, videos)
    _print_scores(videos)
    are_found = not lost or source.get("without_video") == "keep"
    is_complete = are_found and (expected_unlabelled or not unlabelled)
    if is_complete:
        list_videos(source, 1)  # what the first job would refuse, such as a part called TRUE
    return is_complete


def _explain_missing_file(name: str, path: Path, folder: Path) -> str:
    """Return the end of the error for a missing label file: where it may be, what to do."""
    relative = path.relative_to(folder)
    is_own = name.endswith((".yaml", ".yml"))
    remedy = "write import.folder:" if is_own else f"run sfqa import {name}"
    for sub in sorted({folder / file for file in list_files(folder, {path.suffix.lower()})}):
        if str(sub).casefold() == str(path).casefold():
            return f", but {sub.relative_to(folder)}; rename it"
        if str(sub).casefold().endswith(f"/{relative}".casefold()):
            inner = str(sub)[: -len(str(relative)) - 1]
            return f", but it is in a folder below; {remedy} {inner}"
    for outer in list(folder.parents)[:2]:
        if (outer / relative).is_file():
            return f", but it is in a folder above; {remedy} {outer}"
    archives = list_files(folder, _ARCHIVE_SUFFIXES)
    unpack = f"; unpack {archives[0]} first" if archives else ""
    copy = "" if is_own else f"copy config/datasets/{name}.yaml and "
    return (
        f"{unpack}; put it there, or {copy}correct import.labels (leave out a part that you do not "
        "have)"
    )


def _print_examples(noun: str, condition: str, videos: list[LabelledVideo]) -> None:
    if videos:
        nouns = noun if len(videos) == 1 else f"{noun}s"
        more = ", ..." if len(videos) > _MAX_EXAMPLES else ""
        examples = ", ".join(video.path for video in videos[:_MAX_EXAMPLES])
        print(f"{len(videos)} {nouns} {condition}: {examples}{more}")


def _print_remedy(lost: list[LabelledVideo], unlabelled: list[LabelledVideo]) -> None:
    """Print the key that would join labels without a video to videos without a label."""
    by_stem = {video.path.rpartition(".")[0]: video.path for video in unlabelled}
    by_name = {video.path.rpartition("/")[2]: video.path for video in unlabelled}
    for video in lost:
        name = video.path.rpartition("/")[2]
        if path := by_stem.get(video.path):
            suffix = PurePosixPath(path).suffix
            print(f"{path} has a suffix that its label lacks; write path: '{{video}}{suffix}'")
        elif path := by_name.get(name):
            print(f"{path} is in another folder than its label says; write match: name")
        else:
            continue
        return


def _print_counts(column: str, videos: Iterable[LabelledVideo]) -> None:
    counts = Counter(video.columns.get(column) for video in videos)
    counts.pop(None, None)
    if counts:
        most_common = counts.most_common(_MAX_SHOWN)
        more = f", ... ({len(counts)} in all)" if len(counts) > _MAX_SHOWN else ""
        print(f"{column}: {', '.join(f'{name} {count}' for name, count in most_common)}{more}")


def _print_scores(videos: Iterable[LabelledVideo]) -> None:
    values: dict[str, list[float]] = {}
    for video in videos:
        ratings = ((dimension, score) for (_, dimension), score in video.ratings.items())
        for dimension, score in (*video.scores.items(), *ratings):
            if score.mos is not None:
                values.setdefault(dimension, []).append(score.mos)
    for dimension, scores in values.items():
        mean = sum(scores) / len(scores)
        print(
            f"{dimension}: {len(scores)} scores from {min(scores):g} to {max(scores):g}, "
            f"mean {mean:.4g}"
        )
