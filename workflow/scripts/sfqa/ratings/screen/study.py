"""What a study says: study.yaml (dimensions, scale, words), plan.parquet and media.parquet."""

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

PAGE_LANGUAGES = ("en", "zh")
_PLAN = ("rater", "session", "position", "sample_id", "role", "block", "seconds")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: The words of absolute category rating (ITU-T P.910), from low to high.
ACR = (
    {"en": "Bad", "zh": "很差"}, {"en": "Poor", "zh": "较差"}, {"en": "Fair", "zh": "一般"},
    {"en": "Good", "zh": "良好"}, {"en": "Excellent", "zh": "优秀"},
)  # fmt: skip

Words = dict[str, str]
Json = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """The slider: its ends and the smallest step."""

    low: float
    high: float
    step: float

    def holds(self, score: float) -> bool:
        """Return whether a score lies on the scale and on one of its steps.

        >>> Scale(1, 5, 0.1).holds(3.3), Scale(1, 5, 1).holds(3.3), Scale(1, 5, 1).holds(6)
        (True, False, False)
        """
        if not math.isfinite(score) or not self.low <= score <= self.high:
            return False
        steps = (score - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6


@dataclass(frozen=True)
class Study:
    """``study.yaml``, checked: what the server needs, and ``page``: what the page is told."""

    dimensions: tuple[str, ...]
    languages: tuple[str, ...]
    scale: Scale
    break_seconds: float
    profile: Mapping[str, frozenset[str] | None]
    page: Json


@dataclass(frozen=True)
class Planned:
    """One row of the plan: a video that a rater is shown at a place."""

    rater: str
    session: int
    position: int
    sample_id: str
    role: str
    block: int
    seconds: float


@dataclass(frozen=True)
class Media:
    """The files of one sample, and what is said beside them."""

    files: Mapping[str, Path]
    title: str | None
    language: str | None
    prompt: str | None


def read_study(path: Path) -> Study:
    """Return a study's settings; raises :class:`UserError` naming what is wrong in the file."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; a study's folder needs one") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML ({error}); correct it") from error
    try:
        return parse_study(given)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_study(given: Any) -> Study:
    """Return a study's settings from what its YAML file holds.

    >>> study = parse_study({"dimensions": [{"name": "quality", "label": "Quality"}]})
    >>> study.dimensions, study.scale, study.languages
    (('quality',), Scale(low=1.0, high=5.0, step=1.0), ('en',))
    """
    top = _mapping(
        given, "study.yaml",
        ("title", "languages", "scale", "dimensions", "breaks", "replays", "show", "welcome",
         "consent", "training", "finish", "contact", "profile"),
    )  # fmt: skip
    languages = tuple(_list(top.get("languages", ["en"]), "languages"))
    for language in languages:
        if language not in PAGE_LANGUAGES:
            known = hint(language, PAGE_LANGUAGES)
            raise UserError(f"languages: no language {language!r}; {known}")
    if not languages:
        raise UserError("languages: none; give at least one of en, zh")
    scale = _scale(_mapping(top.get("scale", {}), "scale", ("low", "high", "step")))
    dimensions = [
        _dimension(one, f"dimensions, entry {number}", languages)
        for number, one in enumerate(_list(top.get("dimensions", []), "dimensions"), 1)
    ]
    names = [one["name"] for one in dimensions]
    if not names or len(set(names)) != len(names):
        raise UserError("dimensions: give at least one, each name once")
    breaks = _mapping(top.get("breaks", {}), "breaks", ("seconds",))
    show = _mapping(top.get("show", {}), "show", ("image", "clip", "prompt"))
    for name, value in show.items():
        if not isinstance(value, bool):
            raise UserError(f"show, {name}: {value!r} is neither true nor false")
    profile = [
        _question(one, f"profile, entry {number}", languages)
        for number, one in enumerate(_list(top.get("profile", []), "profile"), 1)
    ]
    page = {
        "languages": list(languages),
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step},
        "dimensions": dimensions,
        "replays": _whole(top.get("replays"), "replays"),
        "show": {"image": True, "clip": True, "prompt": True} | show,
        "profile": profile,
        "contact": str(top.get("contact") or ""),
        "title": _words(top.get("title", "SFQA"), "title", languages),
    }
    for name in ("welcome", "consent", "training", "finish"):
        page[name] = _words(top[name], name, languages) if top.get(name) else None
    return Study(
        tuple(names),
        languages,
        scale,
        _number(breaks.get("seconds", 60), "breaks, seconds"),
        {q["name"]: _values(q) for q in profile},
        page,
    )


def _scale(given: Json) -> Scale:
    low, high, step = (
        _number(given.get(name, default), f"scale, {name}", negative=True)
        for name, default in (("low", 1), ("high", 5), ("step", 1))
    )
    scale = Scale(low, high, step)
    if high <= low or step <= 0 or step > high - low or not scale.holds(high):
        raise UserError(
            f"scale: no whole number of steps of {step:g} leads from {low:g} to {high:g}"
        )
    return scale


def _dimension(given: Any, where: str, languages: tuple[str, ...]) -> Json:
    one = _mapping(given, where, ("name", "label", "question", "points"))
    name = one.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{where}: the name {name!r} is no name; use letters, digits and _")
    points = _list(one.get("points", [{"word": word} for word in ACR]), f"{where}, points")
    if len(points) < 2:
        raise UserError(f"{where}, points: give one per point of the scale, from low to high")
    made = []
    for number, given_point in enumerate(points, 1):
        at = f"{where}, points, entry {number}"
        point = _mapping(given_point, at, ("word", "text"))
        word = point.get("word", ACR[number - 1] if len(points) == len(ACR) else None)
        text = point.get("text")
        made.append(
            {
                "word": _words(word, f"{at}, word", languages),
                "text": _words(text, f"{at}, text", languages) if text else None,
            }
        )
    question = one.get("question")
    return {
        "name": name,
        "label": _words(one.get("label", name), f"{where}, label", languages),
        "question": _words(question, f"{where}, question", languages) if question else None,
        "points": made,
    }


def _question(given: Any, where: str, languages: tuple[str, ...]) -> Json:
    one = _mapping(given, where, ("name", "label", "choices"))
    name = one.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{where}: the name {name!r} is no name; use letters, digits and _")
    choices = [
        _words(choice, f"{where}, choices", languages)
        for choice in _list(one.get("choices", []), f"{where}, choices")
    ]
    return {
        "name": name,
        "label": _words(one.get("label", name), f"{where}, label", languages),
        "choices": [{"value": next(iter(c.values())), "label": c} for c in choices],
    }


def _values(question: Json) -> frozenset[str] | None:
    return frozenset(c["value"] for c in question["choices"]) or None


def _words(given: Any, where: str, languages: tuple[str, ...]) -> Words:
    """A text in every language of the study; a plain string is the same in all."""
    if isinstance(given, str) and given.strip():
        return dict.fromkeys(languages, given)
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: give a text, or one per language ({', '.join(languages)})")
    for language in languages:
        if not isinstance(given.get(language), str) or not given[language].strip():
            raise UserError(f"{where}: no text in the language {language}; add it")
    return {language: given[language] for language in languages}


def _mapping(given: Any, where: str, known: Iterable[str]) -> Json:
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: {given!r} is no mapping; give {', '.join(known)}")
    for key in given:
        if key not in known:
            raise UserError(f"{where}: no key {key!r}; {hint(key, known)}")
    return dict(given)


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise UserError(f"{where}: {given!r} is no list; give one")
    return given


def _number(given: Any, where: str, negative: bool = False) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        raise UserError(f"{where}: {given!r} is no number; give one")
    if given < 0 and not negative:
        raise UserError(f"{where}: {given!r} is below 0; give 0 or more")
    return float(given)


def _whole(given: Any, where: str) -> int | None:
    if given is None:
        return None
    number = _number(given, where)
    if number != int(number):
        raise UserError(f"{where}: {given!r} is no whole number; give one, or leave it out")
    return int(number)


def read_plan(path: Path) -> list[Planned]:
    """Return the plan's rows in the order of showing; raises :class:`UserError` for a wrong one."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make the plan of the study first")
    table = pq.read_table(path)
    lacking = [name for name in _PLAN if name not in table.schema.names]
    if lacking:
        raise UserError(f"{path}: no column {lacking[0]!r}; a plan has {', '.join(_PLAN)}")
    rows = []
    for number, row in enumerate(table.select(_PLAN).to_pylist()):
        if row["role"] not in ROLES:
            raise UserError(f"{path}, row {number}: the role {row['role']!r} is none of {ROLES}")
        if not isinstance(row["rater"], str) or not _RATER.fullmatch(row["rater"]):
            raise UserError(
                f"{path}, row {number}: the rater {row['rater']!r} is no name; "
                "use letters, digits, '_', '.' and '-'"
            )
        if None in row.values() or not row["seconds"] >= 0:
            raise UserError(f"{path}, row {number}: a cell is empty or below 0; fill it")
        rows.append(Planned(**row))
    rows.sort(key=lambda r: (r.rater, r.session, r.position))
    for before, after in pairwise(rows):
        if (before.rater, before.session, before.position) == (
            after.rater, after.session, after.position,
        ):  # fmt: skip
            raise UserError(
                f"{path}: rater {after.rater}, session {after.session}: the position "
                f"{after.position} is there twice; number them"
            )
    return rows


def read_media(folder: Path, samples: Iterable[str]) -> dict[str, Media]:
    """Return the files of the samples from ``media.parquet`` (:data:`STUDY_MEDIA`) in a study.

    Raises :class:`UserError` for a sample without a row and for a file that is not there.
    """
    path = folder / STUDY_MEDIA.file_name
    if not path.is_file():
        raise UserError(f"{path}: no such file; it says where the videos of the samples are")
    table = pq.read_table(path)
    lacking = [c.name for c in STUDY_MEDIA.columns[:2] if c.name not in table.schema.names]
    if lacking:
        raise UserError(f"{path}: no column {lacking[0]!r}; it needs sample_id and video")
    rows = {row["sample_id"]: row for row in table.to_pylist()}
    found: dict[str, Media] = {}
    missing = []
    for sample in sorted(set(samples)):
        if sample not in rows:
            missing.append(f"no row for the sample {sample!r}")
            continue
        row = rows[sample]
        files = {}
        for kind in ("video", "image", "clip"):
            if row.get(kind):
                files[kind] = folder / row[kind]
                if not files[kind].is_file():
                    missing.append(f"sample {sample!r}: no file {files[kind]}")
        if "video" not in files:
            missing.append(f"sample {sample!r} has no video")
        found[sample] = Media(files, row.get("title"), row.get("language"), row.get("prompt"))
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{path}: {missing[0]}{more}; make it, or plan without these samples")
    return found


def media_row(
    folder: Path,
    sample_id: str,
    video: Path | str,
    image: Path | str | None = None,
    clip: Path | str | None = None,
    **said: str | None,
) -> Json:
    """Return a row of :data:`STUDY_MEDIA`: paths as seen from the study's folder.

    ``said`` may hold ``title``, ``language`` and ``prompt``.

    >>> media_row(Path("results/demo/ratings/study"), "a", "results/demo/conform/a.mp4")["video"]
    '../../conform/a.mp4'
    """
    made: Json = {"sample_id": sample_id, **said}
    for kind, path in (("video", video), ("image", image), ("clip", clip)):
        made[kind] = Path(os.path.relpath(path, folder)).as_posix() if path else None
    return made
