"""Raw video with its sound in another file: the same result as from a container, or a reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa import media, store, tables
from sfqa.configuration import complete_config
from sfqa.conform.run import conform_shard
from sfqa.conform.video import conform_row
from sfqa.errors import UserError
from sfqa.generation.imported import import_shard
from sfqa.generation.importing import list_videos
from sfqa.raw_form import PIXEL_FORMATS, RawForm, parse_form
from sfqa.shard_index import read_shards
from sfqa.watch import Watch

from .conftest import FORM, made

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"
RATE = "30000/1001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A raw video and its sound, and the same in a container, in the shape of LIVE-SJTU."""
    data = tmp_path / "data"
    (data / "Distorted").mkdir(parents=True)
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=160x96:r={RATE}:d=1.2")
    tone = ("-f", "lavfi", "-i", "sine=f=440:d=1.2:r=48000")
    raw = made(
        data / "Distorted" / "City_QP16.yuv", *picture, "-pix_fmt", "yuv420p", "-f", "rawvideo"
    )
    sound = made(data / "Distorted" / "City_128kbps.wav", *tone)
    form = ("-f", "rawvideo", "-s", "160x96", "-pix_fmt", "yuv420p", "-r", RATE)
    made(tmp_path / "reference.mkv", *form, "-i", raw, "-i", sound, "-c:v", "ffv1", "-c:a", "copy")
    (data / "Distorted" / "City_64kbps.wav").write_bytes(sound.read_bytes())
    (data / "MOS.csv").write_text(
        "yuv,wav,mos,w,h,rate\n"
        f"City_QP16.yuv,City_128kbps.wav,70,160,96,{RATE}\n"
        f"City_QP16.yuv,City_64kbps.wav,60,160,96,{RATE}\n"
    )
    return data


def make_source(folder: Path, **raw: Any) -> dict[str, Any]:
    columns = {"wav": "wav", "w": "w", "h": "h", "rate": "rate"}
    form = {"width": "{w}", "height": "{h}", "fps": "{rate}", "pixel_format": "yuv420p"}
    return {
        "folder": str(folder),
        "labels": {"files": "MOS.csv", "video": "yuv", "path": "Distorted/{yuv}",
                   "mos": {"quality": "mos"}, "columns": columns},
        "keys": ["wav", "w", "h", "rate"], "samples_by": ["wav"], "constant": {"method": "QP16"},
        "raw": {**form, "audio": "Distorted/{wav}", **raw},
    }  # fmt: skip


def import_rows(folder: Path, tmp_path: Path, **raw: Any) -> pd.DataFrame:
    samples = list_videos(make_source(folder, **raw), 1)
    rows = import_shard(pd.DataFrame(samples), tmp_path / "generation" / "QP16")
    return store.to_arrow(tables.VIDEOS, rows).to_pandas()


