"""The plan of a rating study: which rater rates which videos, in which session and order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sfqa.arrays import Ints
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.ratings import plan_balance
from sfqa.ratings.plan_sessions import (
    PlanRow,
    Presentation,
    choose_repeats,
    cut_sessions,
)
from sfqa.ratings.study_design import StudyDesign
from sfqa.tables import FAILED, PLAN

VERSION = 1
COLUMNS = tuple(PLAN.names)
ROLES = ("training", "test", "repeat", "gold", "trap")
#: Columns of the samples that are spread evenly over sessions, in addition to the methods.
LABELS = ("image_category", "style", "language")
Names = np.ndarray[tuple[int], np.dtype[np.object_]]
_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def make_plan(
    samples: pd.DataFrame,
    raters: int | Sequence[str],
    design: StudyDesign,
    seed: int,
    existing: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a plan, one row per presentation, with the columns ``COLUMNS``.

    ``samples``: sample_id, method, seconds (length of the video) and optionally pair_id,
    image_category, style, language. ``raters``: their names, or their number (r001, ...). Every
    sample, except training and control clips, is rated by exactly ``design.per_sample`` raters; the
    raters' loads differ by at most 1. The column ``block`` counts the parts of a session between
    breaks.

    ``existing``: the plan of a running study. Its rows come first and are not changed; samples that
    it lacks are added in further sessions and rated by ``raters``, of whom new ones are trained.
    With ``groups`` the raters must be those of the running study.

    The order is random and depends only on ``seed`` and the other arguments, not on the order of
    the samples' rows. See :func:`sfqa.ratings.plan_check.verify_plan` for the guarantees and
    :func:`sfqa.ratings.plan_check.describe_plan` for a report on them. Raises :class:`UserError`
    for arguments that no plan can satisfy.

    >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "method": ["m", "n"] * 3,
    ...     "pair_id": list("ppqqrr"), "seconds": 5.0})
    >>> plan = make_plan(samples, 4, StudyDesign(per_sample=2), seed=1)
    >>> plan.groupby("sample_id")["rater"].nunique().tolist()
    [2, 2, 2, 2, 2, 2]
    """
    frame = check_samples(samples)
    names = _name_raters(raters)
    control_ids = _check_control_clips(frame, design.training, design.gold, design.traps)
    old = _check_existing(existing, control_ids, design.per_sample)
    planned = set(old.loc[old["role"] == "test", "sample_id"])
    test = frame[~frame["sample_id"].isin(control_ids | planned)].reset_index(drop=True)
    _check_design(test, frame, names, design, existing is not None)
    codes = {
        name: np.unique(test[name].to_numpy(str), return_inverse=True)[1].astype(np.int64)
        for name in ("pair_id", "method", *LABELS)
    }
    strata = np.zeros(len(test), np.int64)
    for name in LABELS:
        strata = strata * (int(codes[name].max(initial=0)) + 1) + codes[name]
    old_load = old[old["role"] == "test"].groupby("rater").size()
    load = np.array([old_load.get(name, 0) for name in names], np.int64)
    assigned = np.zeros((len(test), len(names)), np.bool_)
    rng = random_generator(seed, "panels", len(old))
    groups, per_sample = design.groups, design.per_sample
    if groups is None:
        assigned = plan_balance.assign_raters(
            codes["pair_id"], codes["method"], strata, len(names), per_sample, rng, load
        )
    else:
        size = len(names) // groups
        previous = _count_previous(old, frame, names, size, sorted(set(test["pair_id"])))
        group_of_video = plan_balance.assign_groups(
            codes["pair_id"], codes["method"], groups, rng, previous
        )
        for group in range(groups):
            videos_of_group = np.flatnonzero(group_of_video == group)
            members = slice(group * size, (group + 1) * size)
            pairs = np.unique(codes["pair_id"][videos_of_group], return_inverse=True)[1]
            assigned[videos_of_group, members] = plan_balance.assign_raters(
                pairs.astype(np.int64),
                codes["method"][videos_of_group],
                strata[videos_of_group],
                size,
                per_sample,
                rng,
                load[members],
            )
    seconds = dict(zip(frame["sample_id"], frame["seconds"], strict=True))
    pairs_of = dict(zip(frame["sample_id"], frame["pair_id"], strict=True))
    videos = _TestVideos(
        test["sample_id"].to_numpy(object), test["pair_id"].to_numpy(object), codes, seconds
    )
    rows: list[PlanRow] = []
    for number, name in enumerate(names):
        old_rows = old[old["rater"] == name]
        rated = old_rows.loc[old_rows["role"].isin(["test", "repeat"]), "sample_id"]
        rater = _Rater(
            name,
            int(old_rows["session"].max()) if len(old_rows) else 0,
            [pairs_of.get(sample, "") for sample in reversed(rated.tolist())],
        )
        order_rng = random_generator(seed, "order", name, len(old))
        indices = np.flatnonzero(assigned[:, number])
        rows += _plan_sessions(rater, indices, videos, design, order_rng)
    new = pd.DataFrame(rows, columns=list(COLUMNS))
    if existing is None:
        return _set_types(new)
    return _set_types(pd.concat([old, new], ignore_index=True) if len(new) else old)


