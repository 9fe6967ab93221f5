"""Check of a rating plan: its guarantees, verified from its rows, and a report on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError
from sfqa.ratings.plan import COLUMNS, LABELS, ROLES, check_samples
from sfqa.ratings.study_design import StudyDesign

VERSION = 1
#: Minimum number of raters in Recommendation ITU-R BT.500.
BT500_RATERS = 15
#: Default SOS parameter: 0.20 in the public Netflix ratings (79 videos x 26 raters).
SOS_A = 0.2


@dataclass(frozen=True)
class Evenness:
    """How evenly a label is spread over sessions: absolute deviations from its share, in videos."""

    levels: int
    largest: float
    mean: float
    random_mean: float  # mean deviation of a random order


@dataclass(frozen=True)
class PlanFacts:
    """Result of :func:`verify_plan`; pairs of numbers are minimum and maximum."""

    raters: int
    videos: int
    test: int
    ratings: tuple[int, int]  # raters per video
    load: tuple[int, int]  # test videos per rater
    sessions: tuple[int, int]  # sessions per rater
    minutes: tuple[float, float]  # of a session
    hours: tuple[float, float]  # of a rater
    distance: int  # minimum distance of two test videos of a pair in a rater's order, 0: none
    distance_bound: int  # upper bound of `distance` for any order of the videos, 0: none
    repeat_distance: int  # minimum distance of a repeat from any video of its pair, 0: none
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
    """Verify the guarantees of a plan from its rows; ``problems`` lists those that are broken.

    The arguments are those of :func:`sfqa.ratings.plan.make_plan`, but no code is shared with it.
    Checked are: each test video has exactly the number of raters of the design; the raters' loads
    differ by at most 1 (within a group; with an ``existing`` plan those of the new rows, and its
    rows must be unchanged); no rater gets a test video twice; positions count from 1; lengths are
    those of the samples; no session exceeds ``minutes``; a repeat comes after its video; training,
    gold and trap clips are not test videos; all samples are rated; groups share no video and see no
    pair twice, unless it has more videos than there are groups.

    >>> from sfqa.ratings.plan import make_plan
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "method": ["m", "n"] * 2,
    ...     "pair_id": list("ppqq"), "seconds": 5.0})
    >>> design = StudyDesign(per_sample=2)
    >>> facts = verify_plan(make_plan(samples, 2, design, seed=1), samples, design)
    >>> facts.ratings, facts.load, facts.distance, facts.problems
    ((2, 2), (4, 4), 2, ())
    """
    frame = check_samples(samples).set_index("sample_id")
    rows = plan[list(COLUMNS)].sort_values(["rater", "session", "position"], ignore_index=True)
    test = rows[rows["role"] == "test"]
    if test.empty:
        raise UserError("plan: it has no test video; add samples to rate")
    count = test.groupby("sample_id")["rater"].nunique()
    load = test.groupby("rater").size()
    problems = _check_rows(rows, test, frame, count, design.per_sample)
    seconds = rows["seconds"] + design.scoring_sec
    minutes = seconds.groupby([rows["rater"], rows["session"]]).sum() / 60
    if minutes.max() > design.minutes + 1e-6:
        problems.append(
            f"a session takes {minutes.max():.2f} minutes, more than {design.minutes:g}"
        )
    new = rows if existing is None else rows[~rows["sample_id"].isin(existing["sample_id"])]
    lengths = new["sample_id"].map(frame["seconds"]).astype(float)
    if ((lengths - new["seconds"]).abs() > 1e-6).any():
        problems.append("lengths of videos are not those of the samples")
    names = sorted(set(plan["rater"]))
    problems += _check_loads(rows, load, frame, names, design.groups, existing)
    position = rows.groupby("rater").cumcount()
    pair = rows["sample_id"].map(frame["pair_id"]).fillna(rows["sample_id"])
    distance, bound = _measure_distance(rows, position, pair)
    rated = pd.crosstab(test["sample_id"], test["rater"]).to_numpy()
    shared = np.zeros(1, int)
    if len(load) > 1:
        shared = (rated.T @ rated)[~np.eye(len(load), dtype=bool)]
    hours = minutes.groupby("rater").sum() / 60
    sessions = minutes.groupby("rater").size()
    return PlanFacts(
        raters=len(load),
        videos=len(count),
        test=len(test),
        ratings=(int(count.min()), int(count.max())),
        load=(int(load.min()), int(load.max())),
        sessions=(int(sessions.min()), int(sessions.max())),
        minutes=(float(minutes.min()), float(minutes.max())),
        hours=(float(hours.min()), float(hours.max())),
        distance=distance,
        distance_bound=bound,
        repeat_distance=_measure_repeat_distance(rows, position, pair),
        shared=(int(shared.min()), int(shared.max())),
        roles={role: int((rows["role"] == role).sum()) for role in ROLES},
        evenness=_measure_evenness(test, frame),
        problems=tuple(problems),
    )


def _check_rows(
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
    control_ids = set(rows.loc[rows["role"].isin(["training", "gold", "trap"]), "sample_id"])
    mixed = sorted(control_ids & set(test["sample_id"]))
    if mixed:
        problems.append(f"{mixed[0]!r} is a test video and a training, gold or trap clip")
    unrated = sorted(set(frame.index) - set(test["sample_id"]) - control_ids)
    if unrated:
        problems.append(f"{len(unrated)} samples are rated by nobody, {unrated[0]!r} first")
    if not set(rows["role"]) <= set(ROLES):
        problems.append("a role is unknown")
    positions = rows.groupby(["rater", "session"]).cumcount() + 1
    if not (positions == rows["position"]).all():
        problems.append("positions do not count from 1 in every session")
    numbers = rows.groupby("rater")["session"].unique()
    if any(sorted(n) != list(range(1, len(n) + 1)) for n in numbers):
        problems.append("sessions do not count from 1")
    first = test.reset_index().set_index(["rater", "sample_id"])["index"]
    repeats = rows[rows["role"] == "repeat"]
    keys = pd.MultiIndex.from_frame(repeats[["rater", "sample_id"]])
    source = first[~first.index.duplicated()].reindex(keys)
    if not (source.to_numpy(float) < repeats.index.to_numpy(float)).all():
        problems.append("a repeat comes before its video, or without it")
    return problems


def _check_loads(
    rows: pd.DataFrame,
    load: pd.Series[int],
    frame: pd.DataFrame,
    names: Sequence[str],
    groups: int | None,
    existing: pd.DataFrame | None,
) -> list[str]:
    problems = []
    test = rows[rows["role"] == "test"]
    if existing is not None:
        key = ["rater", "session", "position"]
        old = existing[list(COLUMNS)].sort_values(key, ignore_index=True)
        same = rows.merge(old[key], on=key).sort_values(key, ignore_index=True)[list(COLUMNS)]
        if not same.equals(old.astype(same.dtypes.to_dict())):
            problems.append("rows of the existing plan were changed")
        new = test[~test["sample_id"].isin(set(old.loc[old["role"] == "test", "sample_id"]))]
        load = new.groupby("rater").size()
    group_by_rater = dict.fromkeys(names, 0)
    if groups is not None:
        size = max(1, len(names) // groups)
        group_by_rater = {name: k // size for k, name in enumerate(names)}
        group = test["rater"].map(group_by_rater)
        if (group.groupby(test["sample_id"]).nunique() > 1).any():
            problems.append("two groups share a video")
        test = test.assign(group=group, pair=test["sample_id"].map(frame["pair_id"]))
        times = test.groupby(["group", "pair"])["sample_id"].nunique()
        # New methods of a running study may give a pair more videos than there are groups.
        needed = -(-test.groupby("pair")["sample_id"].nunique() // groups)
        allowed = needed.reindex(times.index.get_level_values("pair")).to_numpy()
        if (times.to_numpy() > allowed).any():
            problems.append("a group sees a pair more often than it needs to")
    load_by_group = load.groupby(load.index.map(group_by_rater))
    if len(load) and (load_by_group.max() - load_by_group.min() > 1).any():
        problems.append(f"the raters' loads differ: {load.min()} to {load.max()} videos")
    return problems


def _measure_distance(
    rows: pd.DataFrame, position: pd.Series[int], pair: pd.Series[str]
) -> tuple[int, int]:
    """Return the minimum distance of a pair's test videos, and an upper bound for any order."""
    test = rows["role"] == "test"
    steps = position[test].groupby([rows["rater"][test], pair[test]]).diff().dropna()
    count = pair[test].groupby([rows["rater"][test], pair[test]]).size()
    bounds = []
    for rater, pair_sizes in count.groupby("rater"):
        largest = int(pair_sizes.max())
        if largest > 1:
            total = int((rows["rater"] == rater).sum())
            bounds.append((total - int((pair_sizes == largest).sum())) // (largest - 1))
    return (int(steps.min()) if len(steps) else 0), min(bounds, default=0)


def _measure_repeat_distance(
    rows: pd.DataFrame, position: pd.Series[int], pair: pd.Series[str]
) -> int:
    """Return the minimum distance of a repeat from any video of its pair; 0 if there is none."""
    rated = rows["role"].isin(["test", "repeat"])
    is_repeat = rows["role"][rated] == "repeat"
    positions = position[rated].groupby([rows["rater"][rated], pair[rated]])
    before, after = positions.diff(), positions.diff(-1).abs()
    distances = pd.concat([before[is_repeat], after[is_repeat]]).dropna()
    return int(distances.min()) if len(distances) else 0


def _measure_evenness(test: pd.DataFrame, frame: pd.DataFrame) -> dict[str, Evenness]:
    """Return for every label how far its counts per session deviate from the rater's share."""
    evenness = {}
    for label in ("method", *LABELS):
        level = test["sample_id"].map(frame[label]).fillna("")
        if level.nunique() < 2:
            continue
        count = pd.crosstab([test["rater"], test["session"]], level).to_numpy(float)
        rater = pd.crosstab([test["rater"], test["session"]], level).index.get_level_values(0)
        total = pd.DataFrame(count).groupby(rater.to_numpy()).transform("sum").to_numpy(float)
        n, load = count.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
        share = total / load
        # In a random order the counts are hypergeometric, with a mean deviation of about .8 sd.
        sd = np.sqrt(n * share * (1 - share) * (load - n) / np.maximum(load - 1, 1))
        deviation = np.abs(count - n * share)
        evenness[label] = Evenness(
            int(level.nunique()),
            float(deviation.max()),
            float(deviation.mean()),
            float((np.sqrt(2 / np.pi) * sd).mean()),
        )
    return evenness


def compute_half_width(ratings: int, sd: float) -> float:
    """Return half the width of the 95 % t-interval of a mean of ratings.

    >>> round(compute_half_width(6, 1.0), 3), round(compute_half_width(15, 1.0), 3)
    (1.049, 0.554)
    """
    if ratings < 2:
        return float("inf")
    return float(stats.t.ppf(0.975, ratings - 1)) * sd / float(np.sqrt(ratings))


def assume_sd(sos_a: float = SOS_A, scale: Sequence[float] = (1, 5)) -> float:
    """Return the standard deviation of ratings in the middle of a scale by the SOS hypothesis.

    sd^2 = a (mos - low) (high - mos), Hossfeld, Schatz and Egger (2011).

    >>> assume_sd(0.25, (1, 5))
    1.0
    """
    return float(np.sqrt(sos_a)) * abs(scale[1] - scale[0]) / 2


def describe_plan(
    plan: pd.DataFrame,
    samples: pd.DataFrame,
    design: StudyDesign,
    existing: pd.DataFrame | None = None,
    sd: float | None = None,
    sos_a: float = SOS_A,
    scale: Sequence[float] = (1, 5),
) -> str:
    """Return a report on a plan: its guarantees, the raters' hours, the expected interval.

    The arguments are those of :func:`verify_plan`; ``sd`` is the standard deviation of a sample's
    ratings on ``scale``, by default derived from ``sos_a`` (:func:`assume_sd`).

    >>> from sfqa.ratings.plan import make_plan
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "method": "m", "seconds": 5.0})
    >>> design = StudyDesign(per_sample=2)
    >>> plan = make_plan(samples, 2, design, seed=1)
    >>> print(describe_plan(plan, samples, design).splitlines()[0])
    plan of 2 raters: 4 videos x 2 ratings = 8 presentations, 0.0 hours each
    """
    facts = verify_plan(plan, samples, design, existing)
    assumed = assume_sd(sos_a, scale) if sd is None else sd
    source = f"SOS a = {sos_a:g}, middle of {scale[0]:g} to {scale[1]:g}" if sd is None else "given"
    lines = [
        f"plan of {facts.raters} raters: {facts.videos} videos x "
        f"{_format_range(*facts.ratings)} ratings = {facts.test} presentations, "
        f"{_format_range(*facts.hours, digits=1)} hours each",
        f"load: {_format_range(*facts.load)} videos per rater; two raters share "
        f"{_format_range(*facts.shared)}",
        f"sessions: {_format_range(*facts.sessions)} per rater, "
        f"{_format_range(*facts.minutes, digits=1)} minutes each (at most {design.minutes:g})",
        "other presentations: " + ", ".join(f"{facts.roles[r]} {r}" for r in ROLES if r != "test"),
    ]
    if design.groups is not None:
        lines.append(f"groups: {design.groups} without shared videos, each sees a pair once")
    if facts.distance:
        lines.append(
            f"same pair: at least {facts.distance} presentations apart (at most "
            f"{facts.distance_bound} in any order)"
        )
    else:
        lines.append("same pair: no rater sees two videos of a pair")
    if facts.repeat_distance:
        lines.append(
            f"repeats: at least {facts.repeat_distance} presentations from any video of their pair"
        )
    for label, evenness in facts.evenness.items():
        lines.append(
            f"{label} ({evenness.levels}): a session deviates from the share by "
            f"{evenness.mean:.2f} videos on average, {evenness.largest:.1f} at most "
            f"(random order: {evenness.random_mean:.2f} on average)"
        )
    lines += _describe_interval(facts.ratings[0], assumed, source)
    lines += [f"BROKEN: {problem}" for problem in facts.problems]
    return "\n".join(lines)


def _describe_interval(ratings: int, sd: float, source: str) -> list[str]:
    half, bt500_half = compute_half_width(ratings, sd), compute_half_width(BT500_RATERS, sd)
    interval = f"+-{half:.2f}" if np.isfinite(half) else "unbounded"
    lines = [
        f"95 % interval of a MOS: {interval} with {ratings} ratings, +-{bt500_half:.2f} with "
        f"{BT500_RATERS} (standard deviation {sd:.2f}: {source})"
    ]
    if ratings < BT500_RATERS:
        lines.append(
            f"{ratings} ratings per video are below the {BT500_RATERS} raters that ITU-R BT.500 "
            "asks for. It calls such a study informal: report this, and compare methods by their "
            "means over many videos instead of single videos"
        )
    return lines


def _format_range(low: float, high: float, digits: int = 0) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first} to {last}"
