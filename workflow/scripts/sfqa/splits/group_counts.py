"""How many values the groups of a dataset have, and whether that is enough for a protocol.

The numbers are known before any sample is: those of a dataset that is built follow from its sheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.splits.group_names import add_article, may_be_empty
from sfqa.splits.protocol_options import PARTS, read_ratio

if TYPE_CHECKING:
    import pandas as pd

#: Train, validation and test need at least one value each.
MIN_LEFT_OUT_VALUES = 3


@dataclass(frozen=True)
class GroupCounts:
    """The number of samples, of different values of each group, and of samples without a value.

    ``values`` and ``empty`` hold numbers by the name of a group; a group that is not in them is not
    known. In a dataset that is not built yet ``values`` are upper bounds.
    """

    samples: int
    values: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as data for JSON; ``GroupCounts(**data)`` reads them."""
        return asdict(self)


def count_groups(rows: pd.DataFrame) -> GroupCounts:
    """Return the counts of a table of samples (columns of tables.SAMPLES).

    >>> import pandas as pd
    >>> counts = count_groups(pd.DataFrame({"sample_id": ["a", "b"], "image_id": ["x", None]}))
    >>> counts.samples, counts.values["image"], counts.empty["image"], counts.values["clip"]
    (2, 1, 1, 0)
    """
    from sfqa.splits.grouping import GROUPS, expand_keys, get_group_values, list_keys

    rows = expand_keys(rows)
    columns = {group: get_group_values(rows, group) for group in (*GROUPS, *list_keys(rows))}
    return GroupCounts(
        len(rows),
        {group: int(column.nunique()) for group, column in columns.items()},
        {group: int(column.isna().sum()) for group, column in columns.items()},
    )


def check_counts(protocol: Mapping[str, Any], counts: GroupCounts, where: str) -> None:
    """Raise :class:`UserError` if the groups have too few values for a protocol.

    ``where`` begins the message. Groups that the counts do not know are not checked.
    """
    protocol_kind = protocol["kind"]
    if protocol_kind == "leave_one_method_out":
        require_methods(counts.values.get("method", MIN_LEFT_OUT_VALUES), where)
    groups = [group for group in protocol.get("groups") or () if group in counts.values]
    for group in groups:
        if not counts.values[group]:
            raise UserError(f"{where}, groups: no sample has {add_article(group)}; leave it out")
        if counts.empty.get(group) and not may_be_empty(group):
            raise UserError(
                f"{where}: {counts.empty[group]} of {counts.samples} samples have no {group} to be "
                f"grouped by; fill the column, or leave {group} out of groups"
            )
        if protocol_kind == "leave_one_group_out":
            require_left_out_values(counts.values[group], group, where)
        elif protocol_kind == "group_kfold" and not may_be_empty(group):
            require_folds(counts.values[group], group, int(protocol.get("k", 5)), where)
        elif protocol_kind == "group_trials" and not may_be_empty(group):
            used_parts = sum(share > 0 for share in read_ratio(protocol, where))
            require_parts(counts.values[group], group, used_parts, where)
    if protocol_kind == "random_kfold":
        require_samples(counts.samples, int(protocol.get("k", 5)), where)


def require_methods(count: int, where: str) -> None:
    """Raise :class:`UserError` unless there are enough methods to leave one out."""
    if count < MIN_LEFT_OUT_VALUES:
        raise UserError(
            f"{where}: {count} {'method is' if count == 1 else 'methods are'} too few: train, "
            "validation and test need one each; add methods, or leave this protocol out"
        )


def require_left_out_values(count: int, group: str, where: str) -> None:
    """Raise :class:`UserError` unless a group has enough values to leave one out."""
    if count < MIN_LEFT_OUT_VALUES:
        raise UserError(
            f"{where}: {count} different values of {group} are too few: train, validation "
            "and test need one each; choose another group"
        )


def require_folds(count: int, group: str, k: int, where: str) -> None:
    """Raise :class:`UserError` unless a group has a value for each of ``k`` folds."""
    if count < k:
        raise UserError(
            f"{where}: {count} different values of {group} are too few for "
            f"{k} folds; choose a smaller k or other groups"
        )


def require_parts(count: int, group: str, parts: int, where: str) -> None:
    """Raise :class:`UserError` unless a group has a value for each part of a split."""
    if count < parts:
        names = ", ".join(PARTS) if parts == len(PARTS) else "train and test"
        raise UserError(
            f"{where}: {count} different values of {group} are too few for "
            f"{parts} parts ({names}); choose other groups"
        )


def require_samples(count: int, k: int, where: str) -> None:
    """Raise :class:`UserError` unless there is a sample for each of ``k`` folds."""
    if count < k:
        raise UserError(f"{where}: {count} samples are too few for {k} folds; lower k")