@dataclass(frozen=True)
class _TestVideos:
    """The videos to rate, one entry each.

    ``codes``: a number for each value of ``pair_id``, ``method`` and every label. ``seconds``: the
    lengths of all samples, including training and control clips.
    """

    sample_ids: Names
    pair_ids: Names
    codes: dict[str, Ints]
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Rater:
    """A rater in a running study; ``seen_pairs`` lists the pairs already seen, the latest first."""

    name: str
    sessions_before: int
    seen_pairs: list[str]


def _plan_sessions(
    rater: _Rater,
    indices: Ints,
    videos: _TestVideos,
    design: StudyDesign,
    rng: np.random.Generator,
) -> list[PlanRow]:
    """Return the rows of a rater's new sessions; ``indices`` are those of the rater's videos."""
    if not len(indices):
        return []
    codes, seconds, sample_ids = videos.codes, videos.seconds, videos.sample_ids
    pair = np.unique(codes["pair_id"][indices], return_inverse=True)[1].astype(np.int64)
    last_seen = None
    if rater.seen_pairs:
        videos_ago = {p: k for k, p in reversed(list(enumerate(rater.seen_pairs)))}
        last_seen = np.full(int(pair.max()) + 1, -1, np.int64)
        last_seen[pair] = [videos_ago.get(p, -1) for p in videos.pair_ids[indices]]
    count = round(design.repeats_share * len(indices))
    total = sum(seconds[s] + design.scoring_sec for s in sample_ids[indices])
    total *= 1 + design.repeats_share
    session_count = max(1, int(np.ceil(total / design.session_sec)))
    labels = [
        codes[label][indices] for label in LABELS if len(np.unique(codes[label][indices])) > 1
    ]
    method = codes["method"][indices]
    order = plan_balance.order_videos(pair, method, labels, session_count, rng, last_seen)
    repeats: dict[int, list[Presentation]] = {}
    for position, source in choose_repeats(pair[order], method[order], count, rng):
        sample = sample_ids[indices[order[source]]]
        repeats.setdefault(position, []).append(Presentation(sample, "repeat"))
    presentations = []
    for position, video in enumerate(order):
        presentations.append(Presentation(sample_ids[indices[video]], "test"))
        presentations += repeats.get(position, [])
    sessions = cut_sessions(presentations, seconds, design, rng, trained=rater.sessions_before > 0)
    return [
        {
            "rater": rater.name,
            "session": rater.sessions_before + number,
            "position": position,
            "sample_id": presentation.sample,
            "role": presentation.role,
            "block": block,
            "seconds": seconds[presentation.sample],
        }
        for number, session in enumerate(sessions, 1)
        for position, (presentation, block) in enumerate(session, 1)
    ]


