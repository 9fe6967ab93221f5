import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import ffmpeg
import numpy as np
import pandas as pd
import pytest

from sfqa import identity, media, store, tables
from sfqa.errors import UserError
from sfqa.generation import check
from sfqa.generation.imported import import_shard
from sfqa.generation.importing import digest_source, list_videos
from sfqa.generation.video_form import VideoForm, describe_differences, measure_form
from videos import make_video

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"
PATTERN = r"(?P<method>[^/]+)/(?P<image>[^_]+)_(?P<clip>[^_]+)\.mp4"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def sheet(folder: Path, text: str) -> dict[str, str]:
    (folder / "videos.csv").write_text(text)
    return {"sheet": str(folder / "videos.csv")}


def source(folder: Path, **more: str) -> dict[str, str]:
    return {"folder": str(folder), "glob": "**/*.mp4", "pattern": PATTERN, **more}


def test_a_sheet(tmp_path):
    given = sheet(
        tmp_path,
        "video,method,image_id,clip_id,sample_id,split,prompt\n"
        'a/1.mp4,SadT,i1,c1,,train,"a singer, smiling"\n'
        "a/2.mp4,SadT,,,,,\n"
        "a/3.mp4,AniP,i1,c1,my own,val,\n",
    )
    rows = list_videos(given, 4)
    store.to_arrow(tables.SAMPLES, rows)
    by_id = {r["sample_id"]: r for r in rows}
    assert list(by_id) == ["2__SadT", "i1__c1__SadT", "my-own"]
    first = by_id["i1__c1__SadT"]
    assert first["pair_id"] == "i1__c1"
    assert first["source_path"] == str(tmp_path / "a/1.mp4")
    assert (first["prompt"], first["split"]) == ("a singer, smiling", "train")
    assert first["shard"] == identity.shard_of("i1__c1__SadT", 4)
    assert by_id["2__SadT"]["pair_id"] is None
    assert by_id["2__SadT"]["prompt"] is None


def test_other_config_keys_are_not_looked_at(tmp_path):
    given = sheet(tmp_path, "video,method\na.mp4,m\n")
    full = {**given, "glob": "**/*.mp4", "unmatched": "error", "features": "all"}
    assert list_videos(full, 2) == list_videos(given, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,methd\n", "unknown column 'methd'; did you mean 'method'"),
        ("video\na.mp4\n", "the column 'method' is missing"),
        ("method\nm\n", "the column 'video' is missing"),
        ("video,method,image,image_id\n", "two columns for 'image_id'"),
        ("video,method\n", "no videos in it"),
        ("video,method\n,m\n", "row 2, column video: it is empty"),
        ("video,method\na.mp4,\n", "row 2: no method"),
        ("video,method\na.mp4,m\nb.mp4\n", "row 3: 1 cells where the header has 2"),
        ("video,method\na.mp4,m,x\n", "row 2: 3 cells where the header has 2"),
        ("video,method,split\na.mp4,m,tran\n", "row 2: split 'tran'; did you mean 'train'"),
        ("video,method\na/x.mp4,m\nb/x.mp4,m\n", "row 2 and {s}, row 3 both become"),
        ("video,method\nX.mp4,m\nb/x.mp4,m\n", "both become the sample 'x__m'"),
        ("video,method,sample_id\na.mp4,m,---\n", "no letter or digit is left"),
    ],
)
def test_mistakes_of_sheets(tmp_path, text, message):
    given = sheet(tmp_path, text)
    with pytest.raises(UserError) as caught:
        list_videos(given, 2)
    assert message.format(s=given["sheet"]) in str(caught.value)
    assert given["sheet"] in str(caught.value)


def test_missing_sources(tmp_path):
    with pytest.raises(UserError, match="there is no such table of videos"):
        list_videos({"sheet": str(tmp_path / "no.csv")}, 2)
    with pytest.raises(UserError, match="there is no such folder"):
        list_videos(source(tmp_path / "no"), 2)
    with pytest.raises(UserError, match="give either 'sheet' or 'folder'"):
        list_videos({}, 2)
    with pytest.raises(UserError, match="needs a 'pattern'"):
        list_videos({"folder": str(touch(tmp_path, "a.mp4"))}, 2)


