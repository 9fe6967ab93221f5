from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.report.rejects import check_share, collect_rejects, render_page, split_detail

IMAGES = pd.DataFrame(
    {
        "image_id": ["i1", "i2", "i3"],
        "status": ["ok", "failed", "flawed"],
        "detail": ["", "no_face: none found", "small: 90 pixels; turned: profile view"],
    }
)
VIDEOS = pd.DataFrame(
    {
        "sample_id": ["s1", "s2", "s3", "s4"],
        "method": ["sonic", "sonic", "float", "float"],
        "status": ["failed", "failed", "ok", "failed"],
        "detail": ["broken: no frame", "silent: no sound; cut_short: 2 s", "", "silent: no sound"],
    }
)
PREDICTIONS = pd.DataFrame(
    {
        "metric": ["m", "m", "n"],
        "trial": [0, 1, 0],
        "sample_id": ["s1", "s1", "s1"],
        "status": ["flawed", "failed", "failed"],
        "detail": ["no_face: none", "no_face: none", "other_word: x"],
    }
)
STAGES = {"images": IMAGES, "videos": VIDEOS, "predictions": PREDICTIONS}


def test_every_row_that_is_not_ok_is_collected_once() -> None:
    rows = collect_rejects(STAGES)
    assert [(r["stage"], r["item"], r["method"], r["status"]) for r in rows] == [
        ("images", "i2", None, "failed"),
        ("images", "i3", None, "flawed"),
        ("predictions", "s1", None, "failed"),
        ("predictions", "s1", None, "failed"),
        ("videos", "s1", "sonic", "failed"),
        ("videos", "s2", "sonic", "failed"),
        ("videos", "s4", "float", "failed"),
    ]
    assert [r["detail"] for r in rows if r["stage"] == "predictions"] == [
        "no_face: none",
        "other_word: x",
    ]


def test_collected_rows_fit_the_table(tmp_path: Path) -> None:
    store.write(tables.REJECTS, collect_rejects(STAGES), tmp_path / "rejects.parquet")
    back = store.read(tables.REJECTS, tmp_path / "rejects.parquet")
    assert len(back) == 7
    assert back["method"].isna().sum() == 4


def test_nothing_bad_is_no_row() -> None:
    assert collect_rejects({"images": IMAGES[:1], "videos": VIDEOS[:0]}) == []


def test_a_table_without_status_is_named() -> None:
    with pytest.raises(UserError, match=r"stage pairs: .* its columns are pair_id"):
        collect_rejects({"pairs": pd.DataFrame({"pair_id": ["a"]})})
    with pytest.raises(UserError, match="sample_id"):
        collect_rejects({"odd": pd.DataFrame({"status": [], "detail": []})})


words = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
sentences = (
    st.text("ab 1.,;", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda s: s and not s.endswith(";"))
)


@given(st.lists(st.tuples(words, sentences), max_size=4))
def test_details_come_apart_as_they_were_joined(parts: list[tuple[str, str]]) -> None:
    assert split_detail("; ".join(f"{word}: {text}" for word, text in parts)) == parts


def test_a_detail_without_a_word_is_kept() -> None:
    assert split_detail("Something went wrong") == [("other", "Something went wrong")]
    assert split_detail("") == []


@pytest.mark.parametrize("as_rows", [False, True])
def test_too_many_failures_stop_with_a_sentence(as_rows: bool) -> None:
    rows = VIDEOS.to_dict("records") if as_rows else VIDEOS
    with pytest.raises(UserError) as caught:
        check_share("videos", rows, 0.5)
    text = str(caught.value)
    for part in ("stage videos", "3 of 4", "75.0 %", "0.5", "silent (2)", "s2: no sound"):
        assert part in text
    assert "raise max_failed" in text


def test_the_limit_itself_passes() -> None:
    check_share("videos", VIDEOS, 0.75)
    check_share("images", IMAGES, 1 / 3)
    check_share("images", IMAGES[:0], 0.0)
    check_share("images", [], 0.0)
    check_share("images", IMAGES[IMAGES["status"] != "failed"], 0.0)
    with pytest.raises(UserError):
        check_share("images", IMAGES, 0.33)


def table_rows(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(<td.*?)</tr>", page)
    return [[html.unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_summary_counts_stages_and_reasons() -> None:
    rows = table_rows(render_page(STAGES))
    assert ["images", "3", "1", "1", "1", "33.3 %"] in rows
    assert ["videos", "4", "1", "0", "3", "75.0 %"] in rows
    assert ["videos", "failed", "silent", "2", "s2: no sound"] in rows
    assert ["videos", "failed", "cut_short", "1", "s2: 2 s"] in rows
    assert ["images", "flawed", "turned", "1", "i3: profile view"] in rows


def test_summary_escapes_and_survives_emptiness() -> None:
    frame = pd.DataFrame(
        {"clip_id": ["a|b"], "status": ["failed"], "detail": ["broken: <b> | pipe"]}
    )
    page = render_page({"clips": frame, "videos": VIDEOS[:0]})
    assert "a|b: &lt;b&gt; | pipe" in page
    assert ["videos", "0", "0", "0", "0", "–"] in table_rows(page)
    assert "None." in render_page({"videos": VIDEOS[2:3]})
    assert "http" not in page
