"""The plan of a rating study: who rates what, in which order and in which session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sfqa.errors import UserError
from sfqa.identity import generator
from sfqa.ratings import plan_balance
from sfqa.ratings.plan_balance import Ints
from sfqa.ratings.plan_sessions import Row, Showing, repeats, sessions
from sfqa.ratings.study_design import StudyDesign
from sfqa.tables import FAILED, PLAN

VERSION = 1
COLUMNS = tuple(PLAN.names)
ROLES = ("training", "test", "repeat", "gold", "trap")
#: Columns of the samples that are spread evenly over sessions besides the methods.
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

    ``samples``: sample_id, method, seconds (length of the video) and, where there are some,
    pair_id, image_category, style, language. ``raters``: their number (they become r001, ...) or
    names. All samples that are not for training and checks are rated by exactly
    ``design.per_sample`` raters; the raters' loads differ by 1 at most. The column ``block`` counts
    the parts of a session between breaks.

    ``existing``: the plan of a running study. Its rows stay as they are, in front; samples that are
    not in it come in further sessions, rated by the given ``raters``, of whom new ones are trained.
    With ``groups`` the raters must be those of the running study.

    The order is random by ``seed`` and the same for the same arguments, whatever the order of the
    samples' rows. See :func:`sfqa.ratings.plan_text.verify_plan` for the guarantees and
    :func:`sfqa.ratings.plan_text.plan_report` for their proof in numbers. Raises
    :class:`UserError` for numbers and names that no plan can meet.

    >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "method": ["m", "n"] * 3,
    ...     "pair_id": list("ppqqrr"), "seconds": 5.0})
    >>> plan = make_plan(samples, 4, StudyDesign(per_sample=2), seed=1)
    >>> plan.groupby("sample_id")["rater"].nunique().tolist()
    [2, 2, 2, 2, 2, 2]
    """
    frame = checked_samples(samples)
    names = _names(raters)
    apart = _special(frame, design.training, design.gold, design.traps)
    old = _checked_existing(existing, apart, design.per_sample)
    done = set(old.loc[old["role"] == "test", "sample_id"])
    test = frame[~frame["sample_id"].isin(apart | done)].reset_index(drop=True)
    _check_numbers(test, frame, names, design, existing is not None)
    codes = {
        name: np.unique(test[name].to_numpy(str), return_inverse=True)[1].astype(np.int64)
        for name in ("pair_id", "method", *LABELS)
    }
    strata = np.zeros(len(test), np.int64)
    for name in LABELS:
        strata = strata * (int(codes[name].max(initial=0)) + 1) + codes[name]
    before = old[old["role"] == "test"].groupby("rater").size()
    load = np.array([before.get(name, 0) for name in names], np.int64)
    chosen = np.zeros((len(test), len(names)), np.bool_)
    draw = generator(seed, "panels", len(old))
    groups, per_sample = design.groups, design.per_sample
    if groups is None:
        chosen = plan_balance.panels(
            codes["pair_id"], codes["method"], strata, len(names), per_sample, draw, load
        )
    else:
        size = len(names) // groups
        shown = _shown(old, frame, names, size, sorted(set(test["pair_id"])))
        part = plan_balance.groups_of(codes["pair_id"], codes["method"], groups, draw, shown)
        for g in range(groups):
            own, people = np.flatnonzero(part == g), slice(g * size, (g + 1) * size)
            pairs = np.unique(codes["pair_id"][own], return_inverse=True)[1].astype(np.int64)
            chosen[own, people] = plan_balance.panels(
                pairs, codes["method"][own], strata[own], size, per_sample, draw, load[people]
            )
    seconds = dict(zip(frame["sample_id"], frame["seconds"], strict=True))
    pairs_of = dict(zip(frame["sample_id"], frame["pair_id"], strict=True))
    videos = _TestVideos(
        test["sample_id"].to_numpy(object), test["pair_id"].to_numpy(object), codes, seconds
    )
    rows: list[Row] = []
    for number, name in enumerate(names):
        own_rows = old[old["rater"] == name]
        last = own_rows.loc[own_rows["role"].isin(["test", "repeat"]), "sample_id"]
        rater = _Rater(
            name,
            int(own_rows["session"].max()) if len(own_rows) else 0,
            [pairs_of.get(sample, "") for sample in reversed(last.tolist())],
        )
        draw_order = generator(seed, "order", name, len(old))
        own = np.flatnonzero(chosen[:, number])
        rows += _plan_sessions(rater, own, videos, design, draw_order)
    new = pd.DataFrame(rows, columns=list(COLUMNS))
    if existing is None:
        return _typed(new)
    return _typed(pd.concat([old, new], ignore_index=True) if len(new) else old)


@dataclass(frozen=True)
class _TestVideos:
    """The videos to be rated, one entry each; ``seconds`` also has those of training and checks.

    ``codes`` numbers the values of ``pair_id``, ``method`` and every label.
    """

    sample_ids: Names
    pair_ids: Names
    codes: dict[str, Ints]
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Rater:
    """A rater with the sessions of the running study; ``seen_pairs``: the last one first."""

    name: str
    sessions_before: int
    seen_pairs: list[str]


