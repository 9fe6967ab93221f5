"""Files of a study: study.yaml (dimensions, scale, texts), plan.parquet and media.parquet."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from sfqa.errors import UserError, hint
from sfqa.tables import ROLES, STUDY_MEDIA
from sfqa.yaml_names import check_keys, check_texts

PAGE_LANGUAGES = ("en", "zh")
_PLAN_COLUMNS = ("rater", "session", "position", "sample_id", "role", "block", "seconds")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: Labels of absolute category rating (ITU-T P.910), from low to high.
ACR = (
    {"en": "Bad", "zh": "很差"}, {"en": "Poor", "zh": "较差"}, {"en": "Fair", "zh": "一般"},
    {"en": "Good", "zh": "良好"}, {"en": "Excellent", "zh": "优秀"},
)  # fmt: skip

#: A text by language.
Texts = dict[str, str]
Json = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """The rating scale: its ends and its step."""

    low: float
    high: float
    step: float

    def contains(self, score: float) -> bool:
        """Return whether a score is one of the steps of the scale.

        >>> Scale(1, 5, 0.1).contains(3.3), Scale(1, 5, 1).contains(3.3), Scale(1, 5, 1).contains(6)
        (True, False, False)
        """
        if not math.isfinite(score) or not self.low <= score <= self.high:
            return False
        steps = (score - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6


@dataclass(frozen=True)
class Study:
    """Validated contents of ``study.yaml``; ``page`` is what is sent to the page."""

    dimensions: tuple[str, ...]
    languages: tuple[str, ...]
    scale: Scale
    break_seconds: float
    profile: Mapping[str, frozenset[str] | None]
    page: Json


@dataclass(frozen=True)
class PlannedVideo:
    """One row of the plan: a video that is shown to a rater, with session and position."""

    rater: str
    session: int
    position: int
    sample_id: str
    role: str
    block: int
    seconds: float


@dataclass(frozen=True)
class Media:
    """The files of one sample, and the texts shown with them."""

    files: Mapping[str, Path]
    title: str | None
    language: str | None
    prompt: str | None


def read_study(path: Path) -> Study:
    """Return a study's settings; raises :class:`UserError` naming the wrong entry of the file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; a study's folder needs this file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML ({error}); correct it") from error
    try:
        return parse_study(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_study(content: Any) -> Study:
    """Return a study's settings from the content of its YAML file.

    >>> study = parse_study({"dimensions": [{"name": "quality", "label": "Quality"}]})
    >>> study.dimensions, study.scale, study.languages
    (('quality',), Scale(low=1.0, high=5.0, step=1.0), ('en',))
    """
    check_keys(content, "study.yaml")
    check_texts(content, "study.yaml", ("name", "languages", "choices", "options"))
    top = _check_mapping(
        content, "study.yaml",
        ("title", "languages", "scale", "dimensions", "breaks", "replays", "show", "welcome",
         "consent", "training", "finish", "contact", "profile"),
    )  # fmt: skip
    languages = tuple(_check_list(top.get("languages", ["en"]), "languages"))
    for language in languages:
        if language not in PAGE_LANGUAGES:
            raise UserError(
                f"languages: no language {language!r}; {hint(language, PAGE_LANGUAGES)}"
            )
    if not languages:
        raise UserError("languages: none; give at least one of en, zh")
    scale = _parse_scale(_check_mapping(top.get("scale", {}), "scale", ("low", "high", "step")))
    dimensions = [
        _parse_dimension(entry, f"dimensions, entry {number}", languages)
        for number, entry in enumerate(_check_list(top.get("dimensions", []), "dimensions"), 1)
    ]
    names = [dimension["name"] for dimension in dimensions]
    if not names or len(set(names)) != len(names):
        raise UserError("dimensions: give at least one, each name once")
    breaks = _check_mapping(top.get("breaks", {}), "breaks", ("seconds",))
    show = _check_mapping(top.get("show", {}), "show", ("image", "clip", "prompt"))
    for name, value in show.items():
        if not isinstance(value, bool):
            raise UserError(f"show, {name}: {value!r} is neither true nor false")
    profile = [
        _parse_question(entry, f"profile, entry {number}", languages)
        for number, entry in enumerate(_check_list(top.get("profile", []), "profile"), 1)
    ]
    page = {
        "languages": list(languages),
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step},
        "dimensions": dimensions,
        "replays": _check_integer(top.get("replays"), "replays"),
        "show": {"image": True, "clip": True, "prompt": True} | show,
        "profile": profile,
        "contact": str(top.get("contact") or ""),
        "title": _check_text(top.get("title", "SFQA"), "title", languages),
    }
    for name in ("welcome", "consent", "training", "finish"):
        page[name] = _check_text(top[name], name, languages) if top.get(name) else None
    return Study(
        tuple(names),
        languages,
        scale,
        _check_number(breaks.get("seconds", 60), "breaks, seconds"),
        {q["name"]: _list_values(q) for q in profile},
        page,
    )