def test_a_folder(tmp_path):
    touch(tmp_path, "SadT/i1_c1.mp4", "SadT/i1_c2.mp4", "Sonic/i1_c1.mp4", "Sonic/notes.txt")
    touch(tmp_path, "Sonic/.i9_c9.mp4")
    rows = list_videos(source(tmp_path), 3)
    store.to_arrow(tables.SAMPLES, rows)
    assert [r["sample_id"] for r in rows] == ["i1__c1__SadT", "i1__c1__Sonic", "i1__c2__SadT"]
    assert rows[0]["source_path"] == str(tmp_path / "SadT/i1_c1.mp4")
    assert (rows[0]["image_id"], rows[0]["clip_id"], rows[0]["method"]) == ("i1", "c1", "SadT")


def test_names_become_safe(tmp_path):
    touch(tmp_path, "MyMethod/a b_ü.mp4")
    (row,) = list_videos(source(tmp_path), 1)
    assert row["sample_id"] == "a-b__-__MyMethod"
    assert row["method"] == "MyMethod"


def test_an_empty_match_names_the_glob_or_the_pattern(tmp_path):
    with pytest.raises(UserError, match=r"no file matches the glob '\*\*/\*\.mp4'"):
        list_videos(source(tmp_path), 1)
    touch(tmp_path, "a.mp4")
    with pytest.raises(UserError, match=r"none of its 1 files matches the pattern '\(\?P<method>"):
        list_videos(source(tmp_path, unmatched="skip"), 1)


def test_files_that_do_not_match(tmp_path):
    touch(tmp_path, "SadT/i1_c1.mp4", *(f"odd{n}.mp4" for n in range(7)))
    with pytest.raises(UserError) as caught:
        list_videos(source(tmp_path), 1)
    assert "7 of 8 files do not match" in str(caught.value)
    assert "odd0.mp4, odd1.mp4, odd2.mp4, odd3.mp4, odd4.mp4, ...;" in str(caught.value)
    assert len(list_videos(source(tmp_path, unmatched="skip"), 1)) == 1


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<method>", "is not a regular expression"),
        (r"(?P<metod>.*)\.mp4", "unknown group 'metod'; did you mean 'method'"),
        (r"(?P<image>.)(?P<image_id>.*)\.mp4", "two groups for 'image_id'"),
        (r"(?P<image>.*)\.mp4", "no method"),
    ],
)
def test_mistakes_of_patterns(tmp_path, pattern, message):
    touch(tmp_path, "abc.mp4")
    with pytest.raises(UserError) as caught:
        list_videos(source(tmp_path, pattern=pattern), 1)
    assert message in str(caught.value).replace(f" in {pattern!r}", "")


def test_two_files_of_one_name(tmp_path):
    touch(tmp_path, "one/m_x.mp4", "two/m_x.mp4")
    with pytest.raises(UserError) as caught:
        list_videos(source(tmp_path, pattern=r".*/(?P<method>[^_]+)_.*"), 1)
    assert "one/m_x.mp4 and " in str(caught.value)
    assert "two/m_x.mp4 both become the sample 'm_x__m'" in str(caught.value)


def folder_source(folder: Path, **more: str) -> dict[str, str]:
    return {"folder": str(folder), "pattern": r"(?P<clip>[^.]+)_(?P<method>m)\.\w+", **more}


def test_a_folder_gives_every_video_whatever_the_case_of_its_suffix(tmp_path, caplog):
    names = ("a_m.mp4", "b_m.MP4", "c_m.MOV", "d_m.gif", "e_m.ts", "f_m.Mpg", "g_m.wmv", "h_m.FLV",
             "i_m.ogv", "j_m.3GP", "k_m.h264", "l_m.webm", "n_m.MKV", "o_m.AVI", "p_m.M4V",
             "q_m.apng", "r_m.266")  # fmt: skip
    touch(tmp_path, *names, "notes.txt", ".hidden_m.mp4")
    rows = list_videos(folder_source(tmp_path), 1)
    assert [Path(r["source_path"]).name for r in rows] == sorted(names)
    assert caplog.messages == []
    before = digest_source(folder_source(tmp_path))
    touch(tmp_path, "s_m.MTS")
    assert digest_source(folder_source(tmp_path)) != before