def check_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples sorted by name with every column that a plan uses.

    A sample without a pair becomes its own pair; a missing label becomes an empty string. Raises
    :class:`UserError` for missing columns, repeated names and lengths that are not positive.

    >>> check_samples(pd.DataFrame({"sample_id": ["a"], "method": ["m"], "seconds": [2]}))[
    ...     ["pair_id", "style"]].values.tolist()
    [['a', '']]
    """
    for column in ("sample_id", "method", "seconds"):
        if column not in samples:
            raise UserError(f"plan: the samples have no column {column!r}; add it")
    frame = pd.DataFrame({c: samples[c].astype(object) for c in ("sample_id", "method")})
    frame["seconds"] = pd.to_numeric(samples["seconds"], errors="coerce").astype(float)
    for column in ("pair_id", *LABELS):
        values = samples[column] if column in samples else pd.Series(None, samples.index, object)
        default = frame["sample_id"] if column == "pair_id" else ""
        frame[column] = values.astype(object).where(values.notna() & (values != ""), default)
    if frame["sample_id"].isna().any():
        raise UserError("plan: a sample has no sample_id; fill it or delete the row")
    repeated = frame.loc[frame["sample_id"].duplicated(), "sample_id"]
    if len(repeated):
        raise UserError(f"plan: the sample {repeated.iloc[0]!r} has two rows; keep one")
    bad = frame.loc[~(frame["seconds"] > 0) | np.isinf(frame["seconds"]), "sample_id"]
    if len(bad):
        raise UserError(
            f"plan: {len(bad)} samples have no length in seconds, {bad.iloc[0]!r} first; "
            "leave out videos that failed, or give their lengths"
        )
    return frame.sort_values("sample_id", ignore_index=True)


def _count_previous(
    old: pd.DataFrame, frame: pd.DataFrame, names: list[str], size: int, pairs: Sequence[str]
) -> Ints:
    """Return how many videos of each pair each group has already, shape (groups, pairs)."""
    group_by_rater = {name: k // size for k, name in enumerate(names)}
    old_names = sorted(set(old["rater"]))
    if old_names and old_names != names:
        raise UserError(
            f"plan: the groups of a running study keep its {len(old_names)} raters, "
            f"{old_names[0]!r} to {old_names[-1]!r}; give these"
        )
    counts = np.zeros((len(names) // size, len(pairs)), np.int64)
    column_by_pair = {pair: k for k, pair in enumerate(pairs)}
    pair_by_sample = dict(zip(frame["sample_id"], frame["pair_id"], strict=True))
    test = old[old["role"] == "test"]
    for group, sample in {
        (group_by_rater[r], s) for r, s in zip(test["rater"], test["sample_id"], strict=True)
    }:
        if pair_by_sample.get(sample) in column_by_pair:
            counts[group, column_by_pair[pair_by_sample[sample]]] += 1
    return counts


def select_ratable_samples(samples: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of a dataset that have a conformed video, with its length.

    ``samples`` and ``videos`` have the columns of ``tables.SAMPLES`` and ``tables.CONFORMED``;
    failed videos are left out. The result is an input of :func:`make_plan`.

    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "method": "m"})
    >>> videos = pd.DataFrame({"sample_id": ["a", "b"], "status": ["ok", "failed"],
    ...     "duration_sec": [4.0, None]})
    >>> select_ratable_samples(samples, videos)[["sample_id", "seconds"]].values.tolist()
    [['a', 4.0]]
    """
    usable = videos.loc[videos["status"] != FAILED, ["sample_id", "duration_sec"]]
    usable = usable.rename(columns={"duration_sec": "seconds"})
    names = [c for c in ("sample_id", "method", "pair_id", *LABELS) if c in samples]
    return samples[names].merge(usable, on="sample_id", validate="one_to_one")


def _name_raters(raters: int | Sequence[str]) -> list[str]:
    if isinstance(raters, int):
        names = [f"r{number:03d}" for number in range(1, raters + 1)]
    else:
        names = [str(name) for name in raters]
    if not names:
        raise UserError("plan: no rater; give the raters' number or names")
    for name in names:
        if not _RATER.fullmatch(name):
            raise UserError(
                f"plan: {name!r} is not a valid name of a rater; use letters, digits, _ . and -"
            )
        if names.count(name) > 1:
            raise UserError(f"plan: the rater {name!r} is named twice; name each once")
    return sorted(names)  # the order of a plan that was read from a file


