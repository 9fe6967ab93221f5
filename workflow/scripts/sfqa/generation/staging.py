"""Private places for runs of generators, under names that every path handling survives."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import string
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sfqa import media
from sfqa.errors import UserError

_SAFE = re.compile(r"(/[A-Za-z0-9_-]+)+")
_LETTERS = 10
_ALIAS = "alias"
_IN_ALIAS = re.compile(rf"(/[\w.-]+)+/sfqa[a-z]{{{_LETTERS}}}/")


@dataclass(frozen=True)
class Place:
    """The folders of one run, all below an alias whose name holds no dot and no space.

    ``cwd`` shows the repository, ``work`` is the generator's, with ``inputs`` and ``outputs`` in
    it; ``temporary`` and ``tools`` serve its environment.
    """

    root: Path

    @property
    def cwd(self) -> Path:
        """Where the generator is started."""
        return self.root / "cwd"

    @property
    def work(self) -> Path:
        """What the generator may fill."""
        return self.root / "work"

    @property
    def inputs(self) -> Path:
        """The staged images and sounds."""
        return self.work / "inputs"

    @property
    def outputs(self) -> Path:
        """Where generators write that can be told where to."""
        return self.work / "outputs"

    @property
    def temporary(self) -> Path:
        """The TMPDIR of the run."""
        return self.root / "tmp"

    @property
    def tools(self) -> Path:
        """What is put on its PATH."""
        return self.root / "bin"


@contextlib.contextmanager
def place(folder: Path, repo: Path, private: Sequence[str]) -> Iterator[Place]:
    """Give a fresh place in ``folder`` for the time of the block.

    What a killed run left there is removed. Afterwards the alias goes, the folder stays.
    """
    remove(folder)
    folder.mkdir(parents=True)
    alias = _alias_of(folder.resolve())
    try:
        (folder / _ALIAS).write_text(f"{alias}\n", encoding="utf-8")
        made = Place(alias)
        for part in (made.cwd, made.inputs, made.outputs, made.temporary, made.tools):
            part.mkdir(parents=True)
        overlay(repo, made.cwd, private)
        yield made
    finally:
        alias.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove a run's folder, if there is one, and its alias, if a killed run left it."""
    with contextlib.suppress(OSError, ValueError):
        alias = Path((folder / _ALIAS).read_text(encoding="utf-8").strip())
        if alias.readlink() == folder.resolve():
            alias.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # Copies of read-only folders cannot be emptied.
        for inner, _, _ in os.walk(folder):
            Path(inner).chmod(0o700)
        shutil.rmtree(folder)


def overlay(repo: Path, folder: Path, private: Sequence[str]) -> None:
    """Fill a folder with links to what a repository holds, but not its history.

    Of the ``private`` names, folders become new empty folders; the rest is left out.
    """
    for entry in sorted(repo.absolute().iterdir()):
        if entry.name == ".git":
            continue
        if entry.name not in private:
            (folder / entry.name).symlink_to(entry)
        elif entry.is_dir():
            (folder / entry.name).mkdir()


def stage_image(source: Path, target: Path) -> None:
    """Write a picture as 8-bit RGB in the format of the target's suffix.

    Raises :class:`media.MediaError` where it cannot be read, ``OSError`` where not written.
    """
    try:
        with Image.open(source) as image:
            picture = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise media.MediaError(f"{source}: cannot be read as a picture ({error})") from error
    if target.suffix in (".jpg", ".jpeg"):
        picture.save(target, quality=98, subsampling=0)  # the generator's own losses are to be seen
    else:
        picture.save(target)


def stage_sound(source: Path, target: Path, padded: Callable[[float], float]) -> float:
    """Write a sound as 16-bit mono wave, padded with silence; return its own length in seconds.

    ``padded`` gives the length to pad to, from the own one; never less than that is written.
    Raises :class:`media.MediaError` where it cannot be read, ``OSError`` where not written.
    """
    rate = media.probe(source).sample_rate
    if rate <= 0:
        raise media.MediaError(f"{source}: holds no sound")
    sound = media.read_audio(source, rate)
    seconds = len(sound) / rate
    missing = round(padded(seconds) * rate) - len(sound)
    media.write_wave(target, np.pad(sound, (0, max(0, missing))), rate)
    return seconds


def plain(text: str) -> str:
    """Return a message without aliases, which are other ones each time.

    >>> plain("no /tmp/sfqaabcdefghij/work/a.mp4")
    'no work/a.mp4'
    """
    return _IN_ALIAS.sub("", text)


def _alias_of(folder: Path) -> Path:
    """A new link to a folder, in a temporary folder whose own path is safe."""
    tried = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for base in tried:
        while _SAFE.fullmatch(base):
            name = "sfqa" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LETTERS))
            alias = Path(base, name)
            try:
                alias.symlink_to(folder)
            except FileExistsError:
                continue
            except OSError:
                break
            return alias
    raise UserError(
        f"no folder for temporary files has a path without dots, spaces and accents ("
        f"{', '.join(tried)} were tried), which generators need; set TMPDIR to one that does"
    )
