"""What a rating plan guarantees, counted again from its rows, and told in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError
from sfqa.ratings.plan import COLUMNS, LABELS, ROLES, checked_samples
from sfqa.ratings.study_design import StudyDesign

VERSION = 1
#: Raters that Recommendation ITU-R BT.500 asks for.
BT500_RATERS = 15
#: Spread of ratings by the SOS hypothesis: 0.20 in the public Netflix data (79 videos x 26 raters).
SOS_A = 0.2


@dataclass(frozen=True)
class Evenness:
    """How evenly a label is spread: sizes of the deviation from its share, in videos."""

    levels: int
    largest: float
    mean: float
    by_chance: float  # the mean of a random order


@dataclass(frozen=True)
class PlanFacts:
    """What :func:`verify_plan` counted; pairs of numbers are the least and the most."""

    raters: int
    videos: int
    test: int
    ratings: tuple[int, int]  # raters per video
    load: tuple[int, int]  # test videos per rater
    sessions: tuple[int, int]  # sessions per rater
    minutes: tuple[float, float]  # of a session
    hours: tuple[float, float]  # of a rater
    distance: int  # least distance of two test videos of a pair in a rater's order, 0: none
    distance_best: int  # what no order of the same videos can exceed, 0: no limit
    repeat_distance: int  # least distance of a repeat from any video of its pair, 0: none
    shared: tuple[int, int]  # videos that two raters share
    roles: dict[str, int]
    evenness: dict[str, Evenness]
    problems: tuple[str, ...]


def verify_plan(
    plan: pd.DataFrame,
    samples: pd.DataFrame,
    design: StudyDesign,
    existing: pd.DataFrame | None = None,
) -> PlanFacts:
    """Count what a plan guarantees, from its rows alone; ``problems`` names what is broken.

    The arguments are those that the plan was made with (:func:`sfqa.ratings.plan.make_plan`), of
    which this function uses nothing. Checked: each test video has exactly as many raters as the
    design says;
    the raters' loads differ by 1 at most (inside a group; those of the new rows where there is an
    ``existing`` plan, whose rows must be there unchanged); nobody gets a test video twice;
    positions count from 1; lengths are those of the samples; no session takes over ``minutes``; a
    repeat comes after its video; training, gold and trap clips are no test videos; all samples are
    rated; the groups share no video and see no pair twice, unless it has more videos than there are
    groups.

    >>> from sfqa.ratings.plan import make_plan
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "method": ["m", "n"] * 2,
    ...     "pair_id": list("ppqq"), "seconds": 5.0})
    >>> design = StudyDesign(per_sample=2)
    >>> facts = verify_plan(make_plan(samples, 2, design, seed=1), samples, design)
    >>> facts.ratings, facts.load, facts.distance, facts.problems
    ((2, 2), (4, 4), 2, ())
    """
    frame = checked_samples(samples).set_index("sample_id")
    rows = plan[list(COLUMNS)].sort_values(["rater", "session", "position"], ignore_index=True)
    test = rows[rows["role"] == "test"]
    if test.empty:
        raise UserError("plan: it has no test video; make it with samples to be rated")
    count = test.groupby("sample_id")["rater"].nunique()
    load = test.groupby("rater").size()
    problems = _row_problems(rows, test, frame, count, design.per_sample)
    cost = (rows["seconds"] + design.scoring_sec).groupby(
        [rows["rater"], rows["session"]]
    ).sum() / 60
    if cost.max() > design.minutes + 1e-6:
        problems.append(f"a session takes {cost.max():.2f} minutes, more than {design.minutes:g}")
    fresh = rows if existing is None else rows[~rows["sample_id"].isin(existing["sample_id"])]
    real = fresh["sample_id"].map(frame["seconds"]).astype(float)
    if ((real - fresh["seconds"]).abs() > 1e-6).any():
        problems.append("lengths of videos are not those of the samples")
    order = sorted(set(plan["rater"]))
    problems += _load_problems(rows, load, frame, order, design.groups, existing)
    place = rows.groupby("rater").cumcount()
    pair = rows["sample_id"].map(frame["pair_id"]).fillna(rows["sample_id"])
    distance, best = _distance(rows, place, pair)
    seen = pd.crosstab(test["sample_id"], test["rater"]).to_numpy()
    both = (seen.T @ seen)[~np.eye(len(load), dtype=bool)] if len(load) > 1 else np.zeros(1, int)
    hours = cost.groupby("rater").sum() / 60
    number = cost.groupby("rater").size()
    return PlanFacts(
        raters=len(load),
        videos=len(count),
        test=len(test),
        ratings=(int(count.min()), int(count.max())),
        load=(int(load.min()), int(load.max())),
        sessions=(int(number.min()), int(number.max())),
        minutes=(float(cost.min()), float(cost.max())),
        hours=(float(hours.min()), float(hours.max())),
        distance=distance,
        distance_best=best,
        repeat_distance=_repeat_distance(rows, place, pair),
        shared=(int(both.min()), int(both.max())),
        roles={role: int((rows["role"] == role).sum()) for role in ROLES},
        evenness=_evenness(test, frame),
        problems=tuple(problems),
    )


def _row_problems(
    rows: pd.DataFrame,
    test: pd.DataFrame,
    frame: pd.DataFrame,
    count: pd.Series[int],
    per_sample: int,
) -> list[str]:
    problems = []
    wrong = count[count != per_sample]
    if len(wrong):
        problems.append(
            f"{len(wrong)} videos do not have {per_sample} raters, {wrong.index[0]!r} first"
        )
    if test.duplicated(["rater", "sample_id"]).any():
        problems.append("a rater gets a test video twice")
    special = set(rows.loc[rows["role"].isin(["training", "gold", "trap"]), "sample_id"])
    mixed = sorted(special & set(test["sample_id"]))
    if mixed:
        problems.append(f"{mixed[0]!r} is a test video and a training, gold or trap clip")
    left = sorted(set(frame.index) - set(test["sample_id"]) - special)
    if left:
        problems.append(f"{len(left)} samples are rated by nobody, {left[0]!r} first")
    if not set(rows["role"]) <= set(ROLES):
        problems.append("a role is unknown")
    positions = rows.groupby(["rater", "session"]).cumcount() + 1
    if not (positions == rows["position"]).all():
        problems.append("positions do not count from 1 in every session")
    numbers = rows.groupby("rater")["session"].unique()
    if any(sorted(own) != list(range(1, len(own) + 1)) for own in numbers):
        problems.append("sessions do not count from 1")
    first = test.reset_index().set_index(["rater", "sample_id"])["index"]
    again = rows[rows["role"] == "repeat"]
    keys = pd.MultiIndex.from_frame(again[["rater", "sample_id"]])
    origin = first[~first.index.duplicated()].reindex(keys)
    if not (origin.to_numpy(float) < again.index.to_numpy(float)).all():
        problems.append("a repeat comes before its video, or without it")
    return problems


def _load_problems(
    rows: pd.DataFrame,
    load: pd.Series[int],
    frame: pd.DataFrame,
    order: Sequence[str],
    groups: int | None,
    existing: pd.DataFrame | None,
) -> list[str]:
    problems = []
    test = rows[rows["role"] == "test"]
    if existing is not None:
        key = ["rater", "session", "position"]
        old = existing[list(COLUMNS)].sort_values(key, ignore_index=True)
        kept = rows.merge(old[key], on=key).sort_values(key, ignore_index=True)
        if not kept[list(COLUMNS)].equals(old.astype(kept[list(COLUMNS)].dtypes.to_dict())):
            problems.append("rows of the existing plan were changed")
        new = test[~test["sample_id"].isin(set(old.loc[old["role"] == "test", "sample_id"]))]
        load = new.groupby("rater").size()
    names = dict.fromkeys(order, 0)
    if groups is not None:
        size = max(1, len(order) // groups)
        names = {name: k // size for k, name in enumerate(order)}
        group = test["rater"].map(names)
        if (group.groupby(test["sample_id"]).nunique() > 1).any():
            problems.append("two groups share a video")
        shown = test.assign(group=group, pair=test["sample_id"].map(frame["pair_id"]))
        times = shown.groupby(["group", "pair"])["sample_id"].nunique()
        # New methods of a running study may give a pair more videos than there are groups.
        needed = -(-shown.groupby("pair")["sample_id"].nunique() // groups)
        allowed = needed.reindex(times.index.get_level_values("pair")).to_numpy()
        if (times.to_numpy() > allowed).any():
            problems.append("a group sees a pair more often than it needs to")
    inside = load.groupby(load.index.map(names))
    if len(load) and (inside.max() - inside.min() > 1).any():
        problems.append(f"the raters' loads differ: {load.min()} to {load.max()} videos")
    return problems


def _distance(rows: pd.DataFrame, place: pd.Series[int], pair: pd.Series[str]) -> tuple[int, int]:
    """Least distance of a pair's test videos, and the most that any order allows."""
    test = rows["role"] == "test"
    steps = place[test].groupby([rows["rater"][test], pair[test]]).diff().dropna()
    count = pair[test].groupby([rows["rater"][test], pair[test]]).size()
    bounds = []
    for rater, own in count.groupby("rater"):
        most = int(own.max())
        if most > 1:
            shown = int((rows["rater"] == rater).sum())
            bounds.append((shown - int((own == most).sum())) // (most - 1))
    return (int(steps.min()) if len(steps) else 0), min(bounds, default=0)


def _repeat_distance(rows: pd.DataFrame, place: pd.Series[int], pair: pd.Series[str]) -> int:
    own = rows["role"].isin(["test", "repeat"])
    by = [rows["rater"][own], pair[own]]
    again = rows["role"][own] == "repeat"
    back, on = place[own].groupby(by).diff(), place[own].groupby(by).diff(-1).abs()
    near = pd.concat([back[again], on[again]]).dropna()
    return int(near.min()) if len(near) else 0


def _evenness(test: pd.DataFrame, frame: pd.DataFrame) -> dict[str, Evenness]:
    """Of every label: how far the counts in a session are from the rater's own share of it."""
    found = {}
    for label in ("method", *LABELS):
        level = test["sample_id"].map(frame[label]).fillna("")
        if level.nunique() < 2:
            continue
        count = pd.crosstab([test["rater"], test["session"]], level).to_numpy(float)
        rater = pd.crosstab([test["rater"], test["session"]], level).index.get_level_values(0)
        total = pd.DataFrame(count).groupby(rater.to_numpy()).transform("sum").to_numpy(float)
        n, load = count.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
        share = total / load
        # A random order draws without putting back: hypergeometric, mean deviation about .8 sd.
        sd = np.sqrt(n * share * (1 - share) * (load - n) / np.maximum(load - 1, 1))
        off = np.abs(count - n * share)
        found[label] = Evenness(
            int(level.nunique()),
            float(off.max()),
            float(off.mean()),
            float((np.sqrt(2 / np.pi) * sd).mean()),
        )
    return found


def half_width(ratings: int, sd: float) -> float:
    """Return half the 95 % t-interval of a mean of so many ratings with the standard deviation.

    >>> round(half_width(6, 1.0), 3), round(half_width(15, 1.0), 3)
    (1.049, 0.554)
    """
    if ratings < 2:
        return float("inf")
    return float(stats.t.ppf(0.975, ratings - 1)) * sd / float(np.sqrt(ratings))


def assumed_sd(sos_a: float = SOS_A, scale: Sequence[float] = (1, 5)) -> float:
    """Return the standard deviation in the middle of a scale by the SOS hypothesis.

    sd^2 = a (mos - low) (high - mos), Hossfeld, Schatz and Egger (2011).

    >>> assumed_sd(0.25, (1, 5))
    1.0
    """
    return float(np.sqrt(sos_a)) * abs(scale[1] - scale[0]) / 2


def plan_report(
    plan: pd.DataFrame,
    samples: pd.DataFrame,
    design: StudyDesign,
    existing: pd.DataFrame | None = None,
    sd: float | None = None,
    sos_a: float = SOS_A,
    scale: Sequence[float] = (1, 5),
) -> str:
    """Return the proof of a plan in numbers, the raters' hours and the interval to expect.

    The arguments are those of :func:`verify_plan`; ``sd`` is the standard deviation of a sample's
    ratings on ``scale``, which otherwise is assumed from ``sos_a`` (:func:`assumed_sd`).

    >>> from sfqa.ratings.plan import make_plan
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "method": "m", "seconds": 5.0})
    >>> design = StudyDesign(per_sample=2)
    >>> plan = make_plan(samples, 2, design, seed=1)
    >>> print(plan_report(plan, samples, design).splitlines()[0])
    plan of 2 raters: 4 videos x 2 ratings = 8 presentations, 0.0 hours each
    """
    found = verify_plan(plan, samples, design, existing)
    spread = assumed_sd(sos_a, scale) if sd is None else sd
    source = f"SOS a = {sos_a:g}, middle of {scale[0]:g} to {scale[1]:g}" if sd is None else "given"
    lines = [
        f"plan of {found.raters} raters: {found.videos} videos x {_range(*found.ratings)} ratings "
        f"= {found.test} presentations, {_range(*found.hours, digits=1)} hours each",
        f"load: {_range(*found.load)} videos per rater; two raters share {_range(*found.shared)}",
        f"sessions: {_range(*found.sessions)} per rater, "
        f"{_range(*found.minutes, digits=1)} minutes each (at most {design.minutes:g})",
        "besides: " + ", ".join(f"{found.roles[r]} {r}" for r in ROLES if r != "test"),
    ]
    if design.groups is not None:
        lines.append(f"groups: {design.groups}, no video in two of them, a pair once in each")
    if found.distance:
        lines.append(
            f"same pair: {found.distance} places apart or more (no order can do better than "
            f"{found.distance_best})"
        )
    else:
        lines.append("same pair: nobody sees two videos of one")
    if found.repeat_distance:
        lines.append(
            f"repeats: {found.repeat_distance} places from any video of their pair or more"
        )
    for label, one in found.evenness.items():
        lines.append(
            f"{label} ({one.levels}): a session is {one.mean:.2f} videos off its share on average, "
            f"{one.largest:.1f} at most (a random order: {one.by_chance:.2f} on average)"
        )
    lines += _interval(found.ratings[0], spread, source)
    lines += [f"BROKEN: {problem}" for problem in found.problems]
    return "\n".join(lines)


def _interval(ratings: int, sd: float, source: str) -> list[str]:
    wide, good = half_width(ratings, sd), half_width(BT500_RATERS, sd)
    told = f"+-{wide:.2f}" if np.isfinite(wide) else "without bound"
    lines = [
        f"95 % interval of a MOS: {told} with {ratings} ratings, +-{good:.2f} with {BT500_RATERS} "
        f"(standard deviation {sd:.2f}: {source})"
    ]
    if ratings < BT500_RATERS:
        lines.append(
            f"{ratings} ratings per video are below the {BT500_RATERS} raters that ITU-R BT.500 "
            "asks for, which calls such a study informal: say so, and compare methods by their "
            "means over many videos, not single videos"
        )
    return lines


def _range(low: float, high: float, digits: int = 0) -> str:
    least, most = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return least if least == most else f"{least} to {most}"