def _plan_sessions(
    rater: _Rater, own: Ints, videos: _TestVideos, design: StudyDesign, draw: np.random.Generator
) -> list[Row]:
    """Return the rows of a rater's new sessions; ``own`` are the indices of the rater's videos."""
    if not len(own):
        return []
    codes, seconds, sample_ids = videos.codes, videos.seconds, videos.sample_ids
    pair = np.unique(codes["pair_id"][own], return_inverse=True)[1].astype(np.int64)
    last_seen = None
    if rater.seen_pairs:
        when = {p: k for k, p in reversed(list(enumerate(rater.seen_pairs)))}
        last_seen = np.full(int(pair.max()) + 1, -1, np.int64)
        last_seen[pair] = [when.get(p, -1) for p in videos.pair_ids[own]]
    count = round(design.repeats_share * len(own))
    total = sum(seconds[s] + design.scoring_sec for s in sample_ids[own])
    total *= 1 + design.repeats_share
    cuts = max(1, int(np.ceil(total / design.session_sec)))
    labels = [codes[label][own] for label in LABELS if len(np.unique(codes[label][own])) > 1]
    order = plan_balance.spread(pair, codes["method"][own], labels, cuts, draw, last_seen)
    again: dict[int, list[Showing]] = {}
    for at, place in repeats(pair[order], codes["method"][own][order], count, draw):
        again.setdefault(at, []).append(Showing(sample_ids[own[order[place]]], "repeat"))
    showings = []
    for at, video in enumerate(order):
        showings += [Showing(sample_ids[own[video]], "test"), *again.get(at, [])]
    cut = sessions(showings, seconds, design, draw, trained=rater.sessions_before > 0)
    return [
        {
            "rater": rater.name,
            "session": rater.sessions_before + number,
            "position": position,
            "sample_id": showing.sample,
            "role": showing.role,
            "block": block,
            "seconds": seconds[showing.sample],
        }
        for number, session in enumerate(cut, 1)
        for position, (showing, block) in enumerate(session, 1)
    ]


