"""Raw videos, shared files, keys and published trials in one run, from a folder to the tables."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from flow import Flow, nothing_to_do
from sfqa import media, store, tables

SCENES, CODES = ("City", "Lake", "Wood", "Zoo", "Farm", "Hall"), ("QP16", "QP50_S")
SOUNDS = ("128kbps", "8kbps")
INPUTS = [f"signal.{name}" for name in ("sharpness", "contrast", "noise", "si_mean", "ti_mean")]
PROTOCOLS: list[dict[str, Any]] = [
    {"name": "published", "kind": "listed_trials", "allow_shared": True,
     "lists": {"files": {"train": "train_{trial}.txt", "test": "test_{trial}.txt"}, "trials": 2}},
    {"name": "by_content", "kind": "group_kfold", "groups": ["content"], "k": 3},
    {"name": "leave_one_content_out", "kind": "leave_one_group_out", "groups": ["content"]},
    {"name": "random", "kind": "random_kfold", "k": 2},
]  # fmt: skip


def write_dataset(folder: Path) -> list[str]:
    """Write a small LIVE-SJTU: each picture file with two sounds; return the sample ids."""
    (folder / "Distorted").mkdir(parents=True)

    def run_ffmpeg(*arguments: str) -> None:
        command = [media.ffmpeg_exe(), "-v", "error", "-y", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    rows, ids = ["yuv,wav,content,code,rate,frames,mos"], []
    for s, scene in enumerate(SCENES):
        for k, sound in enumerate(SOUNDS):
            tone = f"sine=f={200 + 50 * s + 400 * k}:d=1"
            run_ffmpeg("-f", "lavfi", "-i", tone, str(folder / f"Distorted/{scene}_{sound}.wav"))
        for c, code in enumerate(CODES):
            picture = folder / f"Distorted/{scene}_{code}.yuv"
            source = f"testsrc2=s=96x64:r=25:d=1,hue=h={60 * s},gblur=sigma={1 + 2 * c}"
            run_ffmpeg(
                "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-f", "rawvideo", str(picture)
            )
            for k, sound in enumerate(SOUNDS):
                mos = 80 - 20 * c - 9 * k - s
                rows.append(f"{picture.name},{scene}_{sound}.wav,{scene},{code},25,25,{mos}")
                ids.append(f"{scene}_{code}-{scene}_{sound}.wav")
    (folder / "MOS.csv").write_text("\n".join(rows) + "\n")
    for trial in (1, 2):
        test = ids[trial - 1 :: 3]
        (folder / f"test_{trial}.txt").write_text("\n".join(test) + "\n")
        (folder / f"train_{trial}.txt").write_text("\n".join(i for i in ids if i not in test))
    return ids


@pytest.mark.slow
@pytest.mark.thorough
def test_raw_videos_with_two_sounds_become_tables(tmp_path: Path) -> None:
    ids = write_dataset(tmp_path / "data")
    columns = {
        "wav": "wav",
        "content": "content",
        "method": "code",
        "rate": "rate",
        "frames": "frames",
    }
    config = {
        "dataset": "sjtu", "mode": "import_videos", "shards": 1,
        "import": {
            "folder": "data", "keys": ["wav", "content", "rate", "frames"], "samples_by": ["wav"],
            "labels": {"files": "MOS.csv", "video": "yuv", "match": "name",
                       "mos": {"quality": "mos"}, "columns": columns},
            "raw": {"width": 96, "height": 64, "fps": "{rate}", "pixel_format": "yuv420p",
                    "frames": "{frames}", "audio": "Distorted/{wav}"},
        },
        "conform": {"short_side": 64, "expect": []},
        "ratings": {"source": "labels"},
        "features": {"signal": {"weights": "none"}},
        "regression": {
            "protocols": PROTOCOLS,
            "metrics": {"ridge": {"kind": "regressor", "group": "Ours", "head": "ridge", "inputs": INPUTS}},
        },
        "correlation": {"bootstrap": 50},
    }  # fmt: skip
    flow = Flow(tmp_path, config)
    flow.run()
    samples = store.read(tables.SAMPLES, flow.results / "samples.parquet")
    assert sorted(samples["sample_id"]) == sorted(ids)
    conformed = store.read(tables.CONFORMED, flow.results / "conform/videos.parquet")
    assert set(conformed["status"]) <= {"ok", "flawed"}
    assert set(conformed["frames"]) == {25}
    predictions = store.read(
        tables.PREDICTIONS, flow.results / "regression/ridge/predictions.parquet"
    )
    for trial in (1, 2):
        rows = predictions[
            (predictions["protocol"] == "published") & (predictions["trial"] == trial)
            & (predictions["part"] == "test")
        ]  # fmt: skip
        assert sorted(rows["sample_id"]) == sorted(ids[trial - 1 :: 3])
        assert rows["prediction"].notna().all()
    caption = (flow.results / "correlation/leakage.md").read_text()
    assert "The published trials of 'published' are not disjoint: up to " in caption
    assert "train and test share no value of content" in caption
    assert nothing_to_do(flow.run())
    # Another sound of one file: one sample is conformed again, and rated rows stay.
    wave = tmp_path / "data/Distorted/City_8kbps.wav"
    wave.write_bytes((tmp_path / "data/Distorted/Zoo_128kbps.wav").read_bytes())
    flow.run()
    after = store.read(tables.CONFORMED, flow.results / "conform/videos.parquet")
    both = conformed.merge(after, on="sample_id")
    changed = both[both["source_sha256_x"] != both["source_sha256_y"]]["sample_id"]
    assert sorted(changed) == sorted(i for i in ids if i.endswith("City_8kbps.wav"))
    assert nothing_to_do(flow.run())
