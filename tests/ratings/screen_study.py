"""A small study on disk for the tests of the rating screen, and a clock that can be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sfqa.ratings.screen import database, links
from sfqa.ratings.screen.study_tables import read_plan

WORDS = ["quality", "consistency"]

STUDY: dict[str, Any] = {
    "title": {"en": "Singing faces", "zh": "演唱人脸"},
    "languages": ["en", "zh"],
    "scale": {"low": 1, "high": 5, "step": 1},
    "dimensions": [
        {"name": "quality", "label": {"en": "Picture quality", "zh": "画面质量"}},
        {"name": "consistency", "label": {"en": "Sound and lips", "zh": "声画一致"}},
    ],
    "breaks": {"seconds": 60},
    "profile": [
        {"name": "age", "label": {"en": "Age", "zh": "年龄"}, "choices": ["18-29", "30-49"]},
        {"name": "notes", "label": {"en": "Notes", "zh": "备注"}},
    ],
}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def rows_of(
    rater: str, roles: str = "ttTTRGX", seconds: float = 2.0, session: int = 1
) -> list[dict[str, Any]]:
    """A session: t training, T test, R repeat of the first, G gold, X trap; a break after two T."""
    names = {"t": "training", "T": "test", "R": "repeat", "G": "gold", "X": "trap"}
    rows, tests = [], 0
    for position, letter in enumerate(roles, 1):
        block = 0 if letter == "t" else 1 + tests // 2
        tests += letter == "T"
        sample = (
            f"s{session}_{tests}"
            if letter == "T"
            else f"s{session}_1"
            if letter == "R"
            else f"{names[letter]}_{position}"
        )
        rows.append({"rater": rater, "session": session, "position": position, "sample_id": sample,
                     "role": names[letter], "block": block, "seconds": seconds})  # fmt: skip
    return rows


def make(folder: Path, plan: list[dict[str, Any]], study: dict[str, Any] | None = None) -> Path:
    """Write a study: plan.parquet, media.parquet, study.yaml and files of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "media").mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(
        yaml.safe_dump(STUDY if study is None else study, allow_unicode=True), encoding="utf-8"
    )
    write_plan(folder, plan)
    media = []
    for number, sample in enumerate(sorted({row["sample_id"] for row in plan})):
        row: dict[str, Any] = {
            "sample_id": sample,
            "title": f"Song {number}",
            "language": "zh",
            "prompt": None,
        }
        for kind, suffix in (("video", "mp4"), ("image", "png"), ("clip", "wav")):
            path = folder / "media" / f"{sample}.{suffix}"
            if not path.exists():
                path.write_bytes(bytes((number + n) % 251 for n in range(5000)))
            row[kind] = f"media/{path.name}"
        media.append(row)
    pq.write_table(pa.Table.from_pylist(media), folder / "media.parquet")
    return folder


def write_plan(folder: Path, plan: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(plan), folder / "plan.parquet")


def tokens(folder: Path) -> dict[str, str]:
    """Links for all raters and the organiser."""
    connection = database.open_database(folder / "study.db")
    database.sync_plan(connection, read_plan(folder / "plan.parquet"))
    made = {
        name: links.create_rater_link(connection, name)
        for name in links.list_unlinked_raters(connection)
    }
    made["organiser"] = links.create_organiser_link(connection)
    connection.close()
    return made


SCORES = {"quality": 4, "consistency": 2}


class Page:
    """What a rater's page does, over any client with ``get`` and ``post`` as those of httpx."""

    def __init__(self, client: Any, token: str) -> None:
        self.client, self.own = client, f"/r/{token}"

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(self.own + path, **more)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(self.own + path, json={} if body is None else body)

    def state(self) -> dict[str, Any]:
        return self.get("/state").json()

    def begin(self) -> dict[str, Any]:
        self.post("/consent", {"language": "en", "profile": {}})
        return self.post("/begin").json()

    def watch(self, identity: str) -> Any:
        return self.get(f"/media/{identity}/video")

    def send(self, identity: str, scores: Any = None, **more: Any) -> Any:
        body = {"presentation": identity, "scores": SCORES if scores is None else scores}
        return self.post("/score", body | more)

    def rate(self, clock: Clock, scores: Any = None, **more: Any) -> Any:
        """Watch the current video and rate it, waiting for a break's end before."""
        state = self.state()
        if state["stage"] == "break":
            clock.pass_(state["seconds"])
            state = self.state()
        identity = state["presentation"]["id"]
        self.watch(identity)
        clock.pass_(2.0)
        return self.send(identity, scores, **more)


def stored(folder: Path) -> dict[str, list[Any]]:
    """Everything that the database of a study holds."""
    connection = database.open_database(folder / "study.db")
    names = (
        "settings",
        "raters",
        "presentations",
        "sessions",
        "served",
        "answers",
        "scores",
        "events",
        "enrolments",
        "checks",
    )
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    connection.close()
    return found
