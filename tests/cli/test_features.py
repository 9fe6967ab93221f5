from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from csv_files import read_csv
from sfqa import cli, identity, store, tables
from sfqa.cli import _extract, _feature_tables
from sfqa.cli import features as command
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.device import lease_torch_device
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.run import extract_shard
from sfqa.generation.imported import import_shard
from videos import make_video

# Quick: nothing is read ahead, but in the fixture `scored`.
pytestmark = pytest.mark.usefixtures("without_workers")

ROOT = Path(__file__).parents[2]
FORM = Form(short_side=64, fps=25, sample_rate=16000, crf=12, preset="veryfast")
AS_IS = _extract.make_form(None, None, encode=False)
SIGNAL = ["--extractor", "signal", "--short-side", "64", "--quiet"]
LSE = ["--extractor", "lse", "--weights", "random", "--set", "detect_every=10", "--set", "max_shift=5",
       "--short-side", "128", "--quiet"]  # fmt: skip


def by_the_workflow(file: Path, name: str, spec: dict, folder: Path, form: Form = FORM):
    """What the scripts of the rules import_videos, conform_videos and extract_features do."""
    sample = dict.fromkeys(tables.SAMPLES.names)
    sample |= {"sample_id": "a__m", "method": "m", "shard": 0, "source_path": str(file)}
    store.write(tables.VIDEOS, import_shard(pd.DataFrame([sample]), folder / "g"), folder / "v")
    rows = conform_shard(store.read(tables.VIDEOS, folder / "v"), folder / "c", form)
    store.write(tables.CONFORMED, rows, folder / "c.parquet")
    conformed = store.read(tables.CONFORMED, folder / "c.parquet")
    made = extract_shard(
        conformed, name, spec, folder / "cache", "m/0", lambda: lease_torch_device(1)
    )
    return made[0]


