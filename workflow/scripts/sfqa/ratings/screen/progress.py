"""Where every rater stands: the database in memory, and the rules of what comes next."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sfqa.ratings.screen.store import setting
from sfqa.ratings.screen.study import Media, Planned, Study

Json = dict[str, Any]

#: Browsers round lengths and clocks differ a little: this much of a video may be lacking.
TOLERANCE_SEC, TOLERANCE_SHARE = 0.25, 0.02


@dataclass(frozen=True)
class Presentation(Planned):
    """A planned presentation with its ``id``, the only part that is known outside the server."""

    id: str


@dataclass
class Rater:
    """One rater: the presentations in order, what was answered, and when last.

    ``sessions`` are those that were begun; ``places`` gives each session its number, the index of
    its first presentation and how many it has.
    """

    name: str
    language: str | None = None
    theme: str | None = None
    consented: bool = False
    order: list[Presentation] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    places: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    next: int = 0
    last_at: float = 0.0
    begun_at: float = 0.0
    seen_at: float = 0.0
    opened_at: float = 0.0

    @property
    def current(self) -> Presentation | None:
        """The first presentation without an answer."""
        return self.order[self.next] if self.next < len(self.order) else None

    @property
    def before(self) -> Presentation | None:
        """The presentation before the current one."""
        return self.order[self.next - 1] if self.next else None


class Live:
    """A study's state in memory: read from the database at the start, then kept beside it."""

    def __init__(self, study: Study, media: Mapping[str, Media]) -> None:
        self.study, self.media = study, media
        self.raters: dict[str, Rater] = {}
        self.tokens: dict[str, str] = {}
        self.organiser: str | None = None
        self.presentations: dict[str, Presentation] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.served: dict[str, float] = {}
        self.paused_at: float | None = None

    @property
    def paused(self) -> bool:
        """Whether the organiser has paused the study."""
        return self.paused_at is not None

    def held(self, rater: Rater) -> bool:
        """Whether a pause keeps the rater from the current video: not from one that was begun."""
        one = rater.current
        if self.paused_at is None or one is None:
            return self.paused
        # The video after the current one is fetched ahead: fetched is not yet begun.
        return one.id not in self.served or rater.last_at > self.paused_at

    def load(self, connection: sqlite3.Connection) -> None:
        """Read everything anew; what is only in memory (who was seen when) stays."""
        seen = {rater.name: rater.seen_at for rater in self.raters.values()}
        raters, tokens = {}, {}
        rows = "SELECT rater, token_sha256, language, theme, consented_at FROM raters"
        for name, token, language, theme, consented in connection.execute(rows):
            raters[name] = Rater(name, language, theme, consented is not None)
            raters[name].seen_at = seen.get(name, 0.0)
            if token:
                tokens[token] = name
        presentations = {}
        columns = "rater, session, position, sample_id, role, block, seconds, id"
        ordered = f"SELECT {columns} FROM presentations ORDER BY rater, session, position"
        for row in connection.execute(ordered):
            one = Presentation(*row)
            presentations[one.id] = one
            raters[one.rater].order.append(one)
        for name, session, at in connection.execute("SELECT rater, session, at FROM sessions"):
            raters[name].sessions.add(session)
            raters[name].begun_at = max(raters[name].begun_at, at)
        scores: dict[str, dict[str, float]] = {}
        for identity, dimension, score in connection.execute("SELECT * FROM scores"):
            scores.setdefault(identity, {})[dimension] = score
        for identity, at in connection.execute("SELECT presentation, at FROM answers"):
            rater = raters[presentations[identity].rater]
            rater.last_at = max(rater.last_at, at)
        served = dict(connection.execute("SELECT presentation, at FROM served").fetchall())
        # A first byte that was served is written without being waited for: memory may know more.
        served |= {k: v for k, v in self.served.items() if k in presentations}
        self.raters, self.tokens, self.presentations = raters, tokens, presentations
        self.scores, self.served = scores, served
        self.organiser = setting(connection, "organiser_sha256")
        paused = setting(connection, "paused_at")
        self.paused_at = float(paused) if paused else None
        for rater in raters.values():
            for number, session in enumerate(sorted({p.session for p in rater.order}), 1):
                mine = [n for n, p in enumerate(rater.order) if p.session == session]
                rater.places[session] = (number, mine[0], len(mine))
            self._move_on(rater)

    def _move_on(self, rater: Rater) -> None:
        while rater.next < len(rater.order) and rater.order[rater.next].id in self.scores:
            rater.next += 1

    def answered(self, identity: str, scores: Mapping[str, float], at: float) -> None:
        """Note an answer that is on the disk."""
        self.scores[identity] = dict(scores)
        rater = self.raters[self.presentations[identity].rater]
        rater.last_at = max(rater.last_at, at)
        self._move_on(rater)

    def break_ends(self, rater: Rater) -> float:
        """The time when the break before the current presentation ends, 0 where there is none."""
        now, before = rater.current, rater.before
        if now is None or before is None or before.role == "training":
            return 0.0
        if now.session != before.session or now.block == before.block:
            return 0.0
        return rater.last_at + self.study.break_seconds

    def open_to(self, rater: Rater, identity: str) -> Presentation | None:
        """The presentation of this id if its files may be fetched now: the current, the next."""
        now = rater.current
        if now is None or not rater.consented or now.session not in rater.sessions:
            return None
        for one in rater.order[rater.next : rater.next + 2]:
            if one.id == identity and one.session == now.session:
                return one
        return None

    def waits(self, rater: Rater, now: float) -> float | None:
        """Seconds until the current video can have been seen to its end; None: never served."""
        one = rater.current
        if one is None or one.id not in self.served:
            return None
        start = max(self.served[one.id], rater.last_at, rater.begun_at, self.break_ends(rater))
        needed = one.seconds * (1 - TOLERANCE_SHARE) - TOLERANCE_SEC
        return max(0.0, start + max(0.0, needed) - now)

    def stage(self, rater: Rater, now: float) -> Json:
        """What the rater's page is to show: one of welcome, session, rate, break, paused, finished.

        Nothing in it tells a sample's name, its method, or whether it is a check.
        """
        one, before = rater.current, rater.before
        made: Json = {"language": rater.language, "theme": rater.theme}
        if not rater.consented:
            return made | {"stage": "paused" if self.paused else "welcome"}
        if one is None:
            return made | {"stage": "finished", "done": len(rater.order)}
        number, first, count = rater.places[one.session]
        made["progress"] = {
            "session": number, "sessions": len(rater.places), "done": rater.next - first,
            "of": count,
        }  # fmt: skip
        if self.held(rater):
            return made | {"stage": "paused"}
        if one.session not in rater.sessions:
            mine = rater.order[rater.next : first + count]
            seconds = sum(p.seconds for p in mine)
            training = any(p.role == "training" for p in mine)
            return made | {"stage": "session", "seconds": seconds, "training": training}
        left = self.break_ends(rater) - now
        if left > 0:
            return made | {"stage": "break", "seconds": left, "whole": self.study.break_seconds}
        following = rater.order[rater.next + 1 : rater.next + 2]
        media = self.media[one.sample_id]
        shown = self.study.page["show"]
        made["presentation"] = {
            "id": one.id,
            "training": one.role == "training",
            "counts_now": before is not None and before.role == "training" != one.role,
            "image": "image" in media.files and shown["image"],
            "clip": "clip" in media.files and shown["clip"],
            "title": media.title if shown["clip"] else None,
            "spoken": media.language if shown["clip"] else None,
            "prompt": media.prompt if shown["prompt"] else None,
            "next": following[0].id if following and following[0].session == one.session else None,
        }
        return made | {"stage": "rate"}