def _parse_scale(entry: Json) -> Scale:
    low, high, step = (
        _check_number(entry.get(name, default), f"scale, {name}", negative=True)
        for name, default in (("low", 1), ("high", 5), ("step", 1))
    )
    scale = Scale(low, high, step)
    if high <= low or step <= 0 or step > high - low or not scale.contains(high):
        raise UserError(
            f"scale: no whole number of steps of {step:g} leads from {low:g} to {high:g}"
        )
    return scale


def _parse_dimension(value: Any, where: str, languages: tuple[str, ...]) -> Json:
    entry = _check_mapping(value, where, ("name", "label", "question", "points"))
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{where}: {name!r} is not a valid name; use letters, digits and _")
    points = _check_list(entry.get("points", [{"word": word} for word in ACR]), f"{where}, points")
    if len(points) < 2:
        raise UserError(f"{where}, points: give one per point of the scale, from low to high")
    labels = []
    for number, value in enumerate(points, 1):
        at = f"{where}, points, entry {number}"
        point = _check_mapping(value, at, ("word", "text"))
        word = point.get("word", ACR[number - 1] if len(points) == len(ACR) else None)
        text = point.get("text")
        labels.append(
            {
                "word": _check_text(word, f"{at}, word", languages),
                "text": _check_text(text, f"{at}, text", languages) if text else None,
            }
        )
    question = entry.get("question")
    return {
        "name": name,
        "label": _check_text(entry.get("label", name), f"{where}, label", languages),
        "question": _check_text(question, f"{where}, question", languages) if question else None,
        "points": labels,
    }


def _parse_question(value: Any, where: str, languages: tuple[str, ...]) -> Json:
    entry = _check_mapping(value, where, ("name", "label", "choices"))
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{where}: {name!r} is not a valid name; use letters, digits and _")
    choices = [
        _check_text(choice, f"{where}, choices", languages)
        for choice in _check_list(entry.get("choices", []), f"{where}, choices")
    ]
    return {
        "name": name,
        "label": _check_text(entry.get("label", name), f"{where}, label", languages),
        "choices": [{"value": next(iter(c.values())), "label": c} for c in choices],
    }


def _list_values(question: Json) -> frozenset[str] | None:
    return frozenset(c["value"] for c in question["choices"]) or None


def _check_text(value: Any, where: str, languages: tuple[str, ...]) -> Texts:
    """Return a text in every language of the study; a plain string is used for all."""
    if isinstance(value, str) and value.strip():
        return dict.fromkeys(languages, value)
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: give a text, or one per language ({', '.join(languages)})")
    for language in languages:
        if not isinstance(value.get(language), str) or not value[language].strip():
            raise UserError(f"{where}: no text in the language {language}; add it")
    return {language: value[language] for language in languages}


