"""From numbers of pairs by class to pairs of individual images and clips, drawn by the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfqa.identity import generator, seed_of
from sfqa.pairs.material import KINDS, SIDES, Material, Unit

Placed = dict[tuple[str, str, int], list[str]]


def deal(
    material: Material,
    val_members: Mapping[tuple[str, int], int],
    pairs: Mapping[tuple[str, int, int], int],
    seed: int,
) -> list[tuple[str, str, str]]:
    """Return (image, clip, side) for every pair, sorted: the numbers as given, uses even.

    ``val_members`` is the number of a unit's members on the validation side, by kind and unit;
    ``pairs`` the number of pairs by side, image unit and clip unit, at most members times members.
    The seed draws which members go where.

    It always works: on a side, the pairs of an image unit are dealt to its images in turns, clip
    unit after clip unit, so that uses differ by at most one, in all and per clip unit; and the
    same for clips. Within two units the wanted uses of images and of clips then differ by at most
    one on either part, and such degrees always belong to a table of pairs without repetition
    (Gale and Ryser: even degrees are majorised by all others of the same sum), found by giving
    each image the clips with the most uses left.
    """
    placed = _place(material, val_members, seed)
    found = []
    for side in SIDES:
        uses = {kind: _uses(material, placed, pairs, kind, side, seed) for kind in KINDS}
        for (at, i, c), number in sorted(pairs.items()):
            if at == side and number:
                cells = _fill(uses["image"][i, c], uses["clip"][i, c], (seed, side, i, c))
                found += [(image, clip, side) for image, clip in cells]
    return sorted(found)


def _place(material: Material, val_members: Mapping[tuple[str, int], int], seed: int) -> Placed:
    """Which members of a unit are on which side, each in drawn order."""
    placed: Placed = {}
    for kind in KINDS:
        for k, unit in enumerate(material.units(kind)):
            names = _drawn(unit, kind, seed)
            val = val_members[kind, k]
            placed[kind, "val", k], placed[kind, "train", k] = names[:val], names[val:]
    return placed


def _drawn(unit: Unit, kind: str, seed: int) -> list[str]:
    return sorted(unit.names, key=lambda name: (seed_of(seed, "side", kind, name), name))


def _uses(
    material: Material,
    placed: Placed,
    pairs: Mapping[tuple[str, int, int], int],
    kind: str,
    side: str,
    seed: int,
) -> dict[tuple[int, int], dict[str, int]]:
    """How often each member is used in each two units; by image unit and clip unit."""
    result: dict[tuple[int, int], dict[str, int]] = {}
    other = "clip" if kind == "image" else "image"
    for k in range(len(material.units(kind))):
        members, turn = placed[kind, side, k], 0
        order = generator(seed, "turns", kind, side, k).permutation(len(material.units(other)))
        for m in order.tolist():
            cell = (k, m) if kind == "image" else (m, k)
            result[cell] = dict.fromkeys(members, 0)
            for _ in range(pairs.get((side, *cell), 0)):
                result[cell][members[turn % len(members)]] += 1
                turn += 1
    return result


def _fill(
    images: Mapping[str, int], clips: Mapping[str, int], seed: Sequence[str | int]
) -> list[tuple[str, str]]:
    """Pairs that use every image and every clip as often as told, no pair twice."""
    left = dict(clips)
    chance = {(i, c): seed_of(*seed, i, c) for i in images for c in clips}
    found = []
    for image in images:
        order = sorted(left, key=lambda clip: (-left[clip], chance[image, clip], clip))
        for clip in order[: images[image]]:
            left[clip] -= 1
            found.append((image, clip))
    return found
