"""The design of a rating study: number of ratings, length of sessions, control clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StudyDesign:
    """Parameters of a rating plan.

    ``per_sample``: number of raters per test video. ``training``, ``gold`` and ``traps``: samples
    that are not part of the test. Every session contains one gold and one trap clip; the first
    session starts with the training, later ones with ``warm_up`` of its clips (BT.500 mentions
    about three). ``repeats_share``: share of a rater's videos that are shown a second time later.
    ``minutes``: maximum length of a session, including training and control clips; each video
    counts its own length plus ``scoring_sec``. ``block_minutes``: maximum time between breaks.
    ``groups``: number of groups of raters that share no video; each group sees every pair once,
    with the methods spread evenly (LGVQ: 6 groups of 10 raters, ``per_sample`` 10).
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
        """Maximum length of a session in seconds."""
        return 60.0 * self.minutes

    @property
    def block_sec(self) -> float:
        """Maximum time between breaks in seconds."""
        return 60.0 * self.block_minutes

    @property
    def warm_up_clips(self) -> int:
        """Number of warm-up clips of later sessions, at most the number of training clips.

        >>> StudyDesign(per_sample=2, training=["t1"], warm_up=3).warm_up_clips
        1
        """
        return min(self.warm_up, len(self.training))
