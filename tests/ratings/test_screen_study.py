from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from screen_study import STUDY, make, rows_of, write_plan

from sfqa import cli, tables
from sfqa.errors import UserError
from sfqa.ratings.screen import database, export
from sfqa.ratings.screen.study import Scale, parse_study
from sfqa.ratings.screen.study_tables import (
    PlannedVideo,
    make_media_row,
    read_media,
    read_plan,
)
from sfqa.tables import MEASURED, ROLES, SCORE_DETAILS, STUDY_MEDIA

STUDIES = Path(database.__file__).parent / "studies"


@pytest.mark.parametrize(("name", "dimensions"), [("sfqa", 2), ("lgvq", 3)])
def test_the_studies_of_the_papers_are_whole_in_both_languages(name, dimensions):
    study = parse_study(yaml.safe_load((STUDIES / f"{name}.yaml").read_text(encoding="utf-8")))
    assert len(study.dimensions) == dimensions
    assert study.scale == Scale(1.0, 5.0, 1.0)
    for one in study.page["dimensions"]:
        assert len(one["points"]) == 5
        for point in one["points"]:
            assert all(
                point[part][language] for part in ("word", "text") for language in ("zh", "en")
            )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dimensions": []}, "dimensions: give at least one"),
        ({"dimensions": [{"name": "a"}, {"name": "a"}]}, "each name once"),
        ({"dimensions": [{"name": "a b"}]}, "is not a valid name"),
        ({"dimensions": [{"name": "a", "label": {"en": "A"}}]}, "no text in the language zh"),
        ({"dimensions": [{"name": "a", "lable": "A"}]}, "did you mean 'label'"),
        ({"languages": ["en", "fr"]}, "no language 'fr'"),
        ({"languages": []}, "languages: none"),
        ({"scale": {"low": 5, "high": 1}}, "scale"),
        ({"scale": {"low": 1, "high": 5, "step": 0.3}}, "no whole number of steps"),
        ({"scale": {"step": float("nan")}}, "is not a number"),
        ({"breaks": {"seconds": -1}}, "below 0"),
        ({"replays": 1.5}, "not a whole number"),
        ({"show": {"image": "no"}}, "neither true nor false"),
        ({"titel": "x"}, "did you mean 'title'"),
        ({"dimensions": [{"name": "a", "points": [{"word": "x"}]}]}, "one per point"),
    ],
)  # fmt: skip
def test_a_wrong_study_is_told_by_its_place(change, says):
    with pytest.raises(UserError) as caught:
        parse_study({**STUDY, **change})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"role": "exam"}, "role 'exam'"),
        ({"rater": "../x"}, "is not a valid name"),
        ({"seconds": -1.0}, "below 0"),
        ({"position": 2}, "position 2 is repeated"),
    ],
)
def test_a_wrong_plan_is_told_by_its_row(tmp_path, change, says):
    plan = rows_of("r001")
    plan[0] |= change
    write_plan(tmp_path, plan)
    with pytest.raises(UserError, match=says):
        read_plan(tmp_path / "plan.parquet")


def test_the_plan_comes_in_the_order_of_showing(tmp_path):
    plan = rows_of("r002") + rows_of("r001", session=2) + rows_of("r001")
    write_plan(tmp_path, plan[::-1])
    read = read_plan(tmp_path / "plan.parquet")
    assert [(p.rater, p.session, p.position) for p in read] == sorted(
        (row["rater"], row["session"], row["position"]) for row in plan
    )


def test_media_that_are_not_there_are_told(tmp_path):
    make(tmp_path, rows_of("r001"))
    (tmp_path / "media" / "s1_1.mp4").unlink()
    with pytest.raises(UserError, match=r"sample 's1_1': no file .*s1_1\.mp4"):
        read_media(tmp_path, ["s1_1"])
    with pytest.raises(UserError, match="no row for the sample 'other'"):
        read_media(tmp_path, ["other"])


def test_media_may_be_a_csv(tmp_path):
    make(tmp_path, rows_of("r001", "T"))
    (tmp_path / "media.parquet").unlink()
    with pytest.raises(UserError, match=r"no such file, and no media\.csv"):
        read_media(tmp_path, ["s1_1"])
    (tmp_path / "media.csv").write_text("sample_id,video,title\ns1_1,media/s1_1.mp4,\n")
    media = read_media(tmp_path, ["s1_1"])["s1_1"]
    assert (set(media.files), media.title, media.style) == ({"video"}, None, None)


