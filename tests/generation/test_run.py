import errno
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.generate import generate_shard
from sfqa.generation.records import GenerationSettings, compute_sample_key
from sfqa.generation.registry import Method
from videos import make_video

FAKE = Method("fake", "Fake", 2025, "none", "procedural", "fake", 1, True, {})
DEFAULTS = GenerationSettings(1, 64, 25.0)


class FakeAdapter:
    """Writes a ready video, counts its jobs, and fails where it is told to."""

    def __init__(self, video: bytes) -> None:
        self.VERSION, self.OPTIONS = 1, {}
        self.video, self.made, self.broken = video, [], {}

    def generate(self, job: adapters.RenderJob) -> None:
        assert list(job.work.iterdir()) == []
        self.made.append(job.sample_id)
        content = self.broken.get(job.sample_id, self.video)
        if isinstance(content, Exception):
            (job.work / "trace.log").write_text("left to be looked at")
            raise content
        if content is not None:
            job.output.write_bytes(content)


@pytest.fixture
def fake(monkeypatch, tiny_video) -> FakeAdapter:
    adapter = FakeAdapter(tiny_video)
    monkeypatch.setattr(adapters, "load", lambda name: adapter)
    return adapter


@pytest.fixture
def shard(samples, tmp_path, fake):
    """Run the shard; what it says and how many videos it made."""

    def go(method: Method = FAKE, seed: int = 1, size: int = 64, fps: float = 25.0):
        fake.made, said = [], []
        rows = generate_shard(
            samples, method, tmp_path, GenerationSettings(seed, size, fps), said.append
        )
        store.to_arrow(tables.VIDEOS, rows)
        return SimpleNamespace(
            rows={r["sample_id"]: r for r in rows}, made=list(fake.made), said=said
        )

    return go


def names(samples) -> list[str]:
    return list(samples["sample_id"])


def test_rows_of_a_first_run(shard, samples, tmp_path, fake):
    first = shard()
    assert first.made == names(samples)
    numbers = [said.partition(": ")[0] for said in first.said]
    assert numbers == ["fake 1 of 3", "fake 2 of 3", "fake 3 of 3"]
    for sample in samples.to_dict("records"):
        row = first.rows[sample["sample_id"]]
        video = tmp_path / "videos" / f"{sample['sample_id']}.mp4"
        assert (row["status"], row["detail"]) == ("ok", "")
        assert row["path"] == str(video)
        assert row["sha256"] == identity.sha256_file(video)
        assert row["size_bytes"] == len(fake.video)
        assert row["clip_sha256"] == sample["clip_sha256"]
        assert row["prompt"] is None
        assert row["reproducible"] is True
    assert not any((tmp_path / "work").iterdir())


def test_a_second_run_makes_nothing_and_says_the_same(shard):
    first, second = shard(), shard()
    assert second.made == []
    assert second.rows == first.rows
    assert all("skipped" in said for said in second.said)


@pytest.mark.parametrize("change", ["seed", "size", "fps", "version", "options", "adapter"])
def test_what_the_pictures_depend_on_makes_all_anew(shard, samples, fake, change):
    shard()
    if change == "adapter":
        fake.VERSION = 2
    method = {
        "version": Method(**{**vars(FAKE), "version": 2}),
        "options": Method(**{**vars(FAKE), "options": {"a": 1.0}}),
    }.get(change, FAKE)
    given = {"seed": {"seed": 2}, "size": {"size": 96}, "fps": {"fps": 30.0}}.get(change, {})
    assert shard(method, **given).made == names(samples)


def test_a_changed_name_or_path_makes_nothing(shard, samples, tmp_path):
    shard()
    moved = tmp_path / "elsewhere.wav"
    moved.write_bytes(Path(samples["clip_path"][0]).read_bytes())
    samples["clip_path"] = str(moved)
    assert shard(Method(**{**vars(FAKE), "name": "New"})).made == []


def test_one_changed_clip_makes_one_video(shard, samples):
    shard()
    samples.loc[1, "clip_sha256"] = "f" * 64
    assert shard().made == [names(samples)[1]]


def test_a_missing_video_or_record_is_made_again(shard, samples, tmp_path):
    shard()
    one, two, three = names(samples)
    (tmp_path / "videos" / f"{one}.mp4").unlink()
    (tmp_path / "records" / f"{two}.json").unlink()
    (tmp_path / "records" / f"{three}.json").write_text('{"key": ')
    assert shard().made == [one, two, three]


def test_a_video_replaced_by_hand_is_kept_and_named(shard, samples, tmp_path):
    shard()
    name = names(samples)[0]
    own = make_video(tmp_path / "own.mp4", frames=30, seed=90).read_bytes()
    (tmp_path / "videos" / f"{name}.mp4").write_bytes(own)
    for _ in range(2):
        again = shard()
        row = again.rows[name]
        assert again.made == []
        assert (row["status"], row["detail"].split(":")[0]) == ("flawed", "replaced")
        assert row["sha256"] == identity.sha256_file(tmp_path / "own.mp4")
        assert row["size_bytes"] == len(own)
        assert row["reproducible"] is False
        assert {r["status"] for n, r in again.rows.items() if n != name} == {"ok"}


