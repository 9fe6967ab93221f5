"""The protocols of a configuration that names none: those that the samples allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sfqa.errors import UserError, format_count
from sfqa.splits.group_counts import MIN_LEFT_OUT_VALUES, GroupCounts
from sfqa.splits.group_names import CONTENTS, may_be_empty

#: Default number of folds.
_FOLDS = 5
#: The protocols of a large dataset of images, clips and methods.
DEFAULT_PROTOCOLS: tuple[Mapping[str, Any], ...] = (
    {"name": "disjoint", "kind": "group_kfold", "groups": ["image"], "k": _FOLDS},
    {"name": "random", "kind": "random_kfold", "k": _FOLDS},
    {"name": "leave_one_method_out", "kind": "leave_one_method_out"},
)
#: A trial with fewer test samples has no correlation.
_MIN_TEST_SAMPLES = 4
#: Train needs as many groups, one of them for validation rows.
_MIN_TRAIN_GROUPS = 2

#: Returns why a protocol cannot be used, '' if it can.
FindObstacle = Callable[[Mapping[str, Any]], str]


def choose_protocols(
    counts: GroupCounts, find_obstacle: FindObstacle
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the default protocols of a dataset, and why others are left out, by name.

    - ``disjoint``: 5 folds of the images; of the clips, prompts or shared videos if the samples
      have no images. Fewer folds if there are too few of them, or fewer than 4 samples in a fold.
    - ``random``: 5 folds of the samples, with the same exceptions; two or three samples have no
      validation rows.
    - ``leave_one_method_out``, of three methods or more.

    >>> counts = GroupCounts(8, {"method": 1, "image": 0, "clip": 0, "prompt": 0, "video": 0})
    >>> protocols, left_out = choose_protocols(counts, lambda protocol: "")
    >>> protocols
    [{'name': 'random', 'kind': 'random_kfold', 'k': 2}]
    >>> left_out["leave_one_method_out"]
    '1 method; it needs 3'
    """
    protocols: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}

    def add_first(name: str, candidates: list[dict[str, Any]], reason: str) -> None:
        for candidate in candidates:
            obstacle = find_obstacle(candidate)
            if not obstacle:
                protocols.append(candidate)
                return
            reason = reason or obstacle
        left_out[name] = reason

    group, reason = _choose_group(counts)
    disjoint = [
        {"name": "disjoint", "kind": "group_kfold", "groups": [group], "k": k}
        for k in _list_folds(counts.values.get(group, 0), counts.samples)
    ]
    add_first("disjoint", disjoint, reason)
    random = [
        {"name": "random", "kind": "random_kfold", "k": k}
        for k in _list_folds(counts.samples, counts.samples)
        if counts.samples >= _MIN_TEST_SAMPLES
    ]
    if 2 <= counts.samples < _MIN_TEST_SAMPLES:  # no correlation, but the run can be tried
        random = [{"name": "random", "kind": "random_kfold", "k": 2, "validation": 0}]
    add_first(
        "random", random, "" if random else f"{format_count(counts.samples, 'sample')}; it needs 2"
    )
    name, methods = "leave_one_method_out", counts.values.get("method", 0)
    if methods < MIN_LEFT_OUT_VALUES:
        left_out[name] = f"{format_count(methods, 'method')}; it needs {MIN_LEFT_OUT_VALUES}"
    else:
        add_first(name, [{"name": name, "kind": name}], "")
    return protocols, left_out


def _choose_group(counts: GroupCounts) -> tuple[str, str]:
    """Return the group of ``disjoint``, and why it cannot be used, '' if nothing is known of that.

    It is the first of image, clip, prompt and shared video with three values or more.
    """
    reason = "no sample has an image, a clip or a prompt"
    for group in CONTENTS:
        count, empty = counts.values.get(group, 0), counts.empty.get(group, 0)
        if not count:
            continue
        if empty and not may_be_empty(group):
            reason = f"{empty} of {counts.samples} samples have no {group}"
        elif count >= MIN_LEFT_OUT_VALUES:
            return group, ""
        else:
            reason = f"{format_count(count, group)}; it needs {MIN_LEFT_OUT_VALUES}"
    return "", reason


def _list_folds(groups: int, samples: int) -> list[int]:
    """Return possible numbers of folds, those with enough samples in each fold first."""
    possible = [
        k
        for k in range(min(_FOLDS, groups), 1, -1)
        if groups - -(-groups // k) >= _MIN_TRAIN_GROUPS
    ]
    large = [k for k in possible if samples >= k * _MIN_TEST_SAMPLES]
    return [*large, *sorted(set(possible) - set(large))]


def describe_choice(protocols: list[dict[str, Any]], left_out: Mapping[str, str]) -> str:
    """Return a sentence on the default protocols that are left out, '' if all are used.

    Raises :class:`UserError` if none can be used.
    """
    reasons = "; ".join(f"{name} ({reason})" for name, reason in left_out.items())
    if not protocols:
        raise UserError(
            f"config, regression.protocols: the samples allow none of the default protocols: "
            f"{reasons}; add samples, or write protocols of your own"
        )
    if not left_out:
        return ""
    names = ", ".join(f"{p['name']} ({p['k']} folds)" if "k" in p else p["name"] for p in protocols)
    return (
        f"Protocols by default: {names}. Left out: {reasons}. Write regression.protocols to use "
        "others"
    )
