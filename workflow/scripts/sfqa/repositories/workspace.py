"""Private workspaces for runs of programs, with paths that no program can mishandle."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import string
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from sfqa.errors import UserError

_SAFE = re.compile(r"(/[A-Za-z0-9_-]+)+")
_LETTERS = 10
_ALIAS = "alias"
_IN_ALIAS = re.compile(rf"(/[\w.-]+)+/sfqa[a-z]{{{_LETTERS}}}/")


@dataclass(frozen=True)
class Workspace:
    """The folders of one run, all below a link whose path holds no dot and no space.

    ``cwd`` shows the repository; the program is started there. ``work`` is the folder that it may
    write to, with ``inputs`` for the staged files and ``outputs`` for programs with an option for
    their output file. ``temporary`` is its TMPDIR, and ``tools`` is put on its PATH.
    """

    root: Path
    cwd: Path
    work: Path
    inputs: Path
    outputs: Path
    temporary: Path
    tools: Path


@contextlib.contextmanager
def open_workspace(folder: Path, repo: Path, private: Sequence[str]) -> Iterator[Workspace]:
    """Create an empty workspace in ``folder`` and link it under a safe path during the block.

    Files of a killed run are removed first. At the end the link is deleted and the folder stays.
    """
    remove_workspace(folder)
    folder.mkdir(parents=True)
    alias = _create_alias(folder.resolve())
    try:
        (folder / _ALIAS).write_text(f"{alias}\n", encoding="utf-8")
        work = alias / "work"
        workspace = Workspace(
            root=alias,
            cwd=alias / "cwd",
            work=work,
            inputs=work / "inputs",
            outputs=work / "outputs",
            temporary=alias / "tmp",
            tools=alias / "bin",
        )
        for path in astuple(workspace)[1:]:
            path.mkdir(parents=True, exist_ok=True)
        link_repository(repo, workspace.cwd, private)
        yield workspace
    finally:
        alias.unlink(missing_ok=True)


def remove_workspace(folder: Path) -> None:
    """Remove the folder of a run, and the link to it if a killed run left it."""
    with contextlib.suppress(OSError, ValueError):
        alias = Path((folder / _ALIAS).read_text(encoding="utf-8").strip())
        if alias.readlink() == folder.resolve():
            alias.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # The files in copies of read-only folders cannot be deleted before their mode changes.
        for inner, _, _ in os.walk(folder):
            Path(inner).chmod(0o700)
        shutil.rmtree(folder)


def link_repository(repo: Path, folder: Path, private: Sequence[str]) -> None:
    """Fill a folder with links to the entries of a repository, without its ``.git``.

    Entries named in ``private`` are not linked: folders become new empty folders, files are left
    out.
    """
    for entry in sorted(repo.absolute().iterdir()):
        if entry.name == ".git":
            continue
        if entry.name not in private:
            (folder / entry.name).symlink_to(entry)
        elif entry.is_dir():
            (folder / entry.name).mkdir()


def remove_aliases(text: str) -> str:
    """Return a message without the links to workspaces, whose random names differ in each run.

    >>> remove_aliases("no /tmp/sfqaabcdefghij/work/a.mp4")
    'no work/a.mp4'
    """
    return _IN_ALIAS.sub("", text)


def _create_alias(folder: Path) -> Path:
    """Create a link to a folder, in the first temporary folder that has a safe path."""
    bases = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for base in bases:
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
        f"{', '.join(bases)} were tried), which programs need; set TMPDIR to one that does"
    )
