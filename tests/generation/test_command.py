"""The engine against a fake generator that plays every failure; run as a program, it is one job."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sfqa import identity, media, store, tables
from sfqa.errors import UserError
from sfqa.generation import adapters, process
from sfqa.generation.generator import Generator
from sfqa.generation.install.sources import Source, Weights
from sfqa.generation.options import Option, Text
from sfqa.generation.process import Patience
from sfqa.generation.records import Shelf
from sfqa.generation.registry import Method
from sfqa.generation.run import Settings, generate_shard, sample_key

QUICK = Patience(late_sec=0.4, grace_sec=0.5, settle_sec=0.05)
SECONDS = 1.0

# The fake generator: reads a list of (sample, image, audio, output), and for each of them the next
# act of the plan. Standard library only, as its environment has nothing else.
FAKE = '''
import json, os, shutil, signal, subprocess, sys, time
from pathlib import Path

LATE = """
import os, shutil, sys, time
time.sleep(float(sys.argv[3]))
shutil.copyfile(sys.argv[1], sys.argv[2] + ".part")
os.replace(sys.argv[2] + ".part", sys.argv[2])
"""
home = Path(os.environ["FAKE_HOME"])
plan = json.loads((home / "plan.json").read_text())
lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
facts = {"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(), "lines": lines,
         "weights": Path("weights/net.pth").read_text(), "output": os.listdir("output")}
Path("output", "mine.txt").write_text("x")
for sample, image, audio, output in lines:
    with open(home / "calls.txt", "a") as calls:
        calls.write(sample + "\\n")
    (home / f"{sample}.json").write_text(json.dumps(facts))
    assert Path(image).is_file() and Path(audio).is_file()
    done = (home / "calls.txt").read_text().split().count(sample) - 1
    acts = plan.get(sample, ["ok"])
    act = acts[min(done, len(acts) - 1)]
    print("act", act, flush=True)
    ready = home / "ready.mp4"
    if act in ("frozen", "black", "silent", "long"):
        shutil.copyfile(home / f"{act}.mp4", output)
    elif act == "ok":
        shutil.copyfile(ready, output)
    elif act == "late":
        subprocess.Popen([sys.executable, "-c", LATE, str(ready), output, "0.8"])
    elif act == "truncated":
        whole = ready.read_bytes()
        Path(output).write_bytes(whole[: int(0.7 * len(whole))])
    elif act == "empty":
        Path(output).write_bytes(b"")
    elif act == "exit1":
        sys.exit("no face in " + image)
    elif act == "good_exit1":
        shutil.copyfile(ready, output)
        sys.exit(1)
    elif act == "hang":
        time.sleep(60)
    elif act == "full":
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
    elif act == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    elif act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif act == "link":
        shutil.copyfile(ready, home / "cached.mp4")
        os.symlink(home / "cached.mp4", output)
    elif act == "slow":
        time.sleep(0.3)
        shutil.copyfile(ready, output)
    else:
        assert act == "nothing", act
'''


class FakeGenerator(Generator):
    image_suffix = ".jpg"
    private = ("output", "absent")

    def __init__(self, home: Path, batch: int = 1) -> None:
        self.home, self.batch, self.runs, self.finished = home, batch, [], {}

    def staged_sec(self, seconds):
        return seconds + 0.25

    def prepare(self, run):
        self.runs.append(run)
        assert {path.name for path in run.work.iterdir()} == {"inputs", "outputs"}
        lines = [[i.sample_id, str(i.image), str(i.audio), str(i.output)] for i in run.items]
        for item in run.items:
            if "unspeakable" in item.prompt:
                raise UserError(f"sample {item.sample_id}: the prompt cannot be said; reword it")
        (run.work / "list.txt").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def command(self, run):
        return [
            str(run.python), "fake.py", str(run.work / "list.txt"), "--seed", str(run.seed),
            "--steps", str(run.number("steps")), "--mood", run.text("mood"),
        ]  # fmt: skip

    def environment(self, run):
        return {"FAKE_HOME": str(self.home)}

    def candidates(self, run, item):
        return [item.output, run.work / "never.mp4"]

    def finish(self, run, item, raw):
        known = self.finished.get(item.sample_id)
        if isinstance(known, Exception):
            raise known
        return raw, known or ""


def fake_module(generator: Generator) -> SimpleNamespace:
    options = {"steps": Option(25, 1, 100, "steps"), "mood": Text("calm", "mood")}
    return SimpleNamespace(VERSION=1, OPTIONS=options, GENERATOR=generator)


def fake_method(minutes: float = 0.5, **changes) -> Method:
    source = Source("a/b", "0" * 40, "MIT", "e.yaml", Weights("weights"))
    fields = {"options": {"mood": "two words"}, "source": source, "minutes": minutes, **changes}
    return Method("fake", "Fake", 2025, "none", "command", "fake", 1, True, **fields)


def make_ready(folder: Path) -> None:
    """The videos that the fake generator copies: 25 frames of 64 pixels, and their defects."""
    rng = np.random.default_rng(1)
    base = rng.integers(20, 230, (64, 64, 3), dtype=np.uint8)
    moving = [np.roll(base, 2 * n, axis=1) for n in range(25)]
    wave = folder / "tone.wav"
    tone = 0.2 * np.sin(np.arange(16000) / 8).astype(np.float32)
    media.write_wave(wave, tone, 16000)
    media.write_video(folder / "ready.mp4", moving, 25.0, wave)
    media.write_video(folder / "silent.mp4", moving, 25.0, None)
    media.write_video(folder / "frozen.mp4", [base] * 25, 25.0, wave)
    media.write_video(folder / "black.mp4", [np.zeros_like(base)] * 25, 25.0, wave)
    media.write_video(folder / "long.mp4", moving * 3, 25.0, wave)


def make_samples(folder: Path, count: int) -> pd.DataFrame:
    """Samples of the fake method in four shards, with a picture and a sound."""
    picture, sound = folder / "picture.png", folder / "sound.wav"
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).convert("RGBA").save(picture)
    tone = 0.3 * np.sin(np.arange(round(SECONDS * 16000)) / 7)
    media.write_wave(sound, tone.astype(np.float32), 16000)
    rows = []
    for number in range(count):
        row = dict.fromkeys(tables.SAMPLES.names)
        rows.append(row | {
            "sample_id": f"img{number}__song__fake", "method": "fake", "shard": number % 4,
            "image_path": str(picture), "image_sha256": identity.sha256_file(picture),
            "clip_path": str(sound), "clip_sha256": identity.sha256_file(sound),
        })  # fmt: skip
    return pd.DataFrame(rows)


def install(generators: Path) -> Path:
    """A fake installation: repository with weights and rubbish of earlier runs, environment."""
    home = generators / "fake"
    repo = home / "repo"
    for name in ("weights", "output", ".git"):
        (repo / name).mkdir(parents=True)
    (repo / "fake.py").write_text(FAKE)
    (repo / "weights" / "net.pth").write_text("weights")
    (repo / "output" / "stale.mp4").write_text("stale")
    python = home / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    return repo


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ready")
    make_ready(folder)
    return folder


@pytest.fixture
def engine(tmp_path, ready, monkeypatch):
    """A fake generator that is installed, and a call that runs it on samples."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no nvidia-smi of this machine
    temporary = Path(tempfile.mkdtemp(prefix="sfqatests", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home = tmp_path / "home"
    home.mkdir()
    for path in ready.glob("*.mp4"):
        (home / path.name).symlink_to(path)
    (home / "plan.json").write_text("{}")
    generator = FakeGenerator(home)
    module = fake_module(generator)
    monkeypatch.setattr(adapters, "load", lambda name: module)
    # All that is unkind to path handling.
    folder = tmp_path / "my results v1.5, it's" / "fake"
    generators = tmp_path / "resources 2.0"
    repo = install(generators)
    samples = make_samples(tmp_path, 3)
    (home / "calls.txt").touch()

    def plan(**acts):
        names = {f"img{key[1:]}__song__fake": value for key, value in acts.items()}
        (home / "plan.json").write_text(json.dumps(names))
        (home / "calls.txt").write_text("")

    def calls() -> list[int]:
        return [int(name[3:].split("_")[0]) for name in (home / "calls.txt").read_text().split()]

    def go(method=None, chosen=None, patience=QUICK, **changes):
        settings = {"seed": 7, "size": 64, "fps": 25.0, "generators": generators,
                    "require_gpu": False, "installed": "1", **changes}  # fmt: skip
        said: list[str] = []
        rows = generate_shard(
            made.samples if chosen is None else chosen, method or fake_method(), folder,
            Settings(**settings), said.append, patience,
        )  # fmt: skip
        store.to_arrow(tables.VIDEOS, rows)
        go.said = said
        return rows

    made = SimpleNamespace(
        go=go, plan=plan, calls=calls, home=home, folder=folder, repo=repo, generator=generator,
        samples=samples, module=module, generators=generators, temporary=temporary,
    )  # fmt: skip
    yield made
    left = [path for path in temporary.iterdir() if not path.name.startswith("sfqa-gpu")]
    shutil.rmtree(temporary)
    assert left == [], "an alias was left behind"


def words(rows) -> list[str]:
    return [row["detail"].split(":")[0] if row["detail"] else row["status"] for row in rows]


def facts_of(engine, number: int) -> dict:
    return json.loads((engine.home / f"img{number}__song__fake.json").read_text())


def test_three_videos_and_a_second_run(engine):
    rows = engine.go()
    assert words(rows) == ["ok"] * 3
    assert engine.calls() == [0, 1, 2]
    for row in rows:
        assert row["path"] == str(engine.folder / "videos" / f"{row['sample_id']}.mp4")
        assert Path(row["path"]).read_bytes() == (engine.home / "ready.mp4").read_bytes()
        assert row["sha256"] == identity.sha256_file(row["path"])
        assert row["reproducible"] is True
    assert {path.name for path in engine.folder.iterdir()} == {"videos", "records", "work", "logs"}
    assert list((engine.folder / "work").iterdir()) == []
    assert len(list((engine.folder / "logs").iterdir())) == 3
    # A second run starts nothing, and needs neither generator nor GPU.
    (engine.repo / "weights").rename(engine.repo / "gone")
    assert engine.go(require_gpu=True) == rows
    assert engine.calls() == [0, 1, 2]


def test_what_the_generator_is_given(engine):
    engine.samples["prompt"] = ['A woman sings; "loudly" $HOME.', None, None]
    engine.go(chosen=engine.samples[:1])
    run, facts = engine.generator.runs[0], facts_of(engine, 0)
    item = run.items[0]
    assert (item.sample_id, item.prompt) == ("img0__song__fake", 'A woman sings; "loudly" $HOME.')
    assert (run.seed, item.seconds) == (7, SECONDS)
    assert run.options == {"steps": 25, "mood": "two words"}
    assert facts["argv"][1:] == [str(run.work / "list.txt"), "--seed", "7", "--steps", "25.0",
                                 "--mood", "two words"]  # fmt: skip
    safe = set("/_-abcdefghijklmnopqrstuvwxyz0123456789")
    for path in (item.image, item.audio, item.output):
        assert set(str(path.with_suffix(""))) <= safe
        assert path.is_relative_to(run.work)
    assert (item.image.suffix, item.audio.suffix, item.output.suffix) == (".jpg", ".wav", ".mp4")
    assert set(str(run.cwd)) <= safe
    assert set(str(run.work)) <= safe
    assert run.checkpoints == run.cwd / "weights"
    assert run.python == engine.generators / "fake" / "env" / "bin" / "python"
    # The stale output of the repository is not seen; what is written there stays private.
    assert (facts["weights"], facts["output"]) == ("weights", [])
    assert os.listdir(engine.repo / "output") == ["stale.mp4"]  # noqa: PTH208
    env = facts["env"]
    assert env["PATH"].split(":")[0] == str(run.python.parent)
    assert env["TMPDIR"].startswith(str(run.work.parent))
    assert env["PWD"] == str(run.cwd)
    assert env["HF_HUB_OFFLINE"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in env


def test_inputs_are_staged_in_the_formats_asked_for(engine):
    engine.plan(_0=["nothing"])
    engine.go(chosen=engine.samples[:1], attempts=1)
    inputs = engine.folder / "work" / "img0__song__fake" / "work" / "inputs"
    image, sound = sorted(inputs.iterdir(), key=lambda path: path.suffix)
    with Image.open(image) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))
    assert len(media.read_audio(sound, 16000)) == 16000 * (SECONDS + 0.25)


FAILURES = {
    "nothing": ("no_output", "it ended with exit code 0, without a result"),
    "truncated": ("broken", "does not decode"),
    "empty": ("no_video", "is empty"),
    "silent": ("no_audio", "holds no sound"),
    "frozen": ("frozen", "nothing moves"),
    "black": ("black", "9 of 9 frames"),
    "long": ("too_long", "lasts 3.00 s where 1.00 s are expected"),
    "exit1": ("exit_code", "it ended with exit code 1, the log ends with: act exit1 | no face in "),
    "good_exit1": ("exit_code", "it ended with exit code 1, the log ends with: act good_exit1 "),
    "killed": ("exit_code", "it was ended by SIGKILL"),
    "full": ("disk_full", "[Errno 28] No space left on device"),
    "memory": ("out_of_memory", "CUDA out of memory. Tried to allocate 2.00 GiB"),
}  # fmt: skip


def test_each_failure_is_its_row_and_the_others_go_on(engine, tmp_path):
    engine.samples = make_samples(tmp_path, len(FAILURES) + 1)
    names = list(engine.samples["sample_id"])
    engine.plan(**{f"_{number}": [act] for number, act in enumerate(FAILURES)})
    rows = engine.go(attempts=1)
    assert words(rows) == [*(word for word, _ in FAILURES.values()), "ok"]
    for row, (act, (_, said)) in zip(rows, FAILURES.items(), strict=False):
        name = row["sample_id"]
        assert (row["status"], row["path"], row["sha256"]) == ("failed", None, None)
        assert said in row["detail"]
        assert row["detail"].endswith(f" (logs/{name}.log)")
        assert str(engine.temporary) not in row["detail"]  # the same words each time
        assert not re.search(r"; |\d\d:\d\d:\d\d", row["detail"])
        assert f"act {act}\n" in (engine.folder / "logs" / f"{name}.log").read_text()
    assert {path.name for path in (engine.folder / "work").iterdir()} == set(names[:-1])
    assert [path.stem for path in (engine.folder / "videos").iterdir()] == names[-1:]
    # A second run makes what is missing, and only that.
    engine.plan()
    assert words(engine.go()) == ["ok"] * len(names)
    assert engine.calls() == list(range(len(FAILURES)))
    assert list((engine.folder / "work").iterdir()) == []


def test_a_hang_is_stopped_at_its_limit_and_tried_again(engine):
    engine.plan(_0=["hang"])
    start = time.monotonic()
    row = engine.go(fake_method(minutes=0.02), engine.samples[:1])[0]
    assert 2.4 <= time.monotonic() - start < 8
    assert row["detail"].startswith("timed_out: it was stopped after 0.02 minutes")
    log = engine.folder / "logs" / "img0__song__fake.log"
    assert log.read_text().count("== attempt ") == 2


def test_a_child_may_write_late_but_not_too_late(engine):
    engine.plan(_0=["late"])
    assert words(engine.go(chosen=engine.samples[:1])) == ["ok"]
    assert engine.calls() == [0]


@pytest.mark.parametrize(("attempts", "word"), [(2, "exit_code"), (3, "ok")])
def test_failures_are_tried_as_often_as_asked(engine, attempts, word):
    engine.plan(_0=["silent", "exit1", "ok"], _1=["exit1"])
    rows = engine.go(chosen=engine.samples[:2], attempts=attempts)
    assert words(rows) == [word, "exit_code"]
    assert engine.calls() == [0] * attempts + [1] * attempts
    log = (engine.folder / "logs" / "img1__song__fake.log").read_text()
    assert re.findall("== attempt .", log) == [f"== attempt {n + 1}" for n in range(attempts)]


def test_a_batch_is_one_process(engine):
    engine.generator.batch = 2
    assert words(engine.go()) == ["ok"] * 3
    assert [len(run.items) for run in engine.generator.runs] == [2, 1]
    assert len({facts_of(engine, n)["argv"][1] for n in (0, 1)}) == 1
    logs = {path.name for path in (engine.folder / "logs").iterdir()}
    assert logs == {"img0__song__fake+1.log", "img2__song__fake.log"}
    assert list((engine.folder / "work").iterdir()) == []


def test_a_batch_that_dies_keeps_what_is_whole_and_tries_the_rest_singly(engine):
    engine.generator.batch = 3
    engine.plan(_1=["killed", "ok"])
    assert words(engine.go()) == ["ok"] * 3
    assert [len(run.items) for run in engine.generator.runs] == [3, 1, 1]
    assert engine.calls() == [0, 1, 1, 2]
    assert list((engine.folder / "work").iterdir()) == []


def test_a_batch_with_one_bad_result(engine):
    engine.generator.batch = 3
    engine.plan(_0=["truncated", "ok"], _1=["nothing"])
    rows = engine.go()
    assert words(rows) == ["ok", "no_output", "ok"]
    assert engine.calls() == [0, 1, 2, 0, 1]
    engine.plan(_1=["nothing"])
    assert words(engine.go(attempts=1)) == ["ok", "no_output", "ok"]


def test_a_prompt_that_cannot_be_prepared_spoils_no_list(engine):
    engine.generator.batch = 3
    engine.samples["prompt"] = [None, "unspeakable", None]
    rows = engine.go()
    assert words(rows) == ["ok", "not_prepared", "ok"]
    assert rows[1]["detail"] == (
        "not_prepared: sample img1__song__fake: the prompt cannot be said, reword it"
    )
    assert engine.calls() == [0, 2]


def test_bad_inputs_are_rows_and_not_tried_again(engine, tmp_path):
    engine.generator.batch = 3
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    silent = tmp_path / "silent.wav"
    silent.write_bytes(b"no sound")
    engine.samples.loc[0, "image_path"] = str(broken)
    engine.samples.loc[1, "clip_path"] = str(silent)
    rows = engine.go()
    assert words(rows) == ["bad_image", "bad_clip", "ok"]
    assert len(engine.generator.runs) == 1
    engine.samples.loc[2, "image_path"] = "nowhere.png"
    engine.samples.loc[2, "image_sha256"] = "2"
    assert words(engine.go()) == ["bad_image", "bad_clip", "no_image"]


def test_a_flaw_of_finish_stays_with_the_video(engine):
    name = "img1__song__fake"
    engine.generator.finished[name] = "muxed: the sound was missing, the clip was put under it"
    engine.samples = engine.samples[:2]
    first = engine.go()
    assert (first[1]["status"], first[1]["detail"]) == ("flawed", engine.generator.finished[name])
    assert first[1]["path"] is not None
    assert engine.go() == first
    assert engine.calls() == [0, 1]


@pytest.mark.parametrize(
    ("error", "word"),
    [(media.MediaError("no third panel"), "broken"), (KeyError("panel"), "generation_failed")],
)
def test_a_finish_that_fails(engine, error, word):
    engine.generator.finished["img1__song__fake"] = error
    row = engine.go(chosen=engine.samples[1:2], attempts=1)[0]
    assert row["detail"].startswith(f"{word}: ")
    assert "panel" in row["detail"]


def test_a_linked_result_is_copied(engine):
    engine.plan(_0=["link"])
    row = engine.go(chosen=engine.samples[:1])[0]
    assert row["status"] == "ok"
    assert not Path(row["path"]).is_symlink()
    assert (engine.home / "cached.mp4").exists()


def test_results_on_another_file_system_are_copied(engine, monkeypatch):
    replace = Path.replace

    def refuse(self, target):
        if self.suffix == ".mp4" and "outputs" in self.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    assert words(engine.go(chosen=engine.samples[:1])) == ["ok"]
    assert [p.name for p in (engine.folder / "videos").iterdir()] == ["img0__song__fake.mp4"]


def test_a_disk_that_is_full_for_our_own_files_ends_the_tries(engine):
    logs = engine.folder / "logs"
    logs.mkdir(parents=True)
    (logs / "img1__song__fake.log").symlink_to("/dev/full")  # every write there is a genuine ENOSPC
    rows = engine.go()
    assert words(rows) == ["ok", "disk_full", "disk_full"]
    assert "it was not tried" in rows[2]["detail"]
    assert engine.calls() == [0]
    assert list((engine.folder / "work").iterdir()) == []
    (logs / "img1__song__fake.log").unlink()
    assert words(engine.go()) == ["ok"] * 3
    assert engine.calls() == [0, 1, 2]


def test_a_disk_that_fills_up_in_the_middle_of_a_batch(engine, monkeypatch):
    engine.generator.batch = 3
    accept, taken = Shelf.accept, []

    def filling(self, sample, made, found=""):
        taken.append(sample["sample_id"])
        if len(taken) == 2:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return accept(self, sample, made, found)

    monkeypatch.setattr(Shelf, "accept", filling)
    assert words(engine.go()) == ["ok", "disk_full", "disk_full"]
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("gone", "what"),
    [("repo", "repository"), ("env/bin/python", "environment"), ("repo/weights", "weights folder")],
)
def test_what_is_not_installed_is_told_before_any_work(engine, gone, what):
    path = engine.generators / "fake" / gone
    path.rename(path.with_name("away"))
    with pytest.raises(UserError) as told:
        engine.go()
    assert str(told.value) == (
        f"method fake: its {what} is missing, there is no {path}; run "
        "`snakemake fetch_generators` or fill the folder by hand (docs/generation.md)"
    )
    assert not (engine.folder / "work").exists()