def checked_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples sorted by name with every column that a plan looks at.

    A sample without a pair is a pair of its own; a label that is missing is the empty one. Raises
    :class:`UserError` for columns that are not there, names that are there twice and lengths that
    are no positive number.

    >>> checked_samples(pd.DataFrame({"sample_id": ["a"], "method": ["m"], "seconds": [2]}))[
    ...     ["pair_id", "style"]].values.tolist()
    [['a', '']]
    """
    for column in ("sample_id", "method", "seconds"):
        if column not in samples:
            raise UserError(f"plan: the samples have no column {column!r}; add it")
    frame = pd.DataFrame({c: samples[c].astype(object) for c in ("sample_id", "method")})
    frame["seconds"] = pd.to_numeric(samples["seconds"], errors="coerce").astype(float)
    for column in ("pair_id", *LABELS):
        given = samples[column] if column in samples else pd.Series(None, samples.index, object)
        fill = frame["sample_id"] if column == "pair_id" else ""
        frame[column] = given.astype(object).where(given.notna() & (given != ""), fill)
    if frame["sample_id"].isna().any():
        raise UserError("plan: a sample has no sample_id; fill it or delete the row")
    twice = frame.loc[frame["sample_id"].duplicated(), "sample_id"]
    if len(twice):
        raise UserError(f"plan: the sample {twice.iloc[0]!r} is there twice; keep one row")
    bad = frame.loc[~(frame["seconds"] > 0) | np.isinf(frame["seconds"]), "sample_id"]
    if len(bad):
        raise UserError(
            f"plan: {len(bad)} samples have no length in seconds, {bad.iloc[0]!r} first; "
            "leave out videos that failed, or give their lengths"
        )
    return frame.sort_values("sample_id", ignore_index=True)


def _shown(
    old: pd.DataFrame, frame: pd.DataFrame, names: list[str], size: int, pairs: Sequence[str]
) -> Ints:
    """How many videos of each pair each group has in the running study (groups, pairs)."""
    at = {name: k // size for k, name in enumerate(names)}
    known = sorted(set(old["rater"]))
    if known and known != names:
        raise UserError(
            f"plan: the groups of a running study keep its {len(known)} raters, {known[0]!r} to "
            f"{known[-1]!r}; give these"
        )
    found = np.zeros((len(names) // size, len(pairs)), np.int64)
    number = {pair: k for k, pair in enumerate(pairs)}
    pair_of = dict(zip(frame["sample_id"], frame["pair_id"], strict=True))
    test = old[old["role"] == "test"]
    shown = {(at[r], s) for r, s in zip(test["rater"], test["sample_id"], strict=True)}
    for group, sample in shown:
        if pair_of.get(sample) in number:
            found[group, number[pair_of[sample]]] += 1
    return found


def study_samples(samples: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """Return a dataset's samples that can be rated, with the lengths of their conformed videos.

    ``samples`` and ``videos`` have the columns of ``tables.SAMPLES`` and ``tables.CONFORMED``;
    failed videos are left out. The result is what :func:`make_plan` takes.

    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "method": "m"})
    >>> videos = pd.DataFrame({"sample_id": ["a", "b"], "status": ["ok", "failed"],
    ...     "duration_sec": [4.0, None]})
    >>> study_samples(samples, videos)[["sample_id", "seconds"]].values.tolist()
    [['a', 4.0]]
    """
    usable = videos.loc[videos["status"] != FAILED, ["sample_id", "duration_sec"]]
    usable = usable.rename(columns={"duration_sec": "seconds"})
    names = [c for c in ("sample_id", "method", "pair_id", *LABELS) if c in samples]
    return samples[names].merge(usable, on="sample_id", validate="one_to_one")


def _names(raters: int | Sequence[str]) -> list[str]:
    if isinstance(raters, int):
        names = [f"r{number:03d}" for number in range(1, raters + 1)]
    else:
        names = [str(name) for name in raters]
    if not names:
        raise UserError("plan: no rater; give their number or names")
    for name in names:
        if not _RATER.fullmatch(name):
            raise UserError(f"plan: the rater {name!r} is no name; use letters, digits, _ . and -")
        if names.count(name) > 1:
            raise UserError(f"plan: the rater {name!r} is there twice; name each once")
    return sorted(names)  # as a plan that was read from a file has them


def _special(frame: pd.DataFrame, *lists: Iterable[str]) -> set[str]:
    """Training, gold and trap samples: known, and each there for one thing only."""
    known, found = set(frame["sample_id"]), set()
    for kind, names in zip(("training", "gold", "traps"), lists, strict=True):
        for name in names:
            if name not in known:
                raise UserError(
                    f"plan, {kind}: no sample {name!r}; correct the name or add its row"
                )
            if name in found:
                raise UserError(f"plan, {kind}: the sample {name!r} is named twice; keep one")
            found.add(name)
    return found


def _checked_existing(
    existing: pd.DataFrame | None, apart: set[str], per_sample: int
) -> pd.DataFrame:
    if existing is None:
        return _typed(pd.DataFrame(columns=list(COLUMNS)))
    for column in COLUMNS:
        if column not in existing:
            raise UserError(f"plan: the existing plan has no column {column!r}; give a whole plan")
    test = existing[existing["role"] == "test"]
    clash = sorted(apart & set(test["sample_id"]))
    if clash:
        raise UserError(
            f"plan: {clash[0]!r} is a test video of the running study; it cannot be for training, "
            "gold or trap now"
        )
    count = test.groupby("sample_id").size()
    other = count[count != per_sample]
    if len(other):
        raise UserError(
            f"plan: the running study shows {other.index[0]!r} to {other.iloc[0]} raters, "
            f"not {per_sample}; keep its number, or plan a new study"
        )
    return _typed(existing[list(COLUMNS)].reset_index(drop=True))


def _check_numbers(
    test: pd.DataFrame,
    frame: pd.DataFrame,
    names: list[str],
    design: StudyDesign,
    running: bool,
) -> None:
    groups, per_sample = design.groups, design.per_sample
    if test.empty and not running:
        raise UserError("plan: no sample is left to be rated; give more than training and checks")
    if not 0 <= design.repeats_share <= 0.5:
        raise UserError(f"plan: repeats_share {design.repeats_share} is outside 0 to 0.5")
    if design.warm_up < 0:
        raise UserError(f"plan: warm_up {design.warm_up} is below 0")
    if design.scoring_sec < 0 or design.session_sec <= 0 or design.block_sec <= 0:
        raise UserError("plan: minutes and block_minutes are above 0, scoring_sec 0 or more")
    people = len(names)
    if groups is not None:
        if groups < 1 or people % groups:
            raise UserError(
                f"plan: {people} raters do not fall into {groups} equal groups; change one of "
                "the two"
            )
        people //= groups
        sizes = test.groupby("pair_id").size()
        if len(sizes) and sizes.max() > groups:
            raise UserError(
                f"plan: the pair {sizes.idxmax()!r} has {sizes.max()} videos for {groups} groups, "
                f"and a group sees a pair once; have {sizes.max()} groups"
            )
    if not 1 <= per_sample <= people:
        among = "a group" if groups else "the study"
        raise UserError(
            f"plan: {per_sample} ratings per sample cannot come from {people} raters of {among}; "
            f"choose 1 to {people}"
        )
    length = dict(zip(frame["sample_id"], frame["seconds"] + design.scoring_sec, strict=True))
    checks = sum(max(length[s] for s in part) for part in (design.gold, design.traps) if part)
    need = checks + float(test["seconds"].max() + design.scoring_sec if len(test) else 0)
    clips = [length[s] for s in design.training]
    need += max(sum(clips), design.warm_up_clips * max(clips, default=0.0))
    if need > design.session_sec:
        raise UserError(
            f"plan: training, checks and the longest video take {need / 60:.1f} minutes together, "
            f"a session has {design.minutes:g}; shorten the training or allow longer sessions"
        )


def _typed(plan: pd.DataFrame) -> pd.DataFrame:
    kinds = {"session": "int64", "position": "int64", "block": "int64", "seconds": "float64"}
    return plan.astype(kinds).reset_index(drop=True)
