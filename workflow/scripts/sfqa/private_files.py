"""Open files that only their owner may read, whoever prepared the folder; modes and the umask."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sfqa.errors import UserError

PRIVATE_MODE, PRIVATE_FOLDER_MODE = 0o600, 0o700


def open_private_file(path: Path | str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Return a descriptor of a file that only this user may read; by default it is created.

    Links are not followed and nothing is truncated, so that a folder that somebody else prepared
    cannot direct a write to another file. The mode of an existing file becomes 0600. Raises
    :class:`UserError` for a link, for anything but a file, for a file that also has another name
    (a hard link), and for a file of another user; root may open the files of the folder's owner.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> os.close(open_private_file(folder / "study.lock"))
    >>> oct(stat.S_IMODE((folder / "study.lock").stat().st_mode))
    '0o600'
    """
    safe_flags = flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, safe_flags, PRIVATE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(_explain_file(path, "it is a link")) from error
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise UserError(_explain_file(path, "it is not a file")) from error
        raise
    try:
        _check_file(path, os.fstat(descriptor))
        if os.fstat(descriptor).st_mode & 0o077:
            with suppress(OSError):  # some file systems store no modes
                os.fchmod(descriptor, PRIVATE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_private_file(path: Path | str, create: bool = False) -> None:
    """Make a file private, as :func:`open_private_file` does, without opening an existing one.

    For the database of a study: SQLite opens it by its name, and loses its locks if the same
    process opens and closes the file elsewhere. A missing file is ignored, or created.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if create:
            with suppress(FileExistsError):  # another process was faster
                os.close(open_private_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        return
    if stat.S_ISLNK(status.st_mode):
        raise UserError(_explain_file(path, "it is a link"))
    _check_file(path, status)
    if status.st_mode & 0o077:
        with suppress(OSError):  # some file systems store no modes
            Path(path).chmod(PRIVATE_MODE)


def refuse_links(path: str, flags: int) -> int:
    """Open a file, but not through a link: for ``open(path, mode, opener=refuse_links)``.

    For files that are changed where they are, in folders that others may have prepared. Raises
    :class:`UserError` for a link.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path}: this is a link, and it is not followed; delete it") from error
        raise


def _check_file(path: Path | str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UserError(_explain_file(path, "it is not a file"))
    if status.st_nlink > 1:
        raise UserError(_explain_file(path, "it has a second name (a hard link)"))
    user = os.geteuid()
    if status.st_uid == user:
        return
    if user == 0 and status.st_uid == os.stat(Path(path).absolute().parent).st_uid:  # noqa: PTH116
        return
    raise UserError(_explain_file(path, f"it belongs to user {status.st_uid}, not to {user}"))


def _explain_file(path: Path | str, reason: str) -> str:
    return (
        f"{path}: this file is not used, because {reason}; it must be a file of the user who runs "
        "the command. Delete or move it, and look for who can write to the folder"
    )


def read_umask() -> int:
    """Return the umask of this process, without changing it where the system states it.

    >>> 0 <= read_umask() <= 0o777
    True
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def apply_umask(path: Path, mode: int = 0o666) -> None:
    """Give a file the mode that the umask allows; for files that are created private at first."""
    path.chmod(mode & ~read_umask())


@contextmanager
def private_umask() -> Iterator[None]:
    """Let every file that the block creates be readable by this user only, whoever creates it."""
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)
