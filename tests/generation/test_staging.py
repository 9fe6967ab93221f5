import errno
import os
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfqa import media
from sfqa.errors import UserError
from sfqa.generation import staging
from sfqa.repositories import workspace


@pytest.fixture
def repo(tmp_path) -> Path:
    """A repository with everything that an overlay must tell apart."""
    folder = tmp_path / "re.po sitory"
    for name in (".git", "output", "src", "weights", ".cache"):
        (folder / name).mkdir(parents=True)
        (folder / name / "there.txt").write_text(name)
    (folder / "run.py").write_text("")
    (folder / "last.log").write_text("")
    return folder


def test_a_place_has_a_safe_name_wherever_it_lies(tmp_path, repo):
    folder = tmp_path / "my results v1.5, 'übung'" / "work" / "a__b__x.y"
    with workspace.open_workspace(folder, repo, ()) as place:
        alias = place.root
        for path in (place.cwd, place.work, place.inputs, place.outputs, place.temporary):
            assert set(str(path)) <= set("/_-abcdefghijklmnopqrstuvwxyz0123456789")
            assert path.is_dir()
        assert place.inputs.parent == place.outputs.parent == place.work
        assert {path.name for path in place.work.iterdir()} == {"inputs", "outputs"}
        (place.work / "video.mp4").write_bytes(b"made")
    assert not os.path.lexists(alias)
    assert (folder / "work" / "video.mp4").read_bytes() == b"made"


def test_the_alias_goes_after_an_error(tmp_path, repo):
    with (
        pytest.raises(KeyboardInterrupt),
        workspace.open_workspace(tmp_path / "w", repo, ()) as place,
    ):
        raise KeyboardInterrupt
    assert not os.path.lexists(place.root)


def test_a_place_is_fresh_and_a_stale_alias_goes(tmp_path, repo):
    folder = tmp_path / "w"
    with workspace.open_workspace(folder, repo, ()) as place:
        (place.work / "stale.mp4").write_bytes(b"old")
    place.root.symlink_to(folder)  # what a kill -9 leaves
    with workspace.open_workspace(folder, repo, ()) as again:
        assert not os.path.lexists(place.root)
        assert not (again.work / "stale.mp4").exists()
        assert again.root != place.root


def test_an_alias_of_somebody_else_stays(tmp_path, repo):
    folder, other = tmp_path / "w", tmp_path / "other"
    with workspace.open_workspace(folder, repo, ()) as place:
        pass
    place.root.symlink_to(other)
    workspace.remove_workspace(folder)
    assert place.root.readlink() == other
    place.root.unlink()


def test_read_only_copies_are_removed_and_the_repository_is_not(tmp_path, repo):
    folder = tmp_path / "w"
    with workspace.open_workspace(folder, repo, ()) as place:
        locked = place.work / "snapshot"
        (locked / "inner").mkdir(parents=True)
        (locked / "inner" / "f").write_text("x")
        (locked / "inner").chmod(0o555)
        locked.chmod(0o555)
    workspace.remove_workspace(folder)
    workspace.remove_workspace(folder)
    assert not folder.exists()
    assert (repo / "src" / "there.txt").read_text() == "src"


def test_the_overlay_shows_the_repository_and_hides_what_is_private(tmp_path, repo):
    folder = tmp_path / "cwd"
    folder.mkdir()
    workspace.link_repository(repo, folder, ("output", ".cache", "last.log", "not_there"))
    assert {path.name for path in folder.iterdir()} == {
        "output", ".cache", "src", "weights", "run.py"
    }  # fmt: skip
    assert {path.name for path in folder.iterdir() if path.is_symlink()} == {
        "src", "weights", "run.py"
    }  # fmt: skip
    assert list((folder / "output").iterdir()) == []
    assert (folder / "src" / "there.txt").read_text() == "src"
    (folder / "output" / "new.mp4").write_text("")
    (folder / "new.mp4").write_text("")
    assert {path.name for path in (repo / "output").iterdir()} == {"there.txt"}
    assert not (repo / "new.mp4").exists()


def test_a_relative_repository_can_be_linked(tmp_path, repo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with workspace.open_workspace(tmp_path / "w", Path(repo.name), ()) as place:
        assert (place.cwd / "src" / "there.txt").read_text() == "src"


def test_an_unsafe_temporary_folder_is_passed_over(tmp_path, repo, monkeypatch):
    unsafe = tmp_path / "a.b c"
    unsafe.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(unsafe))
    with workspace.open_workspace(tmp_path / "w", repo, ()) as place:
        assert place.root.parent in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
    assert list(unsafe.iterdir()) == []


def test_no_safe_temporary_folder_is_told(tmp_path, repo, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with (
        pytest.raises(UserError, match="without dots, spaces and accents .*; set TMPDIR"),
        workspace.open_workspace(tmp_path / "w", repo, ()),
    ):
        pass


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK", "RGB"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_become_rgb(tmp_path, mode, suffix):
    # Smooth, so that JPEG keeps it within a few grey levels.
    ramp = np.linspace(40, 200, 80, dtype=np.uint8)
    picture = np.stack([np.tile(ramp, (80, 1)), np.tile(ramp[:, None], (1, 80))] * 2, axis=2)[
        ..., :3
    ]
    source = Image.fromarray(np.ascontiguousarray(picture)).convert(mode)
    path, target = tmp_path / "in.tiff", tmp_path / f"i1{suffix}"
    source.save(path)
    staging.stage_image(path, target)
    with Image.open(target) as staged:
        assert staged.format == {".png": "PNG", ".jpg": "JPEG"}[suffix]
        assert staged.mode == "RGB"
        difference = np.asarray(staged, int) - np.asarray(source.convert("RGB"), int)
    assert np.abs(difference).max() <= (0 if suffix == ".png" else 8)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_broken_images_are_told(tmp_path, content):
    path = tmp_path / "in.png"
    path.write_bytes(content)
    with pytest.raises(media.MediaError, match="in.png: cannot be read as a picture"):
        staging.stage_image(path, tmp_path / "out.png")


@pytest.mark.parametrize(
    ("length", "padded", "samples"),
    [(1.0, 1.0, 16000), (1.0, 1.05, 16800), (1.0, 0.5, 16000), (1.33, 5.05, 80800)],
)
def test_sounds_become_padded_waves(tmp_path, length, padded, samples):
    own = round(length * 16000)
    tone = 0.5 * np.sin(np.arange(own) / 9).astype(np.float32)
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    media.write_wave(source, tone, 16000)
    asked = []
    seconds = staging.stage_sound(source, target, lambda s: asked.append(s) or padded)
    assert seconds == own / 16000
    assert asked == [seconds]
    with wave.open(str(target)) as out:
        facts = (out.getnchannels(), out.getsampwidth(), out.getframerate(), out.getnframes())
        data = np.frombuffer(out.readframes(samples), "<i2")
    assert facts == (1, 2, 16000, samples)
    assert np.abs(data[:own] / 32767 - tone).max() < 2 / 32767
    assert not data[own:].any()


def test_a_picture_is_no_sound(tmp_path, portrait):
    for path in (portrait, tmp_path / "nowhere.wav"):
        with pytest.raises(media.MediaError):
            staging.stage_sound(path, tmp_path / "out.wav", lambda s: s)