@pytest.fixture(scope="module")
def scored(face_video, tmp_path_factory):
    """A call with random weights, what it printed and its CSV and Parquet."""
    folder = tmp_path_factory.mktemp("scored")
    words = ["features", str(face_video), *LSE, "--cache", str(folder / "c"), "--out"]
    first = io.StringIO()
    with redirect_stdout(first):
        assert cli.main([*words, str(folder / "table.parquet")]) == 0
    done = subprocess.run(
        [str(ROOT / "sfqa"), *words, "table.csv"], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, {"parquet": first.getvalue(), "csv": done.stdout}


@pytest.mark.thorough
def test_the_numbers_are_those_of_the_workflow(scored, face_video, tmp_path):
    folder, _ = scored
    form = Form(**{**FORM.__dict__, "short_side": 128})
    options = {"detect_every": 10, "max_shift": 5}
    spec = {"weights": "random", "weights_seed": 0, "options": options}
    table = by_the_workflow(face_video, "lse", spec, tmp_path, form)
    expected = table.to_pylist()[0]
    (row,) = pq.read_table(folder / "table.parquet").to_pylist()
    for feature in base.load_extractor("lse").FEATURES:
        assert row[f"lse.{feature.name}"] == expected[feature.name], feature.name
    assert row["lse.key"] == expected["key"]
    assert row["lse.status"] == expected["status"] != "failed"
    (text,) = read_csv(folder / "table.csv")
    assert float(text["lse.lse_c"]) == expected["lse_c"]
    assert int(text["lse.offset"]) == expected["offset"]
    assert "lse.mean_distance" not in text


def test_untrained_weights_are_said_everywhere(scored):
    folder, said = scored
    lines = said["csv"].splitlines()
    assert lines[0].startswith("lse (VERSION ")
    assert "weights: random (untrained, seed 0)" in lines[0]
    assert "UNTRAINED" in lines[1]
    assert lines[3].split()[-1] == "weights"
    assert lines[4].split()[-1] == "untrained"
    assert read_csv(folder / "table.csv")[0]["lse.weights"] == "random (untrained, seed 0)"
    about = store.read_metadata(folder / "table.parquet")["lse"]
    assert about["weights"] == {"kind": "random", "identity": "random:0"}
    assert about["options"]["detect_every"] == 10


def test_screen_and_parquet_show_tensors(scored):
    folder, said = scored
    head, row = said["parquet"].splitlines()[3:5]
    assert "mean_distance" in head
    assert "11 numbers" in row
    table = pq.read_table(folder / "table.parquet")
    field = table.schema.field("lse.mean_distance")
    assert field.metadata[b"axes"] == b"shift"
    assert base.read_tensor(table.column("lse.mean_distance"), field, 0).shape == (11,)


def test_a_second_call_with_a_cache_computes_nothing(scored):
    folder, said = scored
    assert said["csv"] == said["parquet"]
    found = list((folder / "c/features/lse/cache").rglob("*.rows"))
    assert [p.read_bytes().count(b"SFQArow") for p in found] == [1]


def test_files_folders_and_stems_make_rows(videos, tmp_path, capsys):
    make_video(tmp_path / "one.mp4", seed=3)
    out = tmp_path / "t.csv"
    words = [str(videos), str(tmp_path / "o*.mp4"), *SIGNAL, "--out", str(out)]
    assert cli.main(["features", *words]) == 0
    rows = read_csv(out)
    assert [r["video"] for r in rows] == [
        "two.webm",
        f"{videos.name}__one",
        f"{tmp_path.name}__one",
    ]
    assert [r["path"] for r in rows][2] == str(tmp_path / "one.mp4")
    for row in rows:
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
        assert row["signal.weights"] == "none"
        assert row["signal.version"] == str(base.read_extractor_version("signal"))
        assert row["status"] == "flawed"  # no face in coloured noise
        assert "no_face" in row["detail"]
        assert float(row["signal.ti_mean"]) > 0
    said = capsys.readouterr()
    assert "untrained" not in said.out.lower()
    assert f"{tmp_path.name}__one: flawed, no_face" in said.out
    assert said.err == f"sfqa: wrote {out}\n"


def test_a_broken_file_is_a_failed_row_and_status_1(videos, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((videos / "one.mp4").read_bytes()[:500])
    out = tmp_path / "t.parquet"
    words = [str(broken), str(videos / "one.mp4"), str(videos / "notes.txt"), *SIGNAL]
    assert cli.main(["features", *words, "--out", str(out)]) == 1
    rows = pq.read_table(out).to_pylist()
    assert [r["signal.status"] for r in rows] == ["failed", rows[1]["signal.status"], "failed"]
    assert rows[1]["signal.status"] != "failed"
    assert rows[0]["signal.detail"].startswith("broken: ")
    assert rows[0]["signal.ti_mean"] is None
    said = capsys.readouterr()
    assert "broken: failed, broken: " in said.out
    assert "Traceback" not in said.out + said.err


@pytest.mark.thorough
def test_as_they_are(tmp_path):
    """Without conforming, the file's own bytes, size and rate are measured."""
    video = make_video(tmp_path / "fast.mp4", frames=40, fps=50)
    rows = _extract.conform_files([video], ["fast"], "a song", tmp_path / "w", AS_IS)
    (row,) = rows.to_dict("records")
    assert row["sha256"] == row["source_sha256"] == identity.sha256_file(video)
    assert row["path"] == str(video)
    assert (row["fps"], row["frames"], row["width"]) == (50, 40, 64)
    assert row["sample_rate"] == 16000
    assert row["prompt"] == "a song"
    assert identity.sha256_file(row["audio_path"]) == row["audio_sha256"]
    out = tmp_path / "t.csv"
    words = [str(video), "--extractor", "signal", "--no-conform", "--quiet", "--out", str(out)]
    assert cli.main(["features", *words]) == 0
    spec = {"weights": "none"}
    made = _extract.extract(rows, "signal", spec, tmp_path / "w", 1).table.to_pylist()[0]
    assert read_csv(out)[0]["signal.key"] == made["key"]
    assert float(read_csv(out)[0]["signal.si_mean"]) == made["si_mean"]


def test_a_video_without_sound_or_frames_as_it_is(tmp_path):
    from sfqa import media

    still = [np.full((64, 64, 3), 9 * n, np.uint8) for n in range(20)]
    media.write_video(tmp_path / "mute.mp4", still, 25)
    (tmp_path / "empty.mp4").write_bytes(b"")
    files = [tmp_path / "mute.mp4", tmp_path / "empty.mp4"]
    mute, empty = store.to_records(
        _extract.conform_files(files, ["mute", "empty"], None, tmp_path / "w", AS_IS)
    )
    assert "silent: " in mute["detail"]
    assert mute["audio_path"] is None
    assert empty["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gone.mp4", *SIGNAL], "gone.mp4: there is no such file"),
        (["one.mp4"], "--extractor: name at least one: audio, avid_cma, blip, clip, "),
        (["one.mp4", "--extractor", "lsee"], "no such extractor; did you mean 'lse'?"),
        (["one.mp4", "--extractor", "lse"], "lse needs weights, which the project does not include"),
        (["one.mp4", "--extractor", "lse", "--weights", "none"], "lse needs weights"),
        (["one.mp4", "--extractor", "lse", "--weights", "w.pt"], "--weights w.pt: there is no such file"),
        (["one.mp4", "--extractor", "lse", "--weights", "signal=random"], "signal is not selected"),
        (["one.mp4", *SIGNAL, "--weights", "signal=random"], "signal has no weights"),
        (["one.mp4", *SIGNAL, "--weights-seed", "1"], "there are no random weights"),
        (["one.mp4", *SIGNAL, "--set", "evry=2"], "--set evry: no option of signal; did you mean 'every'?"),
        (["one.mp4", *SIGNAL, "--set", "signal.evry=2"], "did you mean 'every'?"),
        (["one.mp4", *SIGNAL, "--set", "every"], "--set every: give key=value"),
        (["one.mp4", *SIGNAL, "--set", "every=["], "the value cannot be read"),
        (["one.mp4", *SIGNAL, "--set", "every=-3"], "--set signal.every is -3; give a whole number of at least 1"),
        (["one.mp4", *SIGNAL, "--out", "t.xlsx"], "--out t.xlsx: give a name that ends with .csv or .parquet"),
        (["one.mp4", *SIGNAL, "--out", "no/t.csv"], "there is no folder"),
        (["one.mp4", *SIGNAL, "--short-side", "63"], "--short-side: 63 is "),
        (["one.mp4", *SIGNAL, "--fps", "0"], "--fps: 0.0 is less than"),
        (["one.mp4", *SIGNAL, "--fps", "x"], "argument --fps: invalid float value"),
        (["one.mp4", *SIGNAL, "--threads", "0"], "--threads 0: give 1 or more"),
        (["one.mp4", *SIGNAL, "--cache", "one.mp4"], "--cache one.mp4: this is a file"),
        (["one.mp4", "--extractor", "signal", "--no-conform", "--fps", "25"], "drop --short-side and --fps"),
        (["one.mp4", "--extractor", "lse", "--extractor", "clip", "--weights", "one.mp4"], "one file cannot fit"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence_and_status_2(words, sentence, videos, monkeypatch, capsys):
    monkeypatch.chdir(videos)
    assert cli.main(["features", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_weights_that_do_not_fit_are_a_sentence(face_video, tmp_path, capsys):
    import torch

    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    words = [str(face_video), "--extractor", "lse", "--weights", str(tmp_path / "w.pt"), "--quiet"]
    assert cli.main(["features", *words, "--short-side", "64"]) == 2
    assert "do not fit SyncNet" in capsys.readouterr().err


def test_specs_name_the_weights_and_options_of_each(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    made = _extract.make_specs(
        ["lse", "signal", "clip"], ["random", f"lse={path}"], 7,
        ["detect_every=2", "lse.max_shift=9", "model=ViT-B-16"],
    )  # fmt: skip
    sha = hashlib.sha256(b"abc").hexdigest()
    assert made == {
        "lse": {
            "weights": str(path),
            "sha256": sha,
            "options": {"detect_every": 2, "max_shift": 9},
        },
        "signal": {"weights": "none", "options": {"detect_every": 2}},
        "clip": {"weights": "random", "weights_seed": 7, "options": {"model": "ViT-B-16"}},
    }
    for name, spec in made.items():
        assert base.merge_options(name, spec["options"])
    with pytest.raises(UserError, match="given twice"):
        _extract.make_specs(["lse", "clip"], ["random", "random"], None, [])


def test_every_extractor_has_weights_or_takes_none():
    for name in _extract.list_extractors():
        from sfqa.features.weights import Weights

        if base.has_weights(name):
            continue
        required = base.EXTRACTORS.read(name, "REQUIRED_OPTIONS", ())
        base.build_extractor(
            name, dict.fromkeys(required, "http://x"), Weights("none", "none"), "cpu"
        )
    assert {n for n in _extract.list_extractors() if base.has_weights(n)} >= {"clip", "lse", "slowfast"}  # fmt: skip


def test_the_form_is_the_workflows_default():
    from sfqa import configuration

    config = {"dataset": "x", "mode": "import_videos", "import": {"folder": ".", "pattern": "x"}}
    full = configuration.complete_config(config, ROOT / "workflow/schemas/config.schema.yaml")
    assert _extract.make_form(None, None) == Form(**full["conform"])
    assert _extract.make_form(256, 30.0) == Form(
        **{**full["conform"], "short_side": 256, "fps": 30}
    )


def test_two_calls_do_not_share_a_cache_at_once(videos, tmp_path, capsys):
    from sfqa.cache_tools import lock_folder

    with lock_folder(tmp_path):
        words = [str(videos / "one.mp4"), *SIGNAL, "--cache", str(tmp_path)]
        assert cli.main(["features", *words]) == 2
    assert "another sfqa works in this folder" in capsys.readouterr().err


@pytest.fixture
def shown():
    """Two rows as an extractor would make them, and their conformed rows."""
    features = (
        base.Feature("level", "a number", dtype="float64", unit="dB"),
        base.Feature("map", "a tensor", ("clip", "channel")),
    )
    rows = [
        {"sample_id": "歌", "method": "m", "key": "k", "status": "flawed", "detail": "b: two",
         "level": 1 / 3, "map": np.ones((2, 5))},
        {"sample_id": "long name", "method": "m", "key": None, "status": "failed", "detail": "a: one"},
        {"sample_id": "c", "method": "m", "key": "l", "status": "ok", "detail": "",
         "level": -20.0, "map": np.ones((1, 5))},
    ]  # fmt: skip
    conformed = pd.DataFrame(
        {"status": ["ok", "failed", "flawed"], "detail": ["", "a: one", "d: x"]}
    )
    about = {"version": 2, "options": {"every": 1}, "weights": {"kind": "none", "identity": "none"}}
    return conformed, _extract.Extracted("x", base.build_table(features, rows), about)


def test_a_wide_screen_has_one_row_per_video(shown):
    assert _feature_tables.format_features(*shown, None).splitlines() == [
        "x (VERSION 2), weights: none, options: every 1",
        "",
        "video      status  level (dB)          map",
        "歌         flawed    0.333333  2x5 numbers",
        "long name  failed           -            -",
        "c          flawed         -20  1x5 numbers",
        "",
        "歌: flawed, b: two",
        "long name: failed, a: one",
        "c: flawed, d: x",
    ]


def test_a_narrow_screen_has_one_column_per_video(shown):
    lines = _feature_tables.format_features(*shown, 40).splitlines()
    assert lines[2:12] == [
        "video                歌  long name",
        "status           flawed     failed",
        "level (dB)     0.333333          -",
        "map         2x5 numbers          -",
        "",
        "video                 c",
        "status           flawed",
        "level (dB)          -20",
        "map         1x5 numbers",
        "",
    ]
    assert _feature_tables.format_features(*shown, 30).splitlines()[2:8] == [
        "video                歌",
        "status           flawed",
        "level (dB)     0.333333",
        "map         2x5 numbers",
        "",
        "video       long name",
    ]


def test_sentences_of_the_configuration_become_those_of_the_command_line():
    told = command.name_arguments("config, features.lse.weights: give a file")
    assert told == "--weights of lse: give a file"
    assert command.name_arguments("config, features.lse: x") == "--weights of lse: x"


def test_progress_goes_to_stderr(videos, capsys):
    words = [str(videos / "one.mp4"), *[w for w in SIGNAL if w != "--quiet"]]
    assert cli.main(["features", *words]) == 0
    said = capsys.readouterr()
    assert "conformed 1 of 1: one flawed" in said.err
    assert "signal" in said.err
    assert "conformed" not in said.out


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.thorough
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_on_a_terminal_is_one_line_or_none(videos, quiet, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    words = [w for w in SIGNAL if quiet or w != "--quiet"]
    assert cli.main(["features", str(videos / "one.mp4"), *words]) == 0
    said = terminal.getvalue()
    assert said.count("signal 1 of 1") == (0 if quiet else 1)
    assert ("conformed 1 of 1" in said) == (not quiet)


def test_the_cli_leaves_nothing_behind(videos, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli.main(["features", str(videos / "one.mp4"), *SIGNAL]) == 0
    left = [p.name for p in tmp_path.iterdir() if not p.name.startswith("sfqa-gpu")]
    assert left == []
    assert json.dumps(sorted(p.name for p in videos.iterdir())) == '["deep", "notes.txt", "one.mp4"]'  # fmt: skip


def test_a_label_measures_once_more_with_other_options(face_video, tmp_path):
    out = tmp_path / "t.csv"
    words = ["--extractor", "signal-coarse", "--set", "signal-coarse.every=10", "--out", str(out)]
    assert cli.main(["features", str(face_video), *SIGNAL, *words]) == 0
    row = pd.read_csv(out).iloc[0]
    assert row["signal-coarse.ti_mean"] == row["signal.ti_mean"]
    assert row["signal-coarse.key"] != row["signal.key"]