def test_a_media_row_leads_back_to_its_files(tmp_path):
    video = tmp_path / "conform" / "a.mp4"
    video.parent.mkdir()
    video.write_bytes(b"x")
    folder = tmp_path / "ratings" / "study"
    row = make_media_row(folder, "a", video, title="T")
    assert (folder / row["video"]).resolve() == video
    assert set(row) <= set(STUDY_MEDIA.names)


def test_scale_steps():
    scale = Scale(1, 5, 0.1)
    assert all(scale.contains(1 + n / 10) for n in range(41))
    assert not any(scale.contains(value) for value in (0.9, 5.1, 3.25, float("nan"), float("inf")))


def plan_of(rows):
    return [PlannedVideo(**row) for row in rows]


def answer(connection, place, at=5.0):
    (identity,) = connection.execute(
        "SELECT id FROM presentations WHERE (rater, session, position) = (?, ?, ?)", place
    ).fetchone()
    scores = {"quality": float(place[2] % 5 + 1), "consistency": 2.0}
    assert (
        database.put_answer(connection, identity, at, at - 3, scores, '{"plays": 1}', None)
        == "stored"
    )
    return identity, scores


def test_a_longer_plan_keeps_what_was_rated(tmp_path):
    connection = database.open_database(tmp_path / "study.db")
    first = rows_of("r001", "TTT")
    assert database.sync_plan(connection, plan_of(first)) == (3, 0)
    ids = dict(connection.execute("SELECT position, id FROM presentations"))
    answer(connection, ("r001", 1, 1))
    longer = [*first, *rows_of("r001", "TT", session=2), *rows_of("r002", "T")]
    assert database.sync_plan(connection, plan_of(longer)) == (3, 0)
    kept = dict(
        connection.execute(
            "SELECT position, id FROM presentations WHERE rater='r001' AND session=1"
        )
    )
    assert kept == ids
    assert database.sync_plan(connection, plan_of(longer)) == (0, 0)
    assert database.sync_plan(connection, plan_of(first)) == (0, 3)


def test_a_plan_that_contradicts_a_rating_is_refused_whole(tmp_path):
    connection = database.open_database(tmp_path / "study.db")
    first = rows_of("r001", "TTT")
    database.sync_plan(connection, plan_of(first))
    answer(connection, ("r001", 1, 2))
    before = connection.execute("SELECT * FROM presentations ORDER BY id").fetchall()
    other = [dict(row) for row in first]
    other[0]["sample_id"], other[1]["sample_id"] = other[1]["sample_id"], other[0]["sample_id"]
    for wrong in (other, first[:1], [dict(row, role="gold") for row in first]):
        with pytest.raises(UserError, match="position 2 was rated as"):
            database.sync_plan(connection, plan_of(wrong))
        assert connection.execute("SELECT * FROM presentations ORDER BY id").fetchall() == before


def test_a_foreign_file_is_no_database(tmp_path):
    (tmp_path / "study.db").write_bytes(b"not a database, at all " * 100)
    with pytest.raises(UserError, match="not a study's database"):
        database.open_database(tmp_path / "study.db")
    other = database.open_database(tmp_path / "other.db")
    database.set_setting(other, "layout", "99")
    other.close()
    with pytest.raises(UserError, match="layout 99"):
        database.open_database(tmp_path / "other.db")


def test_the_same_answer_counts_once_and_another_is_refused(tmp_path):
    connection = database.open_database(tmp_path / "study.db")
    database.sync_plan(connection, plan_of(rows_of("r001")))
    identity, scores = answer(connection, ("r001", 1, 1))
    again = (identity, 9.0, 8.0)
    assert database.put_answer(connection, *again, dict(scores), "{}", "x") == database.REPEATED
    assert (
        database.put_answer(connection, *again, scores | {"quality": 1.0}, "{}", None)
        == database.CHANGED
    )
    assert database.put_answer(connection, *again, {"quality": 2.0}, "{}", None) == database.CHANGED
    assert dict(connection.execute("SELECT dimension, score FROM scores")) == scores
    assert connection.execute("SELECT at, comment FROM answers").fetchall() == [(5.0, None)]


def test_writer_shares_commits_and_a_wrong_job_harms_no_other(tmp_path):
    writer = database.Writer(tmp_path / "study.db")

    def wrong(connection):
        database.add_event(connection, 0.0, None, "half")
        raise ValueError("no")

    jobs = []
    for n in range(50):
        jobs.append(writer.submit(lambda c, n=n: database.add_event(c, float(n), None, "ok")))
        jobs.append(writer.submit(wrong))
    assert all(job.exception(timeout=30) is None for job in jobs[::2])
    assert all(isinstance(job.exception(timeout=30), ValueError) for job in jobs[1::2])
    writer.close()
    connection = database.open_database(tmp_path / "study.db")
    kinds = [row[0] for row in connection.execute("SELECT kind FROM events")]
    assert kinds == ["ok"] * 50