def test_a_glob_ignores_the_case_of_its_suffix(tmp_path):
    touch(tmp_path, "a_m.mp4", "b_m.MP4", "c_m.mov")
    rows = list_videos(folder_source(tmp_path, glob="*.mp4"), 1)
    assert [r["clip_id"] for r in rows] == ["a", "b"]


def test_files_that_are_left_out_are_counted_and_named(tmp_path, caplog):
    touch(tmp_path, "a_m.mp4", "b_m.MOV", "x.WebM", "deep/c.ts", "face.PNG", "clip.wav")
    list_videos(folder_source(tmp_path, glob="*.mp4"), 1)
    assert caplog.messages == [
        f"{tmp_path}: 3 files left out: b_m.MOV, deep/c.ts, x.WebM; glob or pattern do not match "
        "them; correct these to import them",
        f"{tmp_path}: 2 files left out: clip.wav, face.PNG; their names are not those of videos; "
        "give a 'glob' that matches them if they are",
    ]
    caplog.clear()
    list_videos(folder_source(tmp_path, unmatched="skip"), 1)
    assert "2 files left out: deep/c.ts, x.WebM; glob or pattern" in caplog.messages[0]


def test_videos_that_a_sheet_does_not_list_are_counted_and_named(tmp_path, caplog):
    touch(tmp_path, "a.mp4", "b.MP4", "c.gif", "notes.txt", "deep/d.mp4")
    given = sheet(tmp_path, "video,method\na.mp4,m\n./c.gif,m\n")
    list_videos(given, 1)
    assert caplog.messages == [
        f"{tmp_path}: 1 file left out: b.MP4; {given['sheet']} does not list them; add a row for "
        "each to use it"
    ]


def test_the_digest_notices_names_and_not_bytes(tmp_path):
    touch(tmp_path, "SadT/i1_c1.mp4", "SadT/i1_c2.mp4")
    before = digest_source(source(tmp_path))
    (tmp_path / "SadT/i1_c1.mp4").write_bytes(b"other")
    touch(tmp_path, "SadT/notes.txt")
    assert digest_source(source(tmp_path)) == before
    touch(tmp_path, "SadT/i1_c3.mp4")
    after = digest_source(source(tmp_path))
    assert after != before
    (tmp_path / "SadT/i1_c3.mp4").rename(tmp_path / "SadT/i1_c4.mp4")
    assert digest_source(source(tmp_path)) not in (before, after)


def test_the_digest_of_a_sheet_is_that_of_its_content(tmp_path):
    before = digest_source(sheet(tmp_path, "video,method\na.mp4,m\n"))
    assert digest_source(sheet(tmp_path, "video,method\na.mp4,m\n")) == before
    assert digest_source(sheet(tmp_path, "video,method\nb.mp4,m\n")) != before


def test_rows_of_videos(tmp_path, monkeypatch):
    make_video(tmp_path / "good.mp4", frames=25)
    make_video(tmp_path / "mute.mp4", frames=25, sound=False)
    (tmp_path / "bad.mp4").write_bytes(b"rubbish" * 99)
    names = ("good", "mute", "bad", "gone")
    given = sheet(tmp_path, "video,method\n" + "".join(f"{n}.mp4,m\n" for n in names))
    samples = store.to_arrow(tables.SAMPLES, list_videos(given, 1)).to_pandas()
    rows = import_shard(samples, tmp_path / "out")
    store.to_arrow(tables.VIDEOS, rows)
    by_id = {r["sample_id"][:4].strip("_"): r for r in rows}
    assert {n: r["status"] for n, r in by_id.items()} == {
        "good": "ok", "mute": "ok", "bad": "failed", "gone": "failed",
    }  # fmt: skip
    good = by_id["good"]
    assert good["path"] == str(tmp_path / "good.mp4")
    assert good["sha256"] == identity.sha256_file(tmp_path / "good.mp4")
    assert good["size_bytes"] == (tmp_path / "good.mp4").stat().st_size
    assert by_id["bad"]["detail"].startswith("broken: ")
    assert by_id["gone"]["detail"].startswith("no_video: ")
    assert by_id["gone"]["path"] is None
    assert not any(r["reproducible"] for r in rows)

    looked = []
    real = check.find_problem
    monkeypatch.setattr(
        check, "find_problem", lambda path, **k: looked.append(Path(path).name) or real(path, **k)
    )
    assert import_shard(samples, tmp_path / "out") == rows
    assert looked == ["gone.mp4"]
    shutil.copy(tmp_path / "good.mp4", tmp_path / "bad.mp4")
    again = import_shard(samples, tmp_path / "out")
    assert looked == ["gone.mp4", "bad.mp4", "gone.mp4"]
    assert Counter(r["status"] for r in again) == {"ok": 3, "failed": 1}


