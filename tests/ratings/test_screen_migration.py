"""Databases of earlier and later versions: ratings are kept, and what is not known is not touched."""

from __future__ import annotations

import sqlite3

import pyarrow.parquet as pq
import pytest
from screen_study import make, rows_of, stored
from starlette.testclient import TestClient

from sfqa.errors import UserError
from sfqa.ratings.screen import database, export
from sfqa.ratings.screen.app import create_app
from sfqa.ratings.screen.study import read_study

#: Layout 1, as the version before crowds wrote it.
OLD_TABLES = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE raters (
    rater TEXT PRIMARY KEY, token_sha256 TEXT UNIQUE, language TEXT, theme TEXT,
    consented_at REAL, profile TEXT) WITHOUT ROWID;
CREATE TABLE presentations (
    id TEXT PRIMARY KEY, rater TEXT NOT NULL REFERENCES raters, session INTEGER NOT NULL,
    position INTEGER NOT NULL, sample_id TEXT NOT NULL, role TEXT NOT NULL,
    block INTEGER NOT NULL, seconds REAL NOT NULL, UNIQUE (rater, session, position)
) WITHOUT ROWID;
CREATE TABLE sessions (
    rater TEXT NOT NULL REFERENCES raters, session INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (rater, session)) WITHOUT ROWID;
CREATE TABLE served (
    presentation TEXT PRIMARY KEY REFERENCES presentations, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    presentation TEXT PRIMARY KEY REFERENCES presentations, at REAL NOT NULL,
    served_at REAL NOT NULL, details TEXT NOT NULL, comment TEXT) WITHOUT ROWID;
CREATE TABLE scores (
    presentation TEXT NOT NULL REFERENCES answers, dimension TEXT NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (presentation, dimension)) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, rater TEXT, kind TEXT NOT NULL, data TEXT);
INSERT INTO settings VALUES ('layout', '1');
INSERT INTO raters VALUES ('r001', 'hash', 'zh', 'dark', 10.0, '{"age": "18-29", "sound": "x"}');
INSERT INTO presentations VALUES ('p1', 'r001', 1, 1, 's1_1', 'test', 1, 2.0);
INSERT INTO presentations VALUES ('p2', 'r001', 1, 2, 's1_2', 'test', 1, 2.0);
INSERT INTO sessions VALUES ('r001', 1, 11.0);
INSERT INTO served VALUES ('p1', 12.0);
INSERT INTO answers VALUES ('p1', 15.0, 12.0, '{"play_sec": 2.0, "answer_sec": 1.0}', 'ok');
INSERT INTO scores VALUES ('p1', 'quality', 4.0), ('p1', 'consistency', 2.0);
INSERT INTO events VALUES (1, 11.0, 'r001', 'began', '1');
"""


def test_a_database_of_the_earlier_layout_keeps_every_rating(tmp_path, clock):
    folder = make(tmp_path / "study", rows_of("r001", "TT"))
    old = sqlite3.connect(folder / "study.db")
    old.executescript(OLD_TABLES)
    names = ("raters", "presentations", "sessions", "served", "answers", "scores", "events")
    before = {name: old.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    old.close()
    with TestClient(create_app(folder, clock)) as client:
        assert client.get("/r/guess/state").status_code == 404
    kept = stored(folder)
    assert {name: kept[name] for name in names} == before
    assert dict(kept["settings"])["layout"] == "2"
    connection = database.open_database(folder / "study.db")
    counts = export.export_tables(connection, tmp_path, read_study(folder / "study.yaml"))
    connection.close()
    assert counts == {"scores.parquet": 2, "score_details.parquet": 2, "raters.parquet": 1}
    (row,) = pq.read_table(tmp_path / "raters.parquet").to_pylist()
    assert (row["profile_age"], row["profile_sound"], row["total_sec"]) == ("18-29", "x", 5.0)
    details = pq.read_table(tmp_path / "score_details.parquet").to_pylist()
    assert {(r["play_sec"], r["native_width"]) for r in details} == {(2.0, None)}


def test_a_database_of_a_later_version_is_not_touched(tmp_path):
    path = tmp_path / "study.db"
    later = sqlite3.connect(path)
    later.executescript(OLD_TABLES.replace("'layout', '1'", "'layout', '3'"))
    later.close()
    with pytest.raises(UserError, match="layout 3, but this version needs 2"):
        database.open_database(path)
    later = sqlite3.connect(path)
    assert not later.execute("SELECT 1 FROM sqlite_master WHERE name = 'checks'").fetchone()
    later.close()
