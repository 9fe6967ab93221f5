"""Train and validation sides: how many pairs, images and clips, and which of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from sfqa.errors import UserError
from sfqa.identity import seed_of


class Sizes(NamedTuple):
    """Number of pairs, images and clips on each side."""

    train: int
    val: int
    train_images: int
    val_images: int
    train_clips: int
    val_clips: int


def choose_sizes(
    count: int, ratio: float, images: int, clips: int, categories: int, groups: int
) -> Sizes:
    """Return sizes of the two sides with train : val as near ``ratio`` as can be.

    ``categories`` and ``groups`` count the strata of ``images`` and ``clips``. Among the ways to
    cut images and clips that leave room for the pairs, those are taken that leave as few as
    possible unused, then keep every stratum on the train side, then share images and clips in the
    proportion of the pairs. Raises :class:`UserError` where no cut leaves room for ``count``.

    >>> choose_sizes(432, 3.5, images=100, clips=36, categories=11, groups=14)
    Sizes(train=336, val=96, train_images=78, val_images=22, train_clips=28, val_clips=8)
    """
    vi, vc = np.meshgrid(np.arange(1, images), np.arange(1, clips), indexing="ij")
    ti, tc = images - vi, clips - vc
    room_val, room_train = vi * vc, ti * tc
    possible = int((room_val + room_train).max())
    if count > possible:
        raise UserError(
            f"pairs: {count} pairs are wanted, but {images} images and {clips} clips give at most "
            f"{possible} when no image and no clip is on both sides of the split; "
            f"ask for at most {possible}, or add images or clips"
        )
    # count <= possible, so that some number always fits some cut.
    val, fits = next(
        (val, fits)
        for val in sorted(range(1, count), key=lambda n: (abs((count - n) / n - ratio), n))
        if (fits := (room_val >= val) & (room_train >= count - val)).any()
    )
    vi, vc, ti, tc = vi[fits], vc[fits], ti[fits], tc[fits]
    train = count - val
    unused = np.maximum(vi - val, 0) + np.maximum(vc - val, 0)
    unused = unused + np.maximum(ti - train, 0) + np.maximum(tc - train, 0)
    lost = np.maximum(categories - ti, 0) + np.maximum(groups - tc, 0)
    # |vi/images - val/count| + |vc/clips - val/count|, exact in whole numbers.
    uneven = np.abs(vi * count - val * images) * clips + np.abs(vc * count - val * clips) * images
    best = np.lexsort([vc, vi, uneven, lost, unused])[0]
    i, c = int(vi[best]), int(vc[best])
    return Sizes(train, val, images - i, i, clips - c, c)


def draw_val(labels: Mapping[str, tuple[str, ...]], size: int, kind: str, seed: int) -> set[str]:
    """Return ``size`` names for the validation side, each label in proportion.

    ``labels`` gives each name its labels, such as style and language; a stratum is the set of
    names with the same labels. One name after the other is drawn where chi-square over the single
    labels and the strata (drawn against proportional) becomes least. A stratum gives its last
    member only when no other has two left. ``kind`` keeps draws of images and clips apart. The
    order of the names does not matter.

    >>> names = {"a": ("pop", "en"), "b": ("pop", "en"), "c": ("rap", "zh"), "d": ("rap", "zh")}
    >>> sorted(draw_val(names, 2, "clip", 0))
    ['b', 'c']
    """
    members: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(labels, key=lambda name: (seed_of(seed, kind, name), name)):
        members.setdefault(labels[name], []).append(name)
    order = sorted(members, key=lambda s: (seed_of(seed, kind, "stratum", *s), s))
    # The margins that a stratum counts in: itself, and each of its labels.
    margins = {s: [s, *enumerate(s)] for s in order}
    total: Counter[Any] = Counter()
    for s in order:
        total.update({margin: len(members[s]) for margin in margins[s]})
    taken: Counter[Any] = Counter()

    def growth(stratum: tuple[str, ...]) -> Fraction:
        """What one more name of a stratum adds to chi-square, times a constant; exact."""
        share = Fraction(size, len(labels))
        expected = {m: share * total[m] for m in margins[stratum]}
        return sum((2 * (taken[m] - e) + 1) / e for m, e in expected.items()) + Fraction(0)

    drawn: set[str] = set()
    for _ in range(size):
        left = {s: len(members[s]) - taken[s] for s in order}
        stratum = min((s for s in order if left[s]), key=lambda s: (left[s] == 1, growth(s)))
        drawn.add(members[stratum][taken[stratum]])
        taken.update(margins[stratum])
    return drawn
