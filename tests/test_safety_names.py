"""Names of files are never words of a command, an address or a pattern: each stage takes them all."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sfqa import media, sheets
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.errors import UserError
from sfqa.features.run import extract_shard
from sfqa.generation.imported import import_shard
from sfqa.generation.importing import list_videos
from sfqa.materials.clips import prepare_clips
from sfqa.materials.images import draw_contact_sheet, prepare_images

NAMES = (
    "plain", "sp ace  two", "it's", 'a "quoted" b', "semi;touch pwned;", "$(touch pwned)",
    "`touch pwned`", "a&touch pwned&b", "a|touch pwned", "a>pwned", "new\nline", "tab\there",
    "-i", "--help", "-y -f null", "~", "*", "?", "[a-b]", "{a,b}", "%03d", "%", "#hash", "a,b=c",
    "ünïcødé", "日本語", "עברית", "e\u0301", "a\\b", "a'b\"c`d$e", "..", "...",
)  # fmt: skip
#: FFmpeg reads what stands before a colon as the name of a protocol.
ADDRESSES = ("a:b", "12:30", "pipe:1", "concat:x|y", "file:x", "http:x", "subfile,,start,0:x")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.normal(0, 1, 16000)).astype(np.float32)
    media.write_wave(folder / "v.wav", sound, 16000)
    frames = (rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(25))
    media.write_video(folder / "v.mp4", frames, 25, folder / "v.wav", preset="ultrafast")
    return folder / "v.mp4"


def conformed(names, video):
    """From a sheet of such names to conformed rows, by relative paths, as a user gives them."""
    for name in names:
        shutil.copyfile(video, f"{name}.mp4")
    with open("videos.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["video", "method", "sample_id"])
        writer.writerows([f"{name}.mp4", "m", f"s{n}"] for n, name in enumerate(names))
    before = {p.name for p in Path().iterdir()}
    samples = pd.DataFrame(list_videos({"sheet": "videos.csv"}, 1))
    assert len(samples) == len(names)
    videos = import_shard(samples, Path("generation"))
    told = {Path(row["path"]).stem: row["detail"] for row in videos if row["status"] != "ok"}
    form = Form(64, 25, 16000, 12, "ultrafast")
    rows = conform_shard(pd.DataFrame(videos), Path("conform"), form, workers=0)
    made = {p.name for p in Path().iterdir()} - before
    assert made == {"generation", "conform"}
    assert not list(Path().rglob("pwned"))
    return told, rows


def same(rows):
    """The same video is conformed to the same bytes and judged the same, whatever its name."""
    assert len({(row["sha256"], row["status"], row["detail"]) for row in rows}) == 1
    assert rows[0]["sha256"]


def test_names_of_files_are_never_words_of_a_command(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, rows = conformed(NAMES, video)
    assert told == {}
    same(rows)


def test_names_of_files_are_never_addresses(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, rows = conformed(ADDRESSES, video)
    assert told == {}
    same(rows)


def test_a_features_job_takes_such_names_too(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for number, name in enumerate(("-i", "a;touch pwned;", "new\nline", "日本語")):
        shutil.copyfile(video, f"{name}.mp4")
        shutil.copyfile(video.with_suffix(".wav"), f"{name}.wav")
        rows.append({
            "sample_id": f"s{number}", "method": "m", "status": "ok", "detail": "",
            "path": f"{name}.mp4", "sha256": f"{number:064x}", "fps": 25.0, "frames": 25,
            "audio_path": f"{name}.wav", "audio_sha256": f"{number:064x}", "sample_rate": 16000,
            "prompt": None,
        })  # fmt: skip
    table, _, _ = extract_shard(
        pd.DataFrame(rows), "signal", {"weights": "none"}, Path("cache"), "0", lambda: None
    )
    kept = table.to_pandas()
    assert set(kept["status"]) <= {"ok", "flawed"}, kept["detail"].tolist()
    assert kept["sharpness"].nunique() == 1
    assert not Path("pwned").exists()


def test_ids_of_samples_never_leave_their_folder(tmp_path):
    with open(tmp_path / "videos.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["video", "method", "sample_id"])
        writer.writerows([
            ["a.mp4", "m", "../../out"], ["b.mp4", "m", "/etc/x"], ["c.mp4", "m", "a;b`c`$d\n"],
        ])  # fmt: skip
    ids = [row["sample_id"] for row in list_videos({"sheet": str(tmp_path / "videos.csv")}, 1)]
    assert len(ids) == 3
    for name in ids:
        assert re.fullmatch(r"[A-Za-z0-9_.+-]+", name)
        assert (tmp_path / f"{name}.mp4").resolve().parent == tmp_path.resolve()


#: A sheet's cells may hold no line breaks and no tabs; nor can a cell begin or end with a space.
TYPED = (*(n for n in NAMES if n.isprintable() and n.strip() == n), *ADDRESSES)


def sheet(name, columns, rows):
    with open(name, "w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([columns, *rows])
    return Path(name)


def test_images_of_such_names_become_the_same_master(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gradient = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    Image.fromarray(gradient).save("first.png")
    rows = []
    for number, name in enumerate(TYPED):
        shutil.copyfile("first.png", f"{name}.png")
        rows.append([f"i{number}", f"{name}.png", "ai", "a;b $(touch pwned) $x_{", "<b>'\"</b>"])
    path = sheet("images.csv", ["image_id", "path", "source", "category", "prompt"], rows)
    made = prepare_images(
        sheets.read_sheet(path, sheets.IMAGE_COLUMNS, sheets.IMAGE_CHOICES), Path("made"), 64
    )
    draw_contact_sheet(made, Path("made.png"))
    assert len(made) == len(TYPED) > 30
    assert {(row["status"], row["detail"]) for row in made} == {("flawed", made[0]["detail"])}
    assert len({row["sha256"] for row in made}) == 1
    assert not Path("pwned").exists()


def test_clips_of_such_names_become_the_same_master(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seconds = np.arange(6 * 16000) / 16000
    voice = 0.3 * np.sin(2 * np.pi * 220 * seconds) * (np.sin(np.pi * seconds) > 0)
    media.write_wave(Path("first.wav"), voice.astype(np.float32), 16000)
    names = ("-i", "it's; touch pwned; 日本語", "concat:x|y")
    rows = []
    for number, name in enumerate(names):
        shutil.copyfile("first.wav", f"{name}.wav")
        rows.append([f"c{number}", f"{name}.wav", "$\\frac{$ pop", "zh <b>", "synthetic", name])
    path = sheet("clips.csv", sheets.CLIP_COLUMNS, rows)
    listed = sheets.read_sheet(path, sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES)
    made = prepare_clips(listed, Path("made"), 16000, plots=True)
    assert len({(row["sha256"], row["status"], row["detail"]) for row in made}) == 1
    assert made[0]["sha256"], made[0]["detail"]
    assert sorted(p.name for p in Path("made").glob("*.png")) == [f"c{n}.png" for n in range(3)]
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", ["new\nline", "tab\there", "nul\0", "\x1b[31m"])
def test_a_sheet_refuses_what_nobody_types(name, tmp_path):
    path = sheet(tmp_path / "c.csv", sheets.CLIP_COLUMNS, [["c", name, "a", "b", "ai", ""]])
    with pytest.raises(UserError, match=r"c\.csv, row 2, column path"):
        sheets.read_sheet(path, sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES)


@pytest.mark.parametrize("method", ["..", ".", "a/b", "../x", "a b", "-n", "a\nb", "{x}", "é"])
def test_a_method_of_a_sheet_becomes_a_folder_and_is_refused_where_it_cannot(method, tmp_path):
    path = sheet(tmp_path / "v.csv", ["video", "method"], [["a.mp4", method]])
    with pytest.raises(UserError, match="becomes a folder"):
        list_videos({"sheet": str(path)}, 1)
