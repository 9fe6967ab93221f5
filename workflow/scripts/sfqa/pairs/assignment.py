"""Assign individual images and clips to the pair counts of their classes, drawn by the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfqa.identity import random_generator, seed_of
from sfqa.pairs.material import LABEL_COLUMNS, SIDES, Material, Unit

SideMembers = dict[tuple[str, str, int], list[str]]


def assign_members(
    material: Material,
    val_members: Mapping[tuple[str, int], int],
    pairs: Mapping[tuple[str, int, int], int],
    seed: int,
) -> list[tuple[str, str, str]]:
    """Return (image, clip, side) for every pair, sorted, with the given counts and even uses.

    ``val_members``: number of members of a unit on the validation side, by item type and unit.
    ``pairs``: number of pairs by side, image unit and clip unit, at most the product of the numbers
    of members. The seed decides which members go to which side and who is paired with whom.

    A solution always exists. On each side the pairs of an image unit are distributed to its images
    round-robin, one clip unit after the other, so that uses differ by at most one, in total and per
    clip unit; likewise for clips. Between two units the required uses of images and of clips then
    differ by at most one, and such degree sequences always belong to a bipartite graph without
    repeated edges (Gale-Ryser: even degrees are majorised by all others with the same sum). The
    greedy choice of the clips with the most remaining uses finds one.
    """
    side_members = _split_members(material, val_members, seed)
    pairs_of_items = []
    for side in SIDES:
        uses = {
            item_type: _distribute_uses(material, side_members, pairs, item_type, side, seed)
            for item_type in LABEL_COLUMNS
        }
        for (pair_side, i, c), number in sorted(pairs.items()):
            if pair_side == side and number:
                cells = _pair_members(uses["image"][i, c], uses["clip"][i, c], (seed, side, i, c))
                pairs_of_items += [(image, clip, side) for image, clip in cells]
    return sorted(pairs_of_items)


def _split_members(
    material: Material, val_members: Mapping[tuple[str, int], int], seed: int
) -> SideMembers:
    """Split the members of each unit between the two sides, each in shuffled order."""
    side_members: SideMembers = {}
    for item_type in LABEL_COLUMNS:
        for k, unit in enumerate(material.get_units(item_type)):
            names = _shuffle_members(unit, item_type, seed)
            val = val_members[item_type, k]
            side_members[item_type, "val", k], side_members[item_type, "train", k] = (
                names[:val],
                names[val:],
            )
    return side_members


def _shuffle_members(unit: Unit, item_type: str, seed: int) -> list[str]:
    return sorted(unit.names, key=lambda name: (seed_of(seed, "side", item_type, name), name))


def _distribute_uses(
    material: Material,
    side_members: SideMembers,
    pairs: Mapping[tuple[str, int, int], int],
    item_type: str,
    side: str,
    seed: int,
) -> dict[tuple[int, int], dict[str, int]]:
    """Return the uses of each member by image unit and clip unit."""
    result: dict[tuple[int, int], dict[str, int]] = {}
    other = "clip" if item_type == "image" else "image"
    for k in range(len(material.get_units(item_type))):
        members, turn = side_members[item_type, side, k], 0
        order = random_generator(seed, "turns", item_type, side, k).permutation(
            len(material.get_units(other))
        )
        for m in order.tolist():
            cell = (k, m) if item_type == "image" else (m, k)
            result[cell] = dict.fromkeys(members, 0)
            for _ in range(pairs.get((side, *cell), 0)):
                result[cell][members[turn % len(members)]] += 1
                turn += 1
    return result


def _pair_members(
    images: Mapping[str, int], clips: Mapping[str, int], seed: Sequence[str | int]
) -> list[tuple[str, str]]:
    """Return pairs with the required uses of every image and clip, without repetition."""
    uses_left = dict(clips)
    tie_order = {(i, c): seed_of(*seed, i, c) for i in images for c in clips}
    item_pairs = []
    for image in images:
        order = sorted(uses_left, key=lambda clip: (-uses_left[clip], tie_order[image, clip], clip))
        for clip in order[: images[image]]:
            uses_left[clip] -= 1
            item_pairs.append((image, clip))
    return item_pairs