def clip_of(path: Path, size: tuple[int, int], fps: float, frames: int) -> Path:
    """A silent video of (width, height), as text-to-video methods make."""
    shades = [np.full((size[1], size[0], 3), 8 * n % 255, np.uint8) for n in range(frames)]
    media.write_video(path, shades, fps)
    return path


#: VideoCrafter in LGVQ's Table 1, at an eighth of its size.
EXPECT = {"fps": 8.0, "width": 32.0, "height": 32.0, "seconds": 2.0}


def test_a_video_of_another_form_than_its_method_gives_is_flawed(tmp_path, monkeypatch):
    clip_of(tmp_path / "right.mp4", (32, 32), 8, 16)
    clip_of(tmp_path / "wide.mp4", (64, 32), 8, 16)
    clip_of(tmp_path / "fast.mp4", (32, 32), 12, 24)
    clip_of(tmp_path / "long.mp4", (96, 64), 25, 100)
    names = ("right", "wide", "fast", "long", "gone")
    given = sheet(tmp_path, "video,method,prompt\n" + "".join(f"{n}.mp4,m,a {n}\n" for n in names))
    samples = store.to_arrow(tables.SAMPLES, list_videos(given, 1)).to_pandas()

    def told(method):
        rows = import_shard(samples, tmp_path / "out", method)
        store.to_arrow(tables.VIDEOS, rows)
        assert all(bool(r["sha256"]) == (r["status"] != "failed") for r in rows)
        return {r["sample_id"][: -len("__m")]: (r["status"], r["detail"]) for r in rows}

    found = told({"label": "m", "kind": "import", "expect": EXPECT})
    assert found.pop("gone")[0] == "failed"
    assert found == {
        "right": ("ok", ""),
        "wide": ("flawed", "unexpected_form: width 64 instead of 32 pixels"),
        "fast": ("flawed", "unexpected_form: 12 instead of 8 frames per second"),
        "long": (
            "flawed",
            "unexpected_form: width 96 instead of 32 pixels, height 64 instead of 32 pixels, "
            "25 instead of 8 frames per second, 4.00 instead of 2 s",
        ),
    }
    # What is expected may change without a look at the videos; a method may have nothing to expect.
    monkeypatch.setattr(check, "find_problem", lambda path, **k: f"no_video: {path}")
    wide = told({"expect": {"width": 64.0}})
    assert wide["wide"] == ("ok", "")
    assert wide["right"] == ("flawed", "unexpected_form: width 32 instead of 64 pixels")
    for method in (None, {"expect": {}}, {"label": "m"}):
        assert {s for n, (s, _) in told(method).items() if n != "gone"} == {"ok"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r | {"form": None},
        lambda r: r | {"form": [1, 2]},
        lambda r: r | {"form": [None] * 4},
        lambda r: r | {"key": [0]},
        lambda r: [r],
    ],
)
def test_a_damaged_record_is_a_miss(tmp_path, damage):
    clip_of(tmp_path / "a.mp4", (32, 32), 8, 16)
    given = sheet(tmp_path, "video,method\na.mp4,m\n")
    samples = store.to_arrow(tables.SAMPLES, list_videos(given, 1)).to_pandas()
    rows = import_shard(samples, tmp_path, {"expect": EXPECT})
    record = tmp_path / "records/a__m.json"
    kept = record.read_text()
    record.write_text(json.dumps(damage(json.loads(kept))))
    assert import_shard(samples, tmp_path, {"expect": EXPECT}) == rows
    assert record.read_text() == kept


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (VideoForm(1408, 768, 23.976, 4.0), []),
        (VideoForm(1408, 768, 24.23, 4.49), []),
        (VideoForm(1408, 768, 24.25, 4.0), ["24.25 instead of 24 frames per second"]),
        (VideoForm(1408, 768, 24.0, 3.5), []),
        (VideoForm(1408, 768, 24.0, 3.49), ["3.49 instead of 4 s"]),
        (VideoForm(1406, 768, 24.0, 4.0), ["width 1406 instead of 1408 pixels"]),
        (VideoForm(768, 1408, 24.0, 4.0), ["width 768 instead", "height 1408 instead of 768"]),
    ],
)
def test_tolerances_of_the_form(form, words):
    said = describe_differences({"fps": 24, "width": 1408, "height": 768, "seconds": 4.0}, form)
    assert bool(said) == bool(words)
    assert all(word in said for word in words)