def _check_control_clips(frame: pd.DataFrame, *lists: Iterable[str]) -> set[str]:
    """Return the training, gold and trap samples, which must exist and have one role each."""
    sample_ids, control_ids = set(frame["sample_id"]), set()
    for option, names in zip(("training", "gold", "traps"), lists, strict=True):
        for name in names:
            if name not in sample_ids:
                raise UserError(
                    f"plan, {option}: no sample {name!r}; correct the name or add its row"
                )
            if name in control_ids:
                raise UserError(f"plan, {option}: the sample {name!r} is named twice; keep one")
            control_ids.add(name)
    return control_ids


def _check_existing(
    existing: pd.DataFrame | None, control_ids: set[str], per_sample: int
) -> pd.DataFrame:
    """Return the rows of the existing plan, or an empty plan."""
    if existing is None:
        return _set_types(pd.DataFrame(columns=list(COLUMNS)))
    for column in COLUMNS:
        if column not in existing:
            raise UserError(
                f"plan: the existing plan has no column {column!r}; give a complete plan"
            )
    test = existing[existing["role"] == "test"]
    clash = sorted(control_ids & set(test["sample_id"]))
    if clash:
        raise UserError(
            f"plan: {clash[0]!r} is a test video of the running study; it cannot become a "
            "training, gold or trap clip"
        )
    count = test.groupby("sample_id").size()
    other = count[count != per_sample]
    if len(other):
        raise UserError(
            f"plan: the running study shows {other.index[0]!r} to {other.iloc[0]} raters, "
            f"not {per_sample}; keep this number, or plan a new study"
        )
    return _set_types(existing[list(COLUMNS)].reset_index(drop=True))


def _check_design(
    test: pd.DataFrame,
    frame: pd.DataFrame,
    names: list[str],
    design: StudyDesign,
    running: bool,
) -> None:
    groups, per_sample = design.groups, design.per_sample
    if test.empty and not running:
        raise UserError(
            "plan: no sample is left to be rated; give more samples than training and control clips"
        )
    if not 0 <= design.repeats_share <= 0.5:
        raise UserError(f"plan: repeats_share {design.repeats_share} is outside 0 to 0.5")
    if design.warm_up < 0:
        raise UserError(f"plan: warm_up {design.warm_up} is below 0")
    if design.scoring_sec < 0 or design.session_sec <= 0 or design.block_sec <= 0:
        raise UserError("plan: minutes and block_minutes must be above 0, scoring_sec at least 0")
    size = len(names)
    if groups is not None:
        if groups < 1 or size % groups:
            raise UserError(
                f"plan: {size} raters cannot form {groups} equal groups; change one of the numbers"
            )
        size //= groups
        sizes = test.groupby("pair_id").size()
        if len(sizes) and sizes.max() > groups:
            raise UserError(
                f"plan: the pair {sizes.idxmax()!r} has {sizes.max()} videos for {groups} groups, "
                f"but a group sees a pair once; use {sizes.max()} groups"
            )
    if not 1 <= per_sample <= size:
        unit = "a group" if groups else "the study"
        raise UserError(
            f"plan: {per_sample} ratings per sample cannot come from {size} raters of {unit}; "
            f"choose 1 to {size}"
        )
    length = dict(zip(frame["sample_id"], frame["seconds"] + design.scoring_sec, strict=True))
    checks = sum(max(length[s] for s in part) for part in (design.gold, design.traps) if part)
    needed = checks + float(test["seconds"].max() + design.scoring_sec if len(test) else 0)
    clips = [length[s] for s in design.training]
    needed += max(sum(clips), design.warm_up_clips * max(clips, default=0.0))
    if needed > design.session_sec:
        raise UserError(
            f"plan: training, control clips and the longest video take {needed / 60:.1f} minutes, "
            f"a session has {design.minutes:g}; shorten the training or allow longer sessions"
        )


def _set_types(plan: pd.DataFrame) -> pd.DataFrame:
    types = {"session": "int64", "position": "int64", "block": "int64", "seconds": "float64"}
    return plan.astype(types).reset_index(drop=True)