def test_a_missing_gpu_is_told(engine, monkeypatch):
    for given in (None, "", "-1"):
        if given is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        with pytest.raises(UserError, match=r"needs a GPU .* generation\.require_gpu to false"):
            engine.go(require_gpu=True)
    assert engine.calls() == []


def test_the_leased_device_is_the_only_visible_one(engine, monkeypatch):
    from sfqa import device

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-77,2")
    with device.lease(["5"]):
        engine.go(chosen=engine.samples[:1], require_gpu=True)
    assert facts_of(engine, 0)["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-77"


def test_the_key_holds_what_the_pictures_depend_on(engine):
    sample = store.records(engine.samples)[0]
    base = {"seed": 1, "size": 64, "fps": 25.0}

    def key(method=None, sample=sample, **changes) -> str:
        return sample_key(sample, method or fake_method(), Settings(**{**base, **changes}))

    for same in ({"size": 512}, {"fps": 12.0}, {"attempts": 9}, {"generators": Path("x")}):
        assert key(**same) == key()
    assert key(fake_method(minutes=9)) == key()
    other_commit = Source("a/b", "1" * 40, "MIT", "e.yaml", Weights("weights"))
    others = [
        key(seed=2), key(installed="2"), key(fake_method(options={})),
        key(fake_method(source=other_commit)), key(sample={**sample, "prompt": "x"}),
    ]  # fmt: skip
    assert len({key(), *others}) == 6


def test_a_replaced_video_is_kept_whatever_its_length(engine):
    engine.samples = engine.samples[:2]
    first = engine.go()
    own = (engine.home / "long.mp4").read_bytes()
    Path(first[0]["path"]).write_bytes(own)
    again = engine.go()
    assert words(again) == ["replaced", "ok"]
    assert again[0]["reproducible"] is False
    assert engine.calls() == [0, 1]
    Path(first[1]["path"]).write_bytes(own[: len(own) // 2])
    assert words(engine.go()) == ["replaced", "ok"]
    assert engine.calls() == [0, 1, 1]


def test_stale_work_is_not_taken_for_a_result(engine):
    work = engine.folder / "work" / "img0__song__fake" / "work" / "outputs"
    work.mkdir(parents=True)
    stem = identity.digest("img0__song__fake")[:12]
    (work / f"v{stem}.mp4").write_bytes((engine.home / "ready.mp4").read_bytes())
    engine.plan(_0=["nothing"])
    assert words(engine.go(chosen=engine.samples[:1], attempts=1)) == ["no_output"]


def test_the_lines_of_progress(engine):
    engine.plan(_1=["exit1"])
    engine.go(attempts=1)
    one, two, three = engine.go.said
    assert one.startswith("1/3 img0__song__fake: generated, ok, ")
    assert ", 0 failed, about " in one
    assert one.endswith(" left")
    assert two.startswith("2/3 img1__song__fake: generated, failed, ")
    assert " s, 1 failed, about " in two
    assert three.endswith(" s, 1 failed")


# Jobs as processes of their own.


def job(engine, shard: int | None = None) -> subprocess.Popen:
    arguments = [str(engine.home), str(engine.folder), str(engine.generators), str(shard)]
    engine.samples.to_json(engine.home / "samples.json", orient="records")
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(process.__file__).parents[2]),
             "TMPDIR": str(engine.temporary)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def main(home: str, folder: str, generators: str, shard: str) -> None:
    module = fake_module(FakeGenerator(Path(home)))
    adapters.load = lambda name: module  # type: ignore[assignment]
    samples = pd.read_json(Path(home) / "samples.json", orient="records")
    mine = samples if shard == "None" else samples[samples["shard"] == int(shard)]
    settings = Settings(7, 64, 25.0, Path(generators), 2, False, "1")
    rows = generate_shard(mine, fake_method(), folder, settings, print, QUICK)
    store.write(tables.VIDEOS, rows, Path(folder) / f"{shard}.parquet")


def test_four_jobs_at_once_do_not_meet(engine, tmp_path):
    engine.samples = make_samples(tmp_path, 8)
    engine.plan(_1=["exit1", "slow"], _2=["slow"], _5=["nothing"], _6=["late"])
    jobs = [job(engine, shard) for shard in range(4)]
    assert [one.wait(60) for one in jobs] == [0] * 4
    rows = store.read(tables.VIDEOS, [engine.folder / f"{n}.parquet" for n in range(4)])
    found = dict(zip(rows["sample_id"], words(rows.to_dict("records")), strict=True))
    assert found == {f"img{n}__song__fake": "no_output" if n == 5 else "ok" for n in range(8)}
    assert sorted(engine.calls()) == [0, 1, 1, 2, 3, 4, 5, 5, 6, 7]
    assert [path.name for path in (engine.folder / "work").iterdir()] == ["img5__song__fake"]


def children_of(pid: int) -> set[int]:
    """Processes that hold an environment variable of the fake generator, or descend from a job."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != pid:
            try:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if state not in "ZX" and b"fake.py" in command:
                found.add(int(folder.name))
    return found


def test_a_job_killed_at_work_leaves_nothing_and_the_next_goes_on(engine):
    engine.plan(_1=["hang", "ok"])
    one = job(engine)
    until = time.monotonic() + 30
    while engine.calls() != [0, 1] and time.monotonic() < until:
        time.sleep(0.02)
    assert engine.calls() == [0, 1]
    assert len(children_of(one.pid)) == 1
    one.send_signal(signal.SIGKILL)
    assert one.wait(10) == -9
    until = time.monotonic() + 5
    while children_of(one.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert children_of(one.pid) == set()
    assert [path.name for path in (engine.folder / "work").iterdir()] == ["img1__song__fake"]
    assert len(list((engine.folder / "videos").iterdir())) == 1
    stale = [path for path in engine.temporary.iterdir() if path.is_symlink()]
    assert len(stale) == 1
    rows = engine.go()
    assert words(rows) == ["ok"] * 3
    assert engine.calls() == [0, 1, 1, 2]
    assert list((engine.folder / "work").iterdir()) == []
    assert not os.path.lexists(stale[0])


@pytest.mark.parametrize("moment", ["moved", "recorded"])
def test_a_kill_between_the_steps_of_taking_a_video(engine, monkeypatch, moment):
    class Killed(BaseException):
        """What stops a run at once."""

    def die(*_, **__):
        raise Killed

    from sfqa.generation import records

    if moment == "moved":
        monkeypatch.setattr(records, "_write_record", die)
    else:
        monkeypatch.setattr(Shelf, "_accepted", die)
    engine.samples = engine.samples[:1]
    with pytest.raises(Killed):
        engine.go()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(engine.temporary))
    monkeypatch.setattr(adapters, "load", lambda name: engine.module)
    assert words(engine.go()) == ["ok"]
    assert engine.calls() == ([0, 0] if moment == "moved" else [0])
    assert list((engine.folder / "work").iterdir()) == []


if __name__ == "__main__":
    main(*sys.argv[1:])
