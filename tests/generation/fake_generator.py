"""A generator that acts as it is told, its installation, and runs of it: here or as jobs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from PIL import Image

from sfqa import identity, media, store, tables
from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.generate import generate_shard
from sfqa.generation.generator import Generator
from sfqa.generation.records import GenerationSettings
from sfqa.generation.registry import Method
from sfqa.options import Option, Text
from sfqa.repositories import process
from sfqa.repositories.process import Timeouts
from sfqa.repositories.sources import Source, Weights

QUICK = Timeouts(late_sec=0.4, grace_sec=0.5, settle_sec=0.05)
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
home = Path(os.environ["SFQA_FAKE_HOME"])
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

    def pad_sec(self, seconds):
        return seconds + 0.25

    def prepare(self, run):
        self.runs.append(run)
        assert {path.name for path in run.work.iterdir()} == {"inputs", "outputs"}
        lines = [[i.sample_id, str(i.image), str(i.audio), str(i.output)] for i in run.items]
        for item in run.items:
            if "unspeakable" in item.prompt:
                raise UserError(f"sample {item.sample_id}: the prompt cannot be said; reword it")
        (run.work / "list.txt").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def build_command(self, run):
        return [
            str(run.python), "fake.py", str(run.work / "list.txt"), "--seed", str(run.seed),
            "--steps", str(run.number_option("steps")), "--mood", run.text_option("mood"),
        ]  # fmt: skip

    def build_environment(self, run):
        return {"SFQA_FAKE_HOME": str(self.home)}

    def list_candidates(self, run, item):
        return [item.output, run.work / "never.mp4"]

    def finish_video(self, run, item, raw):
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


def words(rows) -> list[str]:
    return [row["detail"].split(":")[0] if row["detail"] else row["status"] for row in rows]


def facts_of(engine, number: int) -> dict:
    return json.loads((engine.home / f"img{number}__song__fake.json").read_text())


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
    settings = GenerationSettings(7, 64, 25.0, Path(generators), 2, False, "1")
    rows = generate_shard(mine, fake_method(), folder, settings, print, QUICK)
    store.write(tables.VIDEOS, rows, Path(folder) / f"{shard}.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
