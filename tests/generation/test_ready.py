"""Videos of a built dataset that were made elsewhere and put into their method's folder."""

import logging
import shutil
from pathlib import Path

import pytest

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.generation import check
from sfqa.generation.imported import import_ready
from sfqa.generation.ready import (
    digest_ready,
    find_ready,
    list_ready,
    warn_about_unused_videos,
)
from sfqa.generation.registry import Method
from videos import make_video

PAIRS = ("a.1__c", "b+2__c", "c__c", "d__c", "e__c")


@pytest.fixture
def method() -> Method:
    return Method("Veo", "Veo", 2025, "not known", "import", "", 1, False)


@pytest.fixture
def samples(samples, clip):
    """Five samples of an imported method; the clip lasts 4 s."""
    rows = [
        samples.iloc[0].to_dict()
        | {"sample_id": f"{p}__Veo", "method": "Veo", "pair_id": p, "shard": 0}
        for p in PAIRS
    ]
    return store.to_arrow(tables.SAMPLES, rows).to_pandas()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A method's folder with a good, a mute, a broken, a too long and no video."""
    place = tmp_path / "generators/Veo"
    (place / "videos").mkdir(parents=True)
    make_video(tmp_path / "good.mp4", frames=25)
    shutil.move(tmp_path / "good.mp4", place / "videos/a.1__c.mov")
    make_video(place / "videos/b+2__c.mp4", frames=25, sound=False)
    (place / "videos/c__c.mkv").write_bytes(b"rubbish" * 99)
    make_video(tmp_path / "long.mp4", frames=130)
    shutil.move(tmp_path / "long.mp4", place / "videos/d__c.webm")
    return place


def test_rows_of_ready_videos(folder, samples, method, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "sfqa"):
        rows = import_ready(samples, method, folder)
    store.to_arrow(tables.VIDEOS, rows)
    words = {r["sample_id"][:-5]: (r["status"], r["detail"].split(":")[0]) for r in rows}
    assert words == {
        "a.1__c": ("ok", ""),
        "b+2__c": ("failed", "no_audio"),
        "c__c": ("failed", "broken"),
        "d__c": ("failed", "too_long"),
        "e__c": ("failed", "no_video"),
    }
    good, missing = rows[0], rows[4]
    assert good["path"] == str(folder / "videos/a.1__c.mov")
    assert good["sha256"] == identity.sha256_file(good["path"])
    assert good["clip_path"] == samples["clip_path"][0]
    assert not good["reproducible"]
    assert missing["detail"] == (
        "no_video: there is none of Veo for the pair e__c, make it elsewhere and put it at "
        f"{folder}/videos/e__c.mp4 (or .mov, .webm, .mkv)"
    )
    assert (missing["path"], missing["sha256"]) == (None, None)
    assert caplog.messages[0].startswith("Veo 1 of 5: a.1__c__Veo ok (")
    assert caplog.messages[-1].endswith(" left, 4 failed)")
    assert not (folder / "records").exists()  # nothing is written into the user's folder


def test_a_video_of_another_form_is_flawed(folder, samples, method):
    other = Method(**{**method.__dict__, "expect": {"width": 64.0, "fps": 24.0, "seconds": 2.0}})
    row = import_ready(samples[:1], other, folder)[0]
    assert (row["status"], row["detail"]) == (
        "flawed",
        "unexpected_form: 25 instead of 24 frames per second, 1.00 instead of 2 s",
    )


def test_what_was_checked_is_not_decoded_again_until_its_bytes_change(
    folder, samples, method, tmp_path, monkeypatch
):
    rows = import_ready(samples, method, folder, tmp_path / "records")
    looked = []
    real = check.find_problem
    monkeypatch.setattr(
        check, "find_problem", lambda path, **k: looked.append(Path(path).name) or real(path, **k)
    )
    assert import_ready(samples, method, folder, tmp_path / "records") == rows
    assert looked == []
    shutil.copy(folder / "videos/a.1__c.mov", folder / "videos/c__c.mkv")
    shutil.copy(folder / "videos/a.1__c.mov", folder / "videos/e__c.mp4")
    again = import_ready(samples, method, folder, tmp_path / "records")
    assert looked == ["c__c.mkv", "e__c.mp4"]
    assert [r["status"] for r in again] == ["ok", "failed", "ok", "failed", "ok"]


def test_several_videos_of_one_pair_are_a_sentence(folder, samples, method):
    (folder / "videos/a.1__c.mp4").touch()
    with pytest.raises(UserError, match=r"videos: a.1__c.mov, a.1__c.mp4 are all videos of one"):
        import_ready(samples, method, folder)


def test_a_video_is_found_by_its_whole_name(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a__c1.mp4", "a__c.mp4.part", "a__c.txt", "xa__c.mp4"):
        (tmp_path / "videos" / name).touch()
    (tmp_path / "videos/a__c.webm").mkdir()
    assert find_ready(list_ready(tmp_path), {"pair_id": "a__c", "sample_id": "a__c__m"}) is None
    (tmp_path / "videos/a__c.mkv").touch()
    assert find_ready(list_ready(tmp_path), {"pair_id": "a__c"}) == tmp_path / "videos/a__c.mkv"


def test_the_digest_notices_new_and_renamed_videos_only(tmp_path):
    empty = digest_ready(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/notes.txt").touch()
    assert digest_ready(tmp_path) == empty
    video = tmp_path / "videos/a__c.mp4"
    video.touch()
    one = digest_ready(tmp_path)
    assert one != empty
    video.write_bytes(b"other")
    assert digest_ready(tmp_path) == one
    video.rename(tmp_path / "videos/b__c.mp4")
    assert digest_ready(tmp_path) not in (one, empty)


@pytest.mark.parametrize("name", ["a__c.MP4", "a__c.Mov", "a__c.gif", "a__c.TS", "a__c.wmv"])
def test_every_video_suffix_is_taken_in_any_case(tmp_path, name):
    empty = digest_ready(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / name).touch()
    assert find_ready(list_ready(tmp_path), {"pair_id": "a__c"}) == tmp_path / "videos" / name
    assert digest_ready(tmp_path) != empty


def test_videos_of_no_pair_are_counted_and_named(tmp_path, caplog):
    (tmp_path / "videos").mkdir()
    for name in ("a__c.mp4", "b__c.MOV", "a_c.mp4", "notes.txt"):
        (tmp_path / "videos" / name).touch()
    warn_about_unused_videos(tmp_path, [{"pair_id": "a__c"}, {"pair_id": "b__c"}])
    (message,) = caplog.messages
    assert "videos: 1 file left out: a_c.mp4; no pair has their names" in message