def test_raw_video_and_sound_become_the_same_as_from_a_container(
    folder: Path, tmp_path: Path
) -> None:
    videos = import_rows(folder, tmp_path)
    assert videos["status"].tolist() == ["ok", "ok"]
    assert videos["sha256"].nunique() == 1  # the sounds are equal, whatever their names
    assert (
        videos["size_bytes"][0]
        == 36 * 160 * 96 * 3 / 2 + (folder / "Distorted/City_128kbps.wav").stat().st_size
    )
    rows = conform_shard(videos, tmp_path / "conform", FORM, workers=0)
    container = tmp_path / "reference.mkv"
    plain = {"sample_id": "r", "method": "m", "shard": 0, "source_path": str(container)}
    reference_videos = import_shard(pd.DataFrame([plain]), tmp_path / "g")
    (reference,) = conform_shard(
        store.to_arrow(tables.VIDEOS, reference_videos).to_pandas(), tmp_path / "r", FORM, workers=0
    )
    for row in rows:
        assert row["source_width"] == 160
        assert abs(row["source_duration_sec"] - 36 * 1001 / 30000) < 0.001
        for name in ("sha256", "audio_sha256", "frames", "source_fps", "status", "detail"):
            assert row[name] == reference[name], name
    assert not list(tmp_path.rglob("*.nut"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"width": 162}, r"raw_size: .*City_QP16.yuv has 829440 bytes, .*162x96 yuv420p \(23328 bytes each"),
        ({"pixel_format": "yuv444p10le", "frames": 36},
             "raw_size: .* has 9 frames of 160x96 yuv444p10le where 36 are expected"),
            ({"pixel_format": "yuv422p", "frames": "36"}, "raw_size: .* 27 frames"),
        ({"audio": "Distorted/{video.name}.wav"}, "no_audio: there is no file .*City_QP16.yuv.wav with"),
        ({"audio": "MOS.csv"}, "broken: .*MOS.csv"),
        ({"fps": 240}, "too_short: .*0.15 s"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_rows_with_a_reason(
    raw: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    videos = import_rows(folder, tmp_path, **raw)
    assert videos["status"].tolist() == ["failed", "failed"]
    assert pd.Series(videos["detail"]).str.match(message).all(), videos["detail"][0]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"width": "{width}"}, r"MOS.csv, row 2: the template '\{width\}' has"),
        ({"width": "{wav}"}, r"MOS.csv, row 2, import.raw, width: 'City_128kbps.wav'; write a whole"),
        ({"fps": "{wav}"}, "row 2, import.raw, fps: 'City_128kbps.wav'; write frames per second"),
        ({"pixel_format": "yuv420"}, "pixel_format: 'yuv420' is not read; did you mean 'yuv420p'"),
        ({"fps": "0"}, "fps: '0'; write frames"),
        ({"height": 1}, "height: '1'; write a whole number of pixels"),
    ],
)  # fmt: skip
def test_impossible_forms_name_the_row(raw: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(UserError, match=message):
        list_videos(make_source(folder, **raw), 1)


def test_raw_video_without_a_form_is_named(folder: Path) -> None:
    source = make_source(folder)
    del source["raw"]
    with pytest.raises(UserError, match=r"MOS.csv, row 2: there is no 'Distorted/City_QP16.yuv'"):
        list_videos(source, 1)
    plain = {"folder": str(folder), "pattern": "(?P<method>.*)"}
    with pytest.raises(
        UserError, match=r"no video in it; describe raw videos such as Dist.* in import.raw"
    ):
        list_videos(plain, 1)
    with pytest.raises(UserError, match="City_QP16.yuv is raw video, .*write width, height"):
        list_videos({**plain, "glob": "**/*.yuv", "pattern": ".*/(?P<method>.*).yuv"}, 1)


def test_a_changed_form_or_sound_is_another_video(folder: Path, tmp_path: Path) -> None:
    first = import_rows(folder, tmp_path)["sha256"].tolist()
    assert import_rows(folder, tmp_path)["sha256"].tolist() == first
    assert import_rows(folder, tmp_path, fps="2997/100")["sha256"][0] != first[0]
    assert import_rows(folder, tmp_path, fps="60000/2002")["sha256"][0] == first[0]
    assert import_rows(folder, tmp_path, width=96, height=160)["sha256"][0] != first[0]
    videos = import_rows(folder, tmp_path)
    made(folder / "Distorted/City_64kbps.wav", "-f", "lavfi", "-i", "sine=f=220:d=1.2:r=48000")
    assert (import_rows(folder, tmp_path)["sha256"] == first).tolist() == [True, False]
    row = conform_row(store.to_records(videos)[1], tmp_path / "conform", FORM)
    assert row["detail"].startswith("broken: ")
    assert "changed while the workflow ran" in row["detail"]


def test_both_files_are_watched(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    table = results / "generation" / "QP16" / "0.parquet"
    store.write(tables.VIDEOS, import_rows(folder, tmp_path), table)
    assert Watch(results).check_files() == []
    (folder / "Distorted/City_QP16.yuv").touch()
    assert Watch(results).check_files() == []
    with open(folder / "Distorted/City_64kbps.wav", "ab") as handle:
        handle.write(b"\0")
    assert [Path(p).name for p in Watch(results).check_files()] == ["City_64kbps.wav"]


def test_the_form_changes_the_digest_of_its_shard_only(folder: Path, tmp_path: Path) -> None:
    def write_samples(name: str, **raw: Any) -> Any:
        path = tmp_path / name / "samples.parquet"
        store.write(tables.SAMPLES, list_videos(make_source(folder, **raw), 1), path)
        return read_shards(path)

    assert write_samples("a") == write_samples("b")
    assert write_samples("a") != write_samples("c", fps=25)


def test_sizes_of_frames_are_those_of_ffmpeg(tmp_path: Path) -> None:
    for pixel_format in PIXEL_FORMATS:
        for width, height in ((64, 48), (33, 17)):
            command = [
                media.ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "color=s=64x48:r=1:d=1",
                "-vf", f"scale={width}:{height}", "-pix_fmt", pixel_format, "-f", "rawvideo", "pipe:",
            ]  # fmt: skip
            size = len(subprocess.run(command, capture_output=True, check=True).stdout)
            assert RawForm(width, height, "1", pixel_format).frame_bytes == size, pixel_format


def test_a_sheet_describes_raw_videos_by_constants(folder: Path, tmp_path: Path) -> None:
    sheet = folder / "sheet.csv"
    sheet.write_text("video,method\nDistorted/City_QP16.yuv,QP16\n")
    raw = {"width": 160, "height": 96, "fps": RATE, "pixel_format": "yuv420p"}
    source = {"sheet": str(sheet), "raw": {**raw, "audio": "{video.path}.wav"}}
    (row,) = list_videos(source, 1)
    sound = str(folder / "Distorted/City_QP16.wav")
    form = RawForm(160, 96, RATE, "yuv420p", sound)
    assert json.loads(row["raw"]) == json.loads(form.to_json())
    (silent,) = list_videos({**source, "raw": raw}, 1)
    (video,) = import_shard(pd.DataFrame([silent]), tmp_path / "g")
    assert (video["status"], video["sound_path"]) == ("ok", None)
    conformed = conform_row(video, tmp_path / "conform", FORM)
    assert conformed["frames"] == 30
    assert "audio_path" not in conformed


def test_a_configuration_with_impossible_constants_is_refused(folder: Path) -> None:
    config = {
        "dataset": "x", "mode": "import_videos", "import": make_source(folder, width=1),
    }  # fmt: skip
    with pytest.raises(UserError, match="config, import.raw, width: '1'"):
        complete_config(config, SCHEMA)
    config |= {"import": make_source(folder), "conform": {"mode": "none"}}
    with pytest.raises(UserError, match="conform.mode: raw videos"):
        complete_config(config, SCHEMA)
    config["conform"] = {"mode": "encode"}
    complete_config(config, SCHEMA)
    assert parse_form({"width": " 64 ", "height": 48, "fps": 25, "pixel_format": "NV12"}, "")
