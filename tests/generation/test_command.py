"""The engine against a fake generator that plays every failure."""

import errno
import os
import re
import time
from pathlib import Path

import pytest
from fake_generator import SECONDS, facts_of, fake_method, make_samples, words
from PIL import Image

from sfqa import identity, media, store
from sfqa.errors import UserError
from sfqa.generation.records import GenerationSettings, compute_sample_key
from sfqa.generation.shard import Shard
from sfqa.gpu_leases import lease_gpu
from sfqa.gpu_names import Gpu
from sfqa.repositories.sources import Source, Weights


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
    "truncated": ("broken", "of the 25 frames it declares"),
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


@pytest.mark.thorough
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
    accept, taken = Shard.accept_video, []

    def filling(self, sample, video, seconds, detail=""):
        taken.append(sample["sample_id"])
        if len(taken) == 2:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return accept(self, sample, video, seconds, detail)

    monkeypatch.setattr(Shard, "accept_video", filling)
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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-77,2")
    with lease_gpu([Gpu("5", "5")]):
        engine.go(chosen=engine.samples[:1], require_gpu=True)
    assert facts_of(engine, 0)["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-77"


def test_the_key_holds_what_the_pictures_depend_on(engine):
    sample = store.to_records(engine.samples)[0]
    base = {"seed": 1, "size": 64, "fps": 25.0}

    def key(method=None, sample=sample, **changes) -> str:
        return compute_sample_key(
            sample, method or fake_method(), GenerationSettings(**{**base, **changes})
        )

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
    assert one.startswith("fake 1 of 3: img0__song__fake ok, generated in ")
    assert " left, " in one
    assert one.endswith(", 0 failed)")
    assert two.startswith("fake 2 of 3: img1__song__fake failed exit_code: ")
    assert " s (" in two
    assert " left, " in two
    assert two.endswith(", 1 failed)")
    assert three.endswith(", 0:00 left, 1 failed)")
