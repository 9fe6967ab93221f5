"""Explain ids of rated samples that are not in the dataset: the nearest id, and what to write."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from difflib import get_close_matches
from pathlib import Path

from sfqa.errors import hint
from sfqa.media_files import VIDEO_SUFFIXES
from sfqa.sample_fields import clean_name

#: The similarity of every id is computed for as many ids at most.
_MAX_COMPARED = 20_000
_RULE = "docs/importing.md has the rule of the ids"


def describe_unknown_ids(
    unknown_ids: Sequence[str],
    rated: int,
    ids: Collection[str],
    raters: Sequence[str] = (),
    source: str = "table",
) -> str:
    """Return a sentence on rated samples that are not in a dataset, and what to write instead.

    ``rated`` is the number of rated samples, ``ids`` those of the dataset. ``raters`` and
    ``source`` of the ratings tell whether videos and raters of a wide table are swapped.

    >>> print(describe_unknown_ids(["talk_1"], 8, ["talk_1__sonic", "talk_2__sonic"]))
    1 of 8 rated samples is not in the dataset, the first is 'talk_1'; did you mean \
'talk_1__sonic'? Correct the ids of the ratings, or give the videos a sample_id of their own \
(docs/importing.md has the rule of the ids)
    """
    verb = "is" if len(unknown_ids) == 1 else "are"
    problem = (
        f"{len(unknown_ids)} of {rated} rated samples {verb} not in the dataset, the first is "
        f"{unknown_ids[0]!r}"
    )
    if source == "wide" and raters:
        videos = [rater for rater in raters if rater in ids or find_id_of_file(rater, ids)]
        if 2 * len(videos) > len(raters):
            return (
                f"{problem}; the columns are the videos, such as {videos[0]!r}: in "
                "ratings.columns, name the column of the raters as 'rater' in place of 'sample_id'"
            )
    nearest = find_nearest_id(unknown_ids[0], ids)
    if nearest:
        suggestion = f"did you mean {nearest!r}?"
    else:
        suggestion = f"an id of the dataset is {min(ids)!r}." if ids else "there are no samples."
    return (
        f"{problem}; {suggestion} Correct the ids of the ratings, or give the videos a sample_id "
        f"of their own ({_RULE})"
    )


def describe_unrated(path: Path, names: Sequence[str], rated: Set[str]) -> str:
    """Return a note on samples without a MOS: how many, the first of them, and its likely name.

    >>> describe_unrated(Path("a.csv"), ["dgo", "cat"], {"dog", "cat"})
    "a.csv: 1 of 2 samples has no MOS row, the first is 'dgo'; did you mean 'dog'?"
    """
    unrated = [name for name in names if name not in rated]
    verb = "has" if len(unrated) == 1 else "have"
    suggestion = hint(unrated[0], sorted(rated - set(names)))
    return (
        f"{path}: {len(unrated)} of {len(names)} samples {verb} no MOS row, the first is "
        f"{unrated[0]!r}" + (f"; {suggestion}" if suggestion.startswith("did you mean") else "")
    )


def find_id_of_file(name: str, ids: Collection[str]) -> str:
    """Return the first id that begins with the name of a video file, '' if none does.

    >>> find_id_of_file("in/talk 1.MP4", ["talk-1__late", "talk-1__sharp", "talk-11__sharp"])
    'talk-1__late'
    """
    stem = name.replace("\\", "/").rpartition("/")[2]
    for suffix in VIDEO_SUFFIXES:
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    start = f"{clean_name(stem)}__".casefold()
    return min((i for i in ids if i.casefold().startswith(start)), default="")


def find_nearest_id(name: str, ids: Collection[str]) -> str:
    """Return the id that was probably meant by a name, '' if none is near."""
    if start := find_id_of_file(name, ids):
        return start
    folded = {i.casefold(): i for i in ids}
    key = clean_name(name).casefold()
    if key in folded:
        return folded[key]
    candidates = list(folded)
    if len(candidates) > _MAX_COMPARED:
        candidates = [i for i in candidates if i[:3] == key[:3]][:_MAX_COMPARED]
    matches = get_close_matches(key, candidates, 1)
    return folded[matches[0]] if matches else ""
