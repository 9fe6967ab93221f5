"""A challenge: its phases, valid submissions scored as NTIRE does, and the leaderboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import cli, store
from sfqa.challenge.example_submission import make_example_zip
from sfqa.challenge.leaderboard import build_leaderboard, rank_teams
from sfqa.challenge.phases import Phase, read_phase, split_phases
from sfqa.challenge.scoring import describe_formula, score_submission
from sfqa.challenge.submission import Submission, read_zip
from sfqa.correlation.grid import to_markdown
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.tables import LEADERBOARD
from submissions import NAMES, README, pack, pack_scores

DRAW = random_generator("challenge tests")
MOS = {name: float(DRAW.uniform(1, 5)) for name in NAMES}
SCORES = {name: value + float(DRAW.normal(0, 0.7)) for name, value in MOS.items()}
# --- the score ------------------------------------------------------------------------------


def test_the_main_score_is_the_mean_of_srcc_and_plcc_after_a_cubic(tmp_path: Path) -> None:
    """Against scipy and numpy alone."""
    row = score_submission(
        read_zip(pack_scores(tmp_path / "t.zip", SCORES), NAMES), Phase("test", MOS), "t"
    )
    x, y = np.array([SCORES[n] for n in NAMES]), np.array([MOS[n] for n in NAMES])
    brought = np.polyval(np.polyfit(x, y, 3), x)
    srcc, plcc = stats.spearmanr(x, y)[0], stats.pearsonr(brought, y)[0]
    assert row["srcc"] == pytest.approx(srcc, abs=1e-12)
    assert row["plcc"] == pytest.approx(plcc, abs=1e-9)
    assert row["krcc"] == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-12)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((brought - y) ** 2)), abs=1e-9)
    assert row["main_score"] == pytest.approx((abs(srcc) + abs(plcc)) / 2, abs=1e-9)
    assert (row["status"], row["n"], row["mapping"]) == ("ok", 40, "cubic")
    assert row["runtime"] == "1.50"
    assert row["description"] == "a : b"


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    """Against a loop over scipy with its own resamples, the mapping held."""
    x, y = np.array([SCORES[n] for n in NAMES]), np.array([MOS[n] for n in NAMES])
    brought = np.polyval(np.polyfit(x, y, 3), x)
    draw, found = np.random.default_rng(5), []
    for _ in range(2000):
        rows = draw.integers(0, len(x), len(x))
        srcc = stats.spearmanr(x[rows], y[rows])[0]
        found.append((abs(srcc) + abs(stats.pearsonr(brought[rows], y[rows])[0])) / 2)
    row = score_submission(Submission(SCORES, {}), Phase("test", MOS), "t")
    assert row["main_score_low"] == pytest.approx(np.quantile(found, 0.025), abs=0.02)
    assert row["main_score_high"] == pytest.approx(np.quantile(found, 0.975), abs=0.01)
    assert row["main_score_low"] < row["main_score"] < row["main_score_high"]


def test_without_a_mapping_plcc_is_that_of_the_scores() -> None:
    row = score_submission(Submission(SCORES, {}), Phase("test", MOS), "t", "none")
    x, y = [SCORES[n] for n in NAMES], [MOS[n] for n in NAMES]
    assert row["plcc"] == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-12)
    assert "as given" in describe_formula("none")
    assert "cubic" in describe_formula()


def test_the_sign_is_ignored_and_the_order_of_lines_does_not_matter() -> None:
    phase = Phase("test", MOS)
    row = score_submission(Submission(SCORES, {}), phase, "t")
    turned = {name: -SCORES[name] for name in reversed(NAMES)}
    other = score_submission(Submission(turned, {}), phase, "t")
    assert other["srcc"] == pytest.approx(-row["srcc"], abs=1e-12)
    assert other["main_score"] == pytest.approx(row["main_score"], abs=1e-9)


def test_equal_scores_are_not_scored() -> None:
    row = score_submission(Submission(dict.fromkeys(NAMES, 3.0), {}), Phase("test", MOS), "t")
    assert (row["main_score"], row["status"]) == (None, "failed")
    assert row["detail"].startswith("constant_scores")


def test_ranks_are_shared_by_equals_and_baselines_have_none() -> None:
    phase = Phase("test", MOS)
    better = {name: 0.3 * SCORES[name] + 0.7 * MOS[name] for name in NAMES}
    rows = [
        score_submission(Submission(SCORES, {}), phase, "b"),
        score_submission(Submission(SCORES, {}), phase, "a"),
        score_submission(Submission({}, {}, ["bad"]), phase, "broken"),
        score_submission(Submission(better, {}), phase, "base", baseline=True),
        score_submission(Submission({n: SCORES[n] - 0.9 * MOS[n] for n in NAMES}, {}), phase, "c"),
    ]
    done = rank_teams(rows)
    assert [(r["team"], r["rank"]) for r in done] == [
        ("base", None), ("a", 1), ("b", 1), ("c", 3), ("broken", None),
    ]  # fmt: skip
    store.to_arrow(LEADERBOARD, done)
    assert done[-1]["detail"] == "not_valid: bad"


# --- phases ---------------------------------------------------------------------------------


def test_groups_stay_in_one_part_and_shares_are_near() -> None:
    names = [f"{g:02d}_{n}" for g in range(50) for n in range(6)]
    parts = split_phases(names, [name[:2] for name in names], (0.7, 0.1, 0.2), 1)
    of_group: dict[str, set[str]] = {}
    for name, part in zip(names, parts, strict=True):
        of_group.setdefault(name[:2], set()).add(part)
    assert all(len(own) == 1 for own in of_group.values())
    counts = pd.Series(parts).value_counts()
    assert (counts["train"], counts["development"], counts["test"]) == (210, 30, 60)
    assert parts == split_phases(names, [name[:2] for name in names], (0.7, 0.1, 0.2), 1)
    assert parts != split_phases(names, [name[:2] for name in names], (0.7, 0.1, 0.2), 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,mos\na,1\na,2\n", "row 3: 'a' is there twice"),
        ("name,mos\na,1\nb,x\n", "row 3, column mos: MOS 'x' is no number"),
        ("name,mos\na,1\n,2\n", "row 3: no name"),
        ("name,quality\na,1\n", "which column has the MOS? It has name, quality"),
        ("name,mos\n", "no row"),
    ],
)
def test_mistakes_of_a_phase_file_are_told(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UserError, match=re.escape(said)):
        read_phase(tmp_path / "p.csv")


@pytest.mark.shared
def test_the_phase_of_a_real_challenge_is_read(shared_data: Path) -> None:
    phase = read_phase(shared_data / "thqa_ntire" / "thqa_ntire_val.csv")
    assert len(phase.mos) == 1714
    exact = score_submission(Submission(dict(phase.mos), {}), phase, "oracle")
    assert exact["main_score"] == pytest.approx(1.0, abs=1e-9)


# --- the command line -----------------------------------------------------------------------


def call(*words: Any) -> int:
    return cli.main(["challenge", *map(str, words)])


@pytest.fixture
def phase(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"name": NAMES, "mos": [MOS[n] for n in NAMES]})
    frame.to_csv(tmp_path / "test.csv", index=False)
    return tmp_path / "test.csv"


def test_a_whole_challenge(tmp_path: Path, capsys: Any) -> None:
    table = pd.DataFrame(
        {"video": NAMES, "mos": [MOS[n] for n in NAMES], "image": [n[:2] for n in NAMES]}
    )
    table.loc[3, "mos"] = None
    table.to_csv(tmp_path / "mos.csv", index=False)
    out = tmp_path / "challenge"
    args = ("make", tmp_path / "mos.csv", "--group", "image", "--development", 0.25, "--test", 0.25)
    assert call(*args, "--out", out) == 0
    assert "left out: 1 rows without a MOS" in capsys.readouterr().out
    hidden = {p.stem: pd.read_csv(p) for p in (out / "hidden").iterdir()}
    train = pd.read_csv(out / "public" / "train.csv")
    assert sum(map(len, hidden.values())) + len(train) == 39
    images = [set(frame["name"].str[:2]) for frame in [train, *hidden.values()]]
    assert len(set.union(*images)) == sum(map(len, images))
    public = "".join(p.read_text("utf-8") for p in (out / "public").iterdir() if p.suffix != ".zip")
    for frame in hidden.values():
        assert not any(repr(float(v)) in public for v in frame["mos"])
        assert all(name in public for name in frame["name"])
    for wanted in ("development", "test"):
        example = out / "public" / f"example_{wanted}.zip"
        assert call("score", example, "--phase", out / "hidden" / f"{wanted}.csv") == 0
    assert "main score = (|SRCC| + |PLCC|) / 2" in capsys.readouterr().out
    assert call(*args, "--out", out) == 2
    assert "exists already" in capsys.readouterr().err


def test_score_prints_the_formula_with_its_figures(
    phase: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "s.json"
    assert (
        call("score", pack_scores(tmp_path / "team.zip", SCORES), "--phase", phase, "--out", out)
        == 0
    )
    text = capsys.readouterr().out
    row = json.loads(out.read_text())
    main, srcc, plcc = row["main_score"], row["srcc"], row["plcc"]
    assert f"main score {main:.4f} = ({srcc:.4f} + {plcc:.4f}) / 2" in text
    assert text.startswith("team, phase test (40 videos, ")
    assert row["formula"] == describe_formula()


def test_scores_alone_have_the_same_score_as_with_a_readme(
    phase: Path, tmp_path: Path, capsys: Any
) -> None:
    rows = []
    for name, files in (
        ("alone", {"output.txt": "".join(f"{n},{v!r}\n" for n, v in SCORES.items())}),
        ("both", {"output.txt": "".join(f"{n},{v!r}\n" for n, v in SCORES.items()), "readme.txt": README}),
    ):  # fmt: skip
        out = tmp_path / f"{name}.json"
        path = pack(tmp_path / f"{name}.zip", files)
        assert call("score", path, "--phase", phase, "--out", out) == 0
        rows.append(json.loads(out.read_text()))
        assert ("note: alone.zip: no readme.txt" in capsys.readouterr().out) == (name == "alone")
    assert rows[0]["main_score"] == rows[1]["main_score"]
    assert rows[0]["runtime"] is None
    assert call("leaderboard", tmp_path / "alone.zip", "--phase", phase) == 0
    assert "alone" in capsys.readouterr().out


def test_a_reversed_metric_is_not_marked_as_best() -> None:
    """Main score ignores the sign, and the leaderboard ranks by it; bold is for the direction."""
    reversed_scores = {name: -4 * MOS[name] for name in NAMES}
    rows = [
        score_submission(Submission(scores, {}), Phase("test", MOS), team)
        for team, scores in (("fine", SCORES), ("reversed", reversed_scores))
    ]
    text = to_markdown(build_leaderboard(rank_teams(rows), Phase("test", MOS), "cubic"))
    lines = {team: next(line for line in text.splitlines() if team in line) for team in ("fine", "reversed")}  # fmt: skip
    columns = {team: [cell.strip() for cell in line.split("|")] for team, line in lines.items()}
    assert "against_direction" in text.replace("\\", "")
    for position in (3, 5, 7):  # main score, PLCC, RMSE
        assert columns["fine"][position].startswith("**")
        assert "**" not in columns["reversed"][position]


def test_an_invalid_submission_is_explained_and_ends_with_1(
    phase: Path, tmp_path: Path, capsys: Any
) -> None:
    path = pack(tmp_path / "t.zip", {"output.txt": "name;score\n", "readme.txt": README})
    assert call("score", path, "--phase", phase) == 1
    text = capsys.readouterr().out
    assert "error: output.txt, line 1: 'name;score' has a semicolon" in text
    assert "main score 0" not in text


@pytest.mark.parametrize("suffix", ["md", "html", "tex", "csv"])
def test_the_leaderboard_ranks_the_valid_and_names_the_rest(
    suffix: str, phase: Path, tmp_path: Path, capsys: Any
) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    pack_scores(sent / "second.zip", SCORES)
    pack_scores(sent / "first.zip", {n: SCORES[n] + 2 * MOS[n] for n in NAMES})
    pack(sent / "broken.zip", {"output.txt": "x", "readme.txt": README})
    base = tmp_path / "simple.zip"
    base.write_bytes(make_example_zip(NAMES))
    out = tmp_path / f"l.{suffix}"
    args = ("leaderboard", sent, "--baseline", base, "--phase", phase)
    assert call(*args, "--format", suffix, "--out", out) == 1
    text = out.read_text("utf-8")
    order = ["first", "second", "simple", "broken"]
    assert sorted(order, key=text.index) == order
    assert "no comma" in text
    if suffix == "csv":
        rows = pd.read_csv(out)
        assert rows["rank"].tolist()[:2] == [1, 2]
        assert rows["rank"].isna().tolist()[2:] == [True, True]
        assert rows["baseline"].tolist() == [False, False, True, False]
    else:
        assert "40 videos, 3 valid submissions of 4; main score = (" in text.replace(
            "\\textbar{}", "|"
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "a.zip"], "--phase is needed"),
        (["scroe", "a.zip"], "did you mean 'score'"),
        (["score", "a.zip", "b.zip", "--phase", "PHASE"], "one file, not 2"),
        (["score", "none.zip", "--phase", "PHASE"], "no such file"),
        (["leaderboard", "FOLDER", "--phase", "PHASE"], "no zip"),
        (["make", "PHASE"], "--out is needed"),
        (["make", "PHASE", "--out", "FOLDER/x"], "give one of --group"),
        (["make", "PHASE", "--out", "FOLDER/x", "--group", "imgae"], "no column 'imgae'"),
        (["make", "PHASE", "--out", "FOLDER/x", "--ungrouped", "--test", "1.5"], "at most 1"),
    ],
)
def test_wrong_calls_are_told(
    words: list[str], said: str, phase: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"PHASE": str(phase), "FOLDER": str(tmp_path / "empty")}
    named = [w.replace("FOLDER", places["FOLDER"]).replace("PHASE", places["PHASE"]) for w in words]
    assert call(*named) == 2
    assert said in capsys.readouterr().err


def test_an_own_split_is_taken_as_it_is(tmp_path: Path, capsys: Any) -> None:
    parts = ["train"] * 20 + ["development"] * 10 + ["test"] * 10
    frame = pd.DataFrame({"name": NAMES, "mos": [MOS[n] for n in NAMES], "part": parts})
    frame.to_csv(tmp_path / "m.csv", index=False)
    assert call("make", tmp_path / "m.csv", "--part", "part", "--out", tmp_path / "c") == 0
    assert capsys.readouterr().out.startswith("train: 20 videos\ndevelopment: 10 videos\ntest: 10")
    assert read_phase(tmp_path / "c" / "hidden" / "test.csv").mos == {n: MOS[n] for n in NAMES[30:]}
    frame.loc[4, "part"] = "dev"
    frame.to_csv(tmp_path / "m.csv", index=False)
    assert call("make", tmp_path / "m.csv", "--part", "part", "--out", tmp_path / "d") == 2
    assert "row 6: part 'dev'; write one of train, development, test" in capsys.readouterr().err