def test_a_frame_may_last_longer_than_half_a_second():
    expect = {"fps": 1.25, "seconds": 4.0}
    assert describe_differences(expect, VideoForm(8, 8, 1.25, 4.8)) == ""
    assert "4.81 instead of 4 s" in describe_differences(expect, VideoForm(8, 8, 1.25, 4.81))
    assert describe_differences({"seconds": 4.0}, VideoForm(8, 8, 1.25, 4.8)) == ""
    assert "5.20 instead of 4 s" in describe_differences(
        {"seconds": 4.0}, VideoForm(8, 8, 0.0, 5.2)
    )


def test_the_form_is_that_of_the_picture_as_shown(tmp_path):
    path = clip_of(tmp_path / "a.mp4", (64, 32), 10, 24)
    assert measure_form(path) == VideoForm(64, 32, 10.0, 2.4)
    turned = tmp_path / "turned.mp4"
    stream = ffmpeg.input(str(path), display_rotation=90).output(str(turned), c="copy")
    media.run_ffmpeg(stream, turned)
    assert measure_form(turned) == VideoForm(32, 64, 10.0, 2.4)


@pytest.mark.shared
@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside the checkout")
def test_the_real_videos_come_in_by_both_doors(tmp_path):
    with open(REAL / "manifest.csv", newline="") as handle:
        listed = [r for r in csv.DictReader(handle) if r["kind"] == "video"]
    assert len(listed) == 36
    path = tmp_path / "videos.csv"
    pd.DataFrame(
        {
            "video": [str(REAL / r["path"]) for r in listed],
            "method": [r["method"] for r in listed],
            "language": [r["language"] for r in listed],
        }
    ).to_csv(path, index=False)
    by_sheet = list_videos({"sheet": str(path)}, 4)
    samples = store.to_arrow(tables.SAMPLES, by_sheet).to_pandas()
    rows = import_shard(samples, tmp_path)
    store.to_arrow(tables.VIDEOS, rows)
    assert [r["detail"] for r in rows if r["status"] != "ok"] == []
    known = {str(REAL / r["path"]): (r["sha256"], int(r["bytes"])) for r in listed}
    assert {r["path"]: (r["sha256"], r["size_bytes"]) for r in rows} == known

    pattern = r"(?P<method>sadtalker)_(?P<image>art_\d+)_(?P<clip>[^_]+)\.mp4"
    crossed = list_videos(
        {"folder": str(REAL / "videos"), "pattern": pattern, "unmatched": "skip"}, 4
    )
    assert len(crossed) == 16
    assert {"art_10", "art_11", "art_14", "art_6"} <= {r["image_id"] for r in crossed}
    assert {r["clip_id"] for r in crossed} == {"poem1", "poem2", "news"}


def test_archives_are_named_with_unpack_first(tmp_path):
    (tmp_path / "videos.ZIP").write_bytes(b"PK")
    with pytest.raises(UserError, match="no video in it; unpack videos.ZIP first"):
        list_videos({"folder": str(tmp_path), "pattern": "(?P<method>.*)"}, 1)
    with pytest.raises(UserError, match="videos.ZIP is an archive; unpack it first"):
        list_videos({"folder": str(tmp_path), "glob": "*.zip", "pattern": "(?P<method>.*).ZIP"}, 1)
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("video,method\nvideos.ZIP,m\n")
    with pytest.raises(UserError, match="row 2: videos.ZIP is an archive; unpack it first"):
        list_videos({"sheet": str(sheet)}, 1)