def test_export_is_what_was_entered(tmp_path, capsys):
    make(tmp_path, rows_of("r001") + rows_of("r002", "TT"))
    connection = database.open_database(tmp_path / "study.db")
    database.sync_plan(connection, read_plan(tmp_path / "plan.parquet"))
    given = {}
    for place in [("r001", 1, n) for n in range(1, 8)] + [("r002", 1, 1)]:
        given[place] = answer(connection, place, at=1_700_000_000.5)[1]
    connection.close()
    assert cli.main(["rate", "export", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    details = pq.read_table(tmp_path / "out" / "score_details.parquet")
    assert details.schema.names == SCORE_DETAILS.names
    found = {}
    for row in details.to_pylist():
        found.setdefault((row["rater"], row["session"], row["position"]), {})[row["dimension"]] = (
            row["score"]
        )
        assert row["answered_at"] == "2023-11-14T22:13:20.500+00:00"
        assert row["since_served_sec"] == 3.0
        assert (row["plays"], row["stalls"]) == (1, None)
    assert found == given
    scores = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert scores.schema.names == tables.SCORES.names
    counted = {(r["rater"], r["sample_id"], r["dimension"]): r["score"] for r in scores.to_pylist()}
    assert counted == {
        (rater, sample, dimension): score
        for (rater, sample), place in {
            ("r001", "s1_1"): ("r001", 1, 3), ("r001", "s1_2"): ("r001", 1, 4), ("r002", "s1_1"): ("r002", 1, 1),
        }.items()
        for dimension, score in given[place].items()
    }  # fmt: skip
    assert "6 scores" in capsys.readouterr().out


def test_agreement_against_numbers_by_hand():
    rows = [
        {"rater": rater, "sample_id": sample, "dimension": "q", "score": float(score)}
        for rater, scores in {"a": (1, 2, 3, 4), "b": (2, 1, 3, 4), "c": (4, 3, 2, 1), "d": (3, 3, 3, 3)}.items()
        for sample, score in zip("wxyz", scores, strict=True)
    ] + [{"rater": "e", "sample_id": "alone", "dimension": "q", "score": 1.0}]  # fmt: skip
    # The others' means of w, x, y, z, each times 3, for a: 9, 7, 8, 8; b: 8, 8, 8, 8; c: 6, 6, 9, 11.
    from scipy.stats import spearmanr

    found = export.compute_agreement(rows)["q"]
    assert found["a"] == pytest.approx(spearmanr([1, 2, 3, 4], [9, 7, 8, 8]).statistic, abs=1e-12)
    assert found["c"] == pytest.approx(spearmanr([4, 3, 2, 1], [6, 6, 9, 11]).statistic, abs=1e-12)
    assert (found["b"], found["d"], found["e"]) == (None, None, None)
    assert export.compute_agreement([]) == {}


def test_roles_and_measures_are_columns():
    assert set(ROLES) == {"training", "test", "repeat", "gold", "trap"}
    assert {name for name, *_ in MEASURED} < set(SCORE_DETAILS.names)


def test_links_are_made_once_and_renewed_one_by_one(tmp_path, capsys):
    make(tmp_path, rows_of("r001", "T") + rows_of("r002", "T"))
    out = tmp_path / "links.csv"
    words = ["rate", "links", str(tmp_path)]
    assert cli.main([*words, "--url", "https://x.example/", "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["who", "organiser", "r001", "r002"]
    assert lines[1].startswith("organiser,https://x.example/o/")
    assert lines[2].startswith("r001,https://x.example/r/")
    assert out.stat().st_mode & 0o077 == 0
    token = lines[2].rpartition("/")[2]
    assert token.encode() not in (tmp_path / "study.db").read_bytes()
    capsys.readouterr()
    assert cli.main([*words, "--renew", "r001", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert capsys.readouterr().out == ""
    assert cli.main([*words, "--renew", "r001"]) == 0
    assert capsys.readouterr().out.startswith("r001\thttp://127.0.0.1:8765/r/")
    assert cli.main([*words, "--renew", "r0001"]) == 2
    assert "did you mean 'r001'" in capsys.readouterr().err
    assert cli.main(["rate", "link", str(tmp_path)]) == 2
    assert "did you mean 'links'" in capsys.readouterr().err
