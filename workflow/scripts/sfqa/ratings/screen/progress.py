"""State of a study in memory: the progress of every rater, and the rules of what comes next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sfqa.ratings.screen import links
from sfqa.ratings.screen.completion import KEY, describe_completion
from sfqa.ratings.screen.database import get_setting
from sfqa.ratings.screen.study import Study
from sfqa.ratings.screen.study_tables import Media, PlannedVideo

Json = dict[str, Any]

#: A video may end this much early, because browsers round its length and clocks differ.
TOLERANCE_SEC, TOLERANCE_SHARE = 0.25, 0.02


@dataclass(frozen=True)
class Presentation(PlannedVideo):
    """A planned video with its random ``id``, the only part that is sent to the page."""

    id: str


@dataclass
class Rater:
    """One rater: the presentations in order, the progress, and the times of the last actions.

    ``sessions``: the sessions that were started. ``session_ranges``: for each session its number,
    the index of its first presentation, and its number of presentations. ``next``: index of the
    first presentation without an answer. ``checks``: the checks of equipment that were done.
    ``ids``: the parameters of the address by which the rater enrolled. ``is_replaced``: the place
    was given to someone else. Times are in seconds since the epoch.
    """

    name: str
    language: str | None = None
    theme: str | None = None
    consented: bool = False
    order: list[Presentation] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    session_ranges: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    next: int = 0
    checks: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    is_replaced: bool = False
    last_at: float = 0.0
    begun_at: float = 0.0
    seen_at: float = 0.0
    opened_at: float = 0.0

    @property
    def current(self) -> Presentation | None:
        """The first presentation without an answer."""
        return self.order[self.next] if self.next < len(self.order) else None

    @property
    def previous(self) -> Presentation | None:
        """The presentation in front of the current one."""
        return self.order[self.next - 1] if self.next else None


class StudyState:
    """A study's state in memory, read from the database and updated after every write."""

    def __init__(self, study: Study, media: Mapping[str, Media]) -> None:
        self.study, self.media = study, media
        self.raters: dict[str, Rater] = {}
        self.tokens: dict[str, str] = {}
        self.organiser: str | None = None
        self.crowd: str | None = None
        self.completion_key = ""
        self.open_since = 0.0
        self.presentations: dict[str, Presentation] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.served: dict[str, float] = {}
        self.paused_at: float | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the organiser has paused the study."""
        return self.paused_at is not None

    def list_seen(self) -> dict[str, float]:
        """Return the time of the last request of each rater since the server was started."""
        return {name: rater.seen_at for name, rater in self.raters.items()}

    def is_held(self, rater: Rater) -> bool:
        """Whether a pause applies to the rater. A video that was started may still be rated."""
        current = rater.current
        if self.paused_at is None or current is None:
            return self.is_paused
        # The next video is fetched in advance, so a video that was served may not be started.
        return current.id not in self.served or rater.last_at > self.paused_at

    def limit_times(self, now: float) -> None:
        """Replace times that lie in the future by ``now``, after the clock was set back.

        Otherwise raters would wait until the clock has reached these times again. The database
        keeps them as they were measured.
        """
        for rater in self.raters.values():
            rater.last_at, rater.begun_at = min(rater.last_at, now), min(rater.begun_at, now)
            rater.seen_at, rater.opened_at = min(rater.seen_at, now), min(rater.opened_at, now)
        self.served = {identity: min(at, now) for identity, at in self.served.items()}
        self.open_since = min(self.open_since, now)
        if self.paused_at is not None:
            self.paused_at = min(self.paused_at, now)

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the whole state again, except what is only in memory (``seen_at``)."""
        seen_at = {rater.name: rater.seen_at for rater in self.raters.values()}
        raters, tokens = {}, {}
        rows = "SELECT rater, token_sha256, language, theme, consented_at FROM raters"
        for name, token, language, theme, consented in connection.execute(rows):
            raters[name] = Rater(name, language, theme, consented is not None)
            raters[name].seen_at = seen_at.get(name, 0.0)
            if token:
                tokens[token] = name
        presentations = {}
        columns = "rater, session, position, sample_id, role, block, seconds, id"
        ordered = f"SELECT {columns} FROM presentations ORDER BY rater, session, position"
        for row in connection.execute(ordered):
            presentation = Presentation(*row)
            presentations[presentation.id] = presentation
            raters[presentation.rater].order.append(presentation)
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
        # The database may lag behind: the time of the first byte is written asynchronously.
        served |= {k: v for k, v in self.served.items() if k in presentations}
        self.raters, self.tokens, self.presentations = raters, tokens, presentations
        self.scores, self.served = scores, served
        for name, check in connection.execute("SELECT rater, name FROM checks"):
            raters[name].checks.add(check)
        enrolments = "SELECT rater, ids, replaced_at FROM enrolments"
        for name, ids, replaced_at in connection.execute(enrolments):
            raters[name].ids = json.loads(ids)
            raters[name].is_replaced = replaced_at is not None
        self.organiser = get_setting(connection, links.ORGANISER)
        self.crowd = get_setting(connection, links.CROWD)
        self.completion_key = get_setting(connection, KEY) or ""
        paused_at = get_setting(connection, "paused_at")
        self.paused_at = float(paused_at) if paused_at else None
        for rater in raters.values():
            for number, session in enumerate(sorted({p.session for p in rater.order}), 1):
                indices = [n for n, p in enumerate(rater.order) if p.session == session]
                rater.session_ranges[session] = (number, indices[0], len(indices))
            self._advance(rater)

    def _advance(self, rater: Rater) -> None:
        while rater.next < len(rater.order) and rater.order[rater.next].id in self.scores:
            rater.next += 1

    def add_answer(self, identity: str, scores: Mapping[str, float], at: float) -> None:
        """Update the state with an answer that is on the disk."""
        self.scores[identity] = dict(scores)
        rater = self.raters[self.presentations[identity].rater]
        rater.last_at = max(rater.last_at, at)
        self._advance(rater)

    def find_next_check(self, rater: Rater) -> str | None:
        """Return the check of equipment that a rater has to do before the first session."""
        if rater.sessions:
            return None
        return next((name for name in self.study.checks if name not in rater.checks), None)

    def find_break_end(self, rater: Rater) -> float:
        """Return when the break in front of the current presentation ends, 0 if there is none."""
        current, previous = rater.current, rater.previous
        if current is None or previous is None or previous.role == "training":
            return 0.0
        if current.session != previous.session or current.block == previous.block:
            return 0.0
        return rater.last_at + self.study.break_seconds

    def find_accessible(self, rater: Rater, identity: str) -> Presentation | None:
        """Return the presentation if its files may be fetched: the current one and the next."""
        current = rater.current
        if current is None or not rater.consented or current.session not in rater.sessions:
            return None
        if rater.is_replaced:
            return None
        for presentation in rater.order[rater.next : rater.next + 2]:
            if presentation.id == identity and presentation.session == current.session:
                return presentation
        return None

    def compute_wait(self, rater: Rater, now: float) -> float | None:
        """Return the seconds until the current video can have ended; None if it was not served."""
        current = rater.current
        if current is None or current.id not in self.served:
            return None
        start = max(
            self.served[current.id], rater.last_at, rater.begun_at, self.find_break_end(rater)
        )
        needed = current.seconds * (1 - TOLERANCE_SHARE) - TOLERANCE_SEC
        return max(0.0, start + max(0.0, needed) - now)

    def describe_stage(self, rater: Rater, now: float) -> Json:
        """Return what the rater's page shows, and the stage.

        The stage is welcome, check, session, rate, break, paused, finished or replaced. The answer
        contains no name of a sample, no method and no role.
        """
        current, previous = rater.current, rater.previous
        page: Json = {"language": rater.language, "theme": rater.theme}
        if rater.is_replaced:
            return page | {"stage": "replaced"}
        if not rater.consented:
            return page | {"stage": "paused" if self.is_paused else "welcome"}
        if current is None:
            completion = describe_completion(
                self.study.completion, self.completion_key, rater.name, rater.ids
            )
            return page | {
                "stage": "finished", "done": len(rater.order), "completion": completion,
            }  # fmt: skip
        check = self.find_next_check(rater)
        if check is not None and not self.is_paused:
            return page | {
                "stage": "check", "check": check, "of": len(self.study.checks),
                "number": 1 + self.study.checks.index(check),
            }  # fmt: skip
        number, first, count = rater.session_ranges[current.session]
        page["progress"] = {
            "session": number, "sessions": len(rater.session_ranges), "done": rater.next - first,
            "of": count,
        }  # fmt: skip
        if self.is_held(rater):
            return page | {"stage": "paused"}
        if current.session not in rater.sessions:
            remaining = rater.order[rater.next : first + count]
            seconds = sum(p.seconds for p in remaining)
            training = sum(p.role == "training" for p in remaining)
            blocks = {p.block for p in remaining if p.role != "training"}
            return page | {
                "stage": "session", "seconds": seconds, "training": training,
                "breaks": len(blocks) > 1 and self.study.break_seconds > 0,
            }  # fmt: skip
        break_sec = self.find_break_end(rater) - now
        if break_sec > 0:
            return page | {
                "stage": "break", "seconds": break_sec, "whole": self.study.break_seconds,
            }  # fmt: skip
        following = rater.order[rater.next + 1 : rater.next + 2]
        media = self.media[current.sample_id]
        show = self.study.page["show"]
        has_next = bool(following) and following[0].session == current.session
        page["presentation"] = {
            "id": current.id,
            "training": current.role == "training",
            "counts_now": previous is not None and previous.role == "training" != current.role,
            "image": "image" in media.files and show["image"],
            "clip": "clip" in media.files and show["clip"],
            "title": media.title if show["clip"] else None,
            "spoken": media.language if show["clip"] else None,
            "style": media.style if show["clip"] else None,
            "prompt": media.prompt if show["prompt"] else None,
            "next": following[0].id if has_next else None,
        }
        return page | {"stage": "rate"}
