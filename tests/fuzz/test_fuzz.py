"""Broken and strange files: each becomes a row with a reason, in time, whatever it does.

Every eighth file and the ones that once did harm by default; with SFQA_TESTS=all, minutes, all of them.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corrupt import NAMES, recipes, write_all
from fuzz_runs import LIMIT_SEC, PEAK_MB, Fuzz, Outcome, frames, table

from sfqa import store, tables

FORM: dict[str, Any] = {
    "short_side": 64, "fps": 25.0, "sample_rate": 16000, "crf": 30, "preset": "ultrafast",
}  # fmt: skip
#: One without weights, one that needs picture and sound, one that needs a few frames.
EXTRACTORS: dict[str, dict[str, Any]] = {
    "signal": {"weights": "none", "options": {"max_shift": 3}},
    "lse": {"weights": "random", "options": {"min_track": 2, "max_shift": 3, "detect_every": 5}},
    "clip": {"weights": "random", "options": {"model": "sfqa-fuzz"}},
}
#: Seconds that an extractor may take to read one of them; more than LONG are allowed to need more.
READ_SEC, LONG = 20.0, 60.0
#: What each measures where it measures anything.
COLUMN = {"signal": "sharpness", "lse": "lse_d", "clip": "image"}
#: Files that hung, crashed, ate the memory or went wrong otherwise when this test was written.
HARMFUL = {
    "field_frames_billion", "flip_hevc_1e-03", "impostor_playlist_of_itself", "impostor_svg",
    "place_device", "place_pipe", "strange_picture_gap_hours", "strange_picture_from_hour_9",
    "strange_sound_from_hour_9", "strange_times_backwards", "strange_fps_10000_25_frames",
    "strange_frame_2x2000", "field_codec_unknown", "size_7_stsd",
}  # fmt: skip
#: Files that are well and take seconds.
LARGE = {"strange_frame_8k", "strange_frame_15k", "strange_sound_hour"}
#: What must be among the words of a file's reason, where that is known beforehand.
KNOWN = {
    "strange_sound_alone": "broken", "strange_no_packets": "broken", "strange_wav": "broken",
    "strange_picture_alone": "silent", "place_folder": "broken", "place_loop": "broken",
    "place_dangling": "broken", "place_missing": "broken", "place_pipe": "broken",
    "place_device": "broken", "boxes_no_moov": "broken", "boxes_no_mdat": "broken",
    "strange_frame_2x2": "silent", "field_codec_unknown": "broken", "impostor_empty": "broken",
    "impostor_text": "broken", "strange_sound_from_hour_9": "broken",
}  # fmt: skip
#: Sound videos, however they are named: nothing may be found wrong with them.
SOUND = {f"name_{n}" for n in NAMES} | {"boxes_trailing_noise", "field_brand"}


def test_there_are_200_and_they_are_the_same_at_every_call(tmp_path: Path) -> None:
    names = list(recipes(tmp_path / "bases"))
    assert len(names) - len(NAMES) >= 200
    assert HARMFUL | set(KNOWN) | SOUND <= set(names)
    chosen = ["flip_mp4_1e-03", "cut_mp4_0", "torn_noise", "boxes_moov_deep", "field_delta_huge"]
    first, second = (write_all(chosen, tmp_path / n) for n in "ab")
    for name in chosen:
        assert first[name].read_bytes() == second[name].read_bytes()


def chosen(folder: Path, whole: bool) -> dict[str, Path]:
    names = list(recipes(folder / "bases"))
    few = (set(names[::8]) | HARMFUL | SOUND) - LARGE
    names = [n for n in names if whole or n in few]
    if os.geteuid() == 0:
        names = [n for n in names if n != "place_forbidden"]
    return write_all(names, folder)


def check_reason(name: str, status: str, detail: str, late: bool = False) -> None:
    """A row is ok or says why not, and the reason is no accident of the package."""
    assert status in tables.STATUSES, (name, status)
    assert (status == "ok") == (not detail), (name, status, detail)
    for part in detail.split("; ") if detail else []:
        assert re.match(r"[a-z0-9_]+: \S", part), (name, detail)
        assert not part.startswith("unexpected"), (name, detail)
        assert late or not part.startswith("timed_out"), (name, detail)
    assert not re.search(r"\[\d\d:\d\d|0x[0-9a-f]{6}", detail), (name, "differs at every run")


def check(fuzz: Fuzz, samples: dict[str, Path], outcomes: dict[str, Outcome]) -> None:
    fatal = {n: o.detail for n, o in outcomes.items() if o.status not in tables.STATUSES}
    assert not fatal, "\n".join(f"{n}: {d}" for n, d in fatal.items())
    assert outcomes.keys() == samples.keys()
    assert fuzz.peak_mb < PEAK_MB
    assert not [p for p in fuzz.folder.rglob(".*") if p.is_file()], "temporary files were left"


def check_conformed(conformed: pd.DataFrame, samples: dict[str, Path], mode: str) -> None:
    """What is said to be a video is one, by ffmpeg's own count."""
    assert sorted(conformed["sample_id"]) == sorted(samples)
    for row in store.to_records(conformed):
        name = row["sample_id"]
        check_reason(name, row["status"], row["detail"])
        if row["status"] == tables.FAILED:
            continue
        count, clean = frames(Path(row["path"]))
        if mode == "encode":
            assert (count, clean) == (row["frames"], True), name
        else:
            assert count > 0, name
            assert row["status"] != "ok" or clean, name