def test_a_spoilt_video_is_made_again(shard, samples, tmp_path):
    first = shard()
    name = names(samples)[0]
    video = tmp_path / "videos" / f"{name}.mp4"
    video.write_bytes(video.read_bytes()[:500])
    again = shard()
    assert again.made == [name]
    assert again.rows == first.rows


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (RuntimeError("Traceback\n  line 3\nCUDA out of memory; stop"),
         "generation_failed: RuntimeError: CUDA out of memory, stop"),
        (ValueError(), "generation_failed: ValueError: no message"),
        (None, "no_video: there is no file"),
        (b"", "no_video: the file"),
        (b"rubbish" * 99, "broken: "),
    ],
)  # fmt: skip
def test_a_failed_video_is_a_row_and_tried_again(shard, samples, tmp_path, fake, content, detail):
    one, two, three = names(samples)
    fake.broken[two] = content
    first = shard()
    assert first.made == [one, two, three]
    row = first.rows[two]
    assert row["status"] == "failed"
    assert row["detail"].startswith(detail)
    assert (row["path"], row["sha256"], row["size_bytes"]) == (None, None, None)
    assert [first.rows[n]["status"] for n in (one, three)] == ["ok", "ok"]
    assert (tmp_path / "work" / two).is_dir()
    assert shard().made == [two]
    fake.broken.clear()
    mended = shard()
    assert mended.made == [two]
    assert mended.rows[two]["status"] == "ok"
    assert shard().made == []


def test_a_killed_run_loses_nothing(shard, samples, fake, tmp_path):
    _, two, three = names(samples)

    class Killed(BaseException):
        """Not an Exception: what a signal does."""

    generate = fake.generate

    def die(job):
        if job.sample_id == two:
            (job.work / "half.mp4").write_bytes(b"half")
            raise Killed
        generate(job)

    fake.generate = die
    with pytest.raises(Killed):
        shard()
    fake.generate = generate
    again = shard()
    assert again.made == [two, three]
    assert {r["status"] for r in again.rows.values()} == {"ok"}


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_missing_inputs_are_failed_rows(shard, samples, kind):
    samples.loc[0, f"{kind}_path"] = "nowhere"
    samples.loc[1, f"{kind}_path"] = None
    run = shard()
    details = [run.rows[n]["detail"] for n in names(samples)]
    assert details[0].startswith(f"no_{kind}: there is no file nowhere")
    assert details[1].startswith(f"no_{kind}: ")
    assert details[2] == ""


def test_no_samples_no_rows(samples, tmp_path, fake):
    assert generate_shard(samples[:0], FAKE, tmp_path, DEFAULTS) == []


def test_wrong_settings_are_told(samples, tmp_path, fake):
    with pytest.raises(UserError, match="size 65: give an even number"):
        generate_shard(samples, FAKE, tmp_path, GenerationSettings(1, 65, 25.0))
    with pytest.raises(UserError, match="fps 0: give a frame rate"):
        generate_shard(samples, FAKE, tmp_path, GenerationSettings(1, 64, 0))
    with pytest.raises(UserError, match="attempts 0: give 1 or more"):
        generate_shard(samples, FAKE, tmp_path, GenerationSettings(1, 64, 25.0, attempts=0))
    other = Method(**{**vars(FAKE), "label": "other"})
    with pytest.raises(UserError, match="its method is 'fake', this shard's 'other'"):
        generate_shard(samples, other, tmp_path, DEFAULTS)


def test_a_real_shard(samples, methods, tmp_path):
    samples["method"] = "blurry"
    rows = generate_shard(samples[:1], methods["blurry"], tmp_path, DEFAULTS)
    assert [row["status"] for row in rows] == ["ok"]


def test_the_key_of_a_procedural_video_has_not_changed(samples, fake):
    sample = {"sample_id": "a", "image_sha256": "1", "clip_sha256": "2", "prompt": None}
    content = {
        "sample_id": "a", "image": "1", "clip": "2", "prompt": None, "method": FAKE.get_identity(),
        "seed": 1, "size": 64, "fps": 25.0,
    }  # fmt: skip
    assert compute_sample_key(sample, FAKE, DEFAULTS) == identity.digest(content)
    for same in ({"generators": Path("x")}, {"attempts": 5}, {"require_gpu": False}):
        assert compute_sample_key(
            sample, FAKE, GenerationSettings(1, 64, 25.0, **same)
        ) == identity.digest(content)


def test_what_a_run_says(shard, samples, fake):
    fake.broken[names(samples)[1]] = None
    one, two, three = shard().said
    pace = r"\S+ videos/min, \d+:\d\d left"
    assert re.fullmatch(rf"\S+ 1 of 3: \S+ ok, generated in \d+\.\d s \({pace}, 0 failed\)", one)
    assert re.fullmatch(
        rf"\S+ 2 of 3: \S+ failed no_video: .*, tried for \d+\.\d s \({pace}, 1 failed\)", two
    )
    assert re.fullmatch(
        r"\S+ 3 of 3: \S+ ok, generated in \d+\.\d s \(\S+ videos/min, 0:00 left, 1 failed\)",
        three,
    )


def test_a_full_disk_is_its_own_word(shard, samples, fake):
    fake.broken[names(samples)[0]] = OSError(errno.ENOSPC, "No space left on device")
    detail = shard().rows[names(samples)[0]]["detail"]
    assert detail == "disk_full: OSError: [Errno 28] No space left on device"


def test_ready_videos_of_a_method_are_imported(samples, tmp_path, fake):
    method = Method("fake", "Fake", 2025, "none", "import", "", 1, False)
    samples["pair_id"] = ["a__song", "b__song", "c__song"]
    clip = Path(samples["clip_path"][0])
    made = tmp_path / "generators" / "fake" / "videos" / "b__song.mp4"
    made.parent.mkdir(parents=True)
    made.write_bytes(fake.video)
    settings = GenerationSettings(1, 64, 25.0, generators=tmp_path / "generators")
    rows = generate_shard(samples, method, tmp_path / "out", settings)
    assert [row["status"] for row in rows] == ["failed", "ok", "failed"]
    assert (rows[1]["path"], rows[1]["clip_path"]) == (str(made), str(clip))
    assert fake.made == []
