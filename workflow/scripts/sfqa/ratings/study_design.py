"""The design of a rating study: how many ratings, how long a session, which clips for checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StudyDesign:
    """The numbers that a plan is made with and is checked against.

    ``per_sample``: raters of every test video. ``training``, ``gold`` and ``traps`` name samples
    that are outside the test; every session gets one gold and one trap clip, the first one starts
    with the training, later ones with ``warm_up`` clips of it (BT.500 speaks of about three).
    ``repeats_share`` of a rater's videos are shown once more, later. A session, training and checks
    included, takes at most ``minutes``, each video its own length and ``scoring_sec``; a session
    has a break at least every ``block_minutes``. ``groups``: the raters fall into so many groups
    that share no video; each group sees every pair once, the methods dealt evenly (LGVQ: 6 groups
    of 10 raters, ``per_sample`` 10).
    """

    per_sample: int
    minutes: float = 30
    scoring_sec: float = 6.0
    block_minutes: float = 10.0
    training: Sequence[str] = ()
    gold: Sequence[str] = ()
    traps: Sequence[str] = ()
    repeats_share: float = 0.0
    warm_up: int = 0
    groups: int | None = None

    @property
    def session_sec(self) -> float:
        """The longest session, in seconds."""
        return 60.0 * self.minutes

    @property
    def block_sec(self) -> float:
        """The longest time without a break, in seconds."""
        return 60.0 * self.block_minutes

    @property
    def warm_up_clips(self) -> int:
        """How many clips warm up a later session: at most those of the training.

        >>> StudyDesign(per_sample=2, training=["t1"], warm_up=3).warm_up_clips
        1
        """
        return min(self.warm_up, len(self.training))