def check_features(name: str, made: pa.Table, conformed: pd.DataFrame) -> None:
    """A row per video; numbers where it is not failed, and never of a video that did not decode."""
    assert made["sample_id"].to_pylist() == conformed["sample_id"].tolist()
    earlier = dict(zip(conformed["sample_id"], conformed["status"], strict=True))
    long = set(conformed["sample_id"][conformed["duration_sec"] > LONG])
    column = COLUMN[name]
    for row in made.select(["sample_id", "status", "detail", column]).to_pylist():
        name = row["sample_id"]
        check_reason(name, row["status"], row["detail"], late=name in long)
        assert (row["status"] == tables.FAILED) == (row[column] is None), row
        assert row["status"] == tables.FAILED or earlier[name] != tables.FAILED


@pytest.mark.parametrize("mode", [pytest.param("encode", marks=pytest.mark.thorough), "none"])
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_every_broken_file_is_a_row_with_a_reason(fuzz: Fuzz, mode: str, whole: bool) -> None:
    samples = chosen(fuzz.folder / "made", whole)
    outcomes = fuzz.run("conform", samples, form={**FORM, "mode": mode})
    print(table(outcomes))
    check(fuzz, samples, outcomes)
    assert not {n: o.seconds for n, o in outcomes.items() if o.seconds > LIMIT_SEC}
    for name in set(outcomes) & set(KNOWN):
        assert KNOWN[name] in outcomes[name].words, (name, outcomes[name])
    for name in set(outcomes) & SOUND:
        assert outcomes[name].status == "ok", (name, outcomes[name])

    conformed = store.read(tables.CONFORMED, fuzz.folder / "0.parquet")
    check_conformed(conformed, samples, mode)
    kept = {p.stem for p in (fuzz.folder / "videos").rglob("*.*")}
    failed = set(conformed["sample_id"][conformed["status"] == tables.FAILED])
    assert not kept & failed, "a failed video left its file"

    # Without conforming it is the extractors that meet the broken bytes.
    named = EXTRACTORS if whole or mode == "none" else {}
    stage = dict.fromkeys(named, Path())
    measured = fuzz.run("extract", stage, extractors=named, limit=READ_SEC)
    check(fuzz, stage, measured)
    for name in named:
        made = pq.read_table(fuzz.folder / name / "0.parquet")
        check_features(name, made, conformed)
        print(name, round(measured[name].seconds, 1), made["status"].value_counts().to_pylist())
        detail = dict(zip(made["sample_id"].to_pylist(), made["detail"].to_pylist(), strict=True))
        for sound in SOUND & set(detail):
            assert detail[sound] == "", (name, sound)


def test_a_playlist_opens_no_address(fuzz: Fuzz) -> None:
    """No file may make the workflow call somebody."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            try:
                while True:
                    calls.append(server.accept()[1])
            except OSError:
                pass

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{port}/v.ts"
        lists = {
            "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
            "concat": "ffconcat version 1.0\nfile {}\n",
            "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
            '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{}</BaseURL>'
            "<SegmentBase/></Representation></AdaptationSet></Period></MPD>",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 9 RTP/AVP 96\na=control:{}\n",
        }
        samples = {}
        for name, text in lists.items():
            for suffix in ("mp4", "m3u8"):
                path = fuzz.folder / f"{name}.{suffix}"
                path.write_text(text.format(address))
                samples[f"{name}_{suffix}"] = path
        outcomes = fuzz.run("conform", samples, form=FORM)
        server.close()
    assert {o.status for o in outcomes.values()} == {"failed"}, outcomes
    assert not calls