def _check_mapping(value: Any, where: str, keys: Iterable[str]) -> Json:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {value!r} is not a mapping; give {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise UserError(f"{where}: no key {key!r}; {hint(key, keys)}")
    return dict(value)


def _check_list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{where}: {value!r} is not a list; give one")
    return value


def _check_number(value: Any, where: str, negative: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(f"{where}: {value!r} is not a number; give one")
    if value < 0 and not negative:
        raise UserError(f"{where}: {value!r} is below 0; give 0 or more")
    return float(value)


def _check_integer(value: Any, where: str) -> int | None:
    if value is None:
        return None
    number = _check_number(value, where)
    if number != int(number):
        raise UserError(f"{where}: {value!r} is not a whole number; give one, or leave it out")
    return int(number)


def read_plan(path: Path) -> list[PlannedVideo]:
    """Return the plan's rows in presentation order; raises :class:`UserError` for a wrong row."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; create the plan of the study first")
    table = pq.read_table(path)
    missing = [name for name in _PLAN_COLUMNS if name not in table.schema.names]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; a plan has {', '.join(_PLAN_COLUMNS)}")
    rows = []
    for number, row in enumerate(table.select(_PLAN_COLUMNS).to_pylist()):
        if row["role"] not in ROLES:
            raise UserError(f"{path}, row {number}: the role {row['role']!r} is not one of {ROLES}")
        if not isinstance(row["rater"], str) or not _RATER.fullmatch(row["rater"]):
            raise UserError(
                f"{path}, row {number}: {row['rater']!r} is not a valid name of a rater; "
                "use letters, digits, '_', '.' and '-'"
            )
        if None in row.values() or not row["seconds"] >= 0:
            raise UserError(f"{path}, row {number}: a cell is empty or below 0; fill it")
        rows.append(PlannedVideo(**row))
    rows.sort(key=lambda r: (r.rater, r.session, r.position))
    for before, after in pairwise(rows):
        if (before.rater, before.session, before.position) == (
            after.rater, after.session, after.position,
        ):  # fmt: skip
            raise UserError(
                f"{path}: rater {after.rater}, session {after.session}: the position "
                f"{after.position} is repeated; number the rows"
            )
    return rows


def read_media(folder: Path, samples: Iterable[str]) -> dict[str, Media]:
    """Return the files of the samples from a study's ``media.parquet`` (:data:`STUDY_MEDIA`).

    Raises :class:`UserError` for a sample without a row and for a missing file.
    """
    path = folder / STUDY_MEDIA.file_name
    if not path.is_file():
        raise UserError(f"{path}: no such file; it lists the videos of the samples")
    table = pq.read_table(path)
    missing_columns = [c.name for c in STUDY_MEDIA.columns[:2] if c.name not in table.schema.names]
    if missing_columns:
        raise UserError(f"{path}: no column {missing_columns[0]!r}; it needs sample_id and video")
    rows = {row["sample_id"]: row for row in table.to_pylist()}
    media: dict[str, Media] = {}
    missing = []
    for sample in sorted(set(samples)):
        if sample not in rows:
            missing.append(f"no row for the sample {sample!r}")
            continue
        row = rows[sample]
        files = {}
        for name in ("video", "image", "clip"):
            if row.get(name):
                files[name] = folder / row[name]
                if not files[name].is_file():
                    missing.append(f"sample {sample!r}: no file {files[name]}")
        if "video" not in files:
            missing.append(f"sample {sample!r} has no video")
        media[sample] = Media(files, row.get("title"), row.get("language"), row.get("prompt"))
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{path}: {missing[0]}{more}; add it, or plan without these samples")
    return media


def make_media_row(
    folder: Path,
    sample_id: str,
    video: Path | str,
    image: Path | str | None = None,
    clip: Path | str | None = None,
    **texts: str | None,
) -> Json:
    """Return a row of :data:`STUDY_MEDIA` with paths relative to the study's folder.

    ``texts`` may have ``title``, ``language`` and ``prompt``.

    >>> folder = Path("results/demo/ratings/study")
    >>> make_media_row(folder, "a", "results/demo/conform/a.mp4")["video"]
    '../../conform/a.mp4'
    """
    row: Json = {"sample_id": sample_id, **texts}
    for name, path in (("video", video), ("image", image), ("clip", clip)):
        row[name] = Path(os.path.relpath(path, folder)).as_posix() if path else None
    return row
