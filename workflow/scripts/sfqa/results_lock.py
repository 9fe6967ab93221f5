"""The lock of a results folder: one workflow at a time, whichever folder it was started in.

Snakemake locks only the folder that it was started in. The lock here is a file in the results of a
dataset, ``.running``, with two parts. The operating system's lock on it (flock) ends with the
process, also by kill -9, and holds on one machine and between the machines of NFS version 4. Where
a file system has no such locks, or keeps them on one machine only (some mounts of Lustre and NFS),
the record in the file counts: host, process and start of the run. A run renews the file's time, so
a record of another machine that has not been renewed for :data:`STALE_SEC` belongs to a run that
was killed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sfqa.errors import UserError, explain_write_errors

LOCK_NAME = ".running"
#: Seconds between two renewals, and after which a record of another machine is not believed.
RENEW_SEC, STALE_SEC = 20.0, 120.0
_MAX_BYTES = 4096
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
#: How often the file is opened again because another run deleted it meanwhile.
_ATTEMPTS = 20
#: On a file system without locks: seconds after which the last of several records is the one.
_SETTLE_SEC = 1.0


@dataclass(frozen=True)
class Run:
    """A run as its lock file records it.

    ``boot``: the machine's id of this start. ``started``: the process's start in the machine's own
    unit, which tells it from a later process of the same number.
    """

    host: str
    boot: str
    pid: int
    started: str
    user: int
    folder: str
    since: str

    def describe(self) -> str:
        """Return who works since when, for a sentence."""
        return (
            f"process {self.pid} on {self.host} (user {self.user}), since {self.since}, started in "
            f"{self.folder}"
        )


class ResultsLock:
    """Holds the lock of a results folder until :meth:`release`, or until the process ends.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> lock = ResultsLock(folder); lock.acquire(); lock.release()
    >>> list(folder.iterdir())
    []
    """

    def __init__(self, results: Path) -> None:
        self.path = Path(results) / LOCK_NAME
        self._handle: int | None = None
        self._released = threading.Event()

    def acquire(self) -> None:
        """Take the lock; raises :class:`UserError` if another run holds it, stating which."""
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            handle, is_writable = _open_lock_file(self.path)
            try:
                has_lock = _try_lock(handle)
                if not _is_current(handle, self.path):
                    continue
                self._check_free(handle, has_lock)
                if not is_writable:  # the file of another user, whose run was killed
                    with explain_write_errors(self.path):
                        self.path.unlink()
                    continue
                _write_record(handle, self.path)
                if has_lock is None and not _has_kept_record(handle, self.path):
                    continue  # another run started at the same time
                self._handle, handle = handle, -1
            finally:
                if handle >= 0:
                    os.close(handle)
            threading.Thread(target=self._renew, daemon=True).start()
            return
        raise UserError(f"{self.path}: another run took this lock at the same time; try again")

    def release(self) -> None:
        """Delete the lock file and release the lock."""
        self._released.set()
        if self._handle is None:
            return
        with suppress(OSError):
            if _is_current(self._handle, self.path):
                self.path.unlink()
        os.close(self._handle)
        self._handle = None

    def _check_free(self, handle: int, has_lock: bool | None) -> None:
        run = _read_record(handle, self.path)
        if has_lock is False:
            text = run.describe() if run else "a process that has just started"
        elif run is None or not _may_work(run, handle, self.path, has_lock):
            return
        else:
            text = run.describe()
            if not _is_this_machine(run):
                text += (
                    "; if that run was killed, its lock is free "
                    f"{STALE_SEC:.0f} seconds after its last sign of life"
                )
        raise UserError(
            f"{self.path.parent}: another workflow works on these results: {text}. Wait until it "
            "ends, or stop it; a plan (snakemake -n) and sfqa site are possible meanwhile"
        )

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SEC):
            with suppress(OSError):
                # Without times, NFS uses the clock of its server, as :func:`_measure_age` does.
                os.utime(self.path, follow_symlinks=False)


def find_run(results: Path) -> Run | None:
    """Return the run that works on a results folder, None if there is none or if it was killed."""
    path = Path(results) / LOCK_NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        run = _read_record(handle, path)
        # A shared lock is enough to learn whether somebody holds the exclusive one.
        has_lock = _try_lock(handle, fcntl.LOCK_SH)
        if run is None or (has_lock is not False and not _may_work(run, handle, path, has_lock)):
            return None
        return run
    finally:
        os.close(handle)


def _open_lock_file(path: Path) -> tuple[int, bool]:
    """Return a descriptor of the lock file, and whether it may be written."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    is_writable = True
    with explain_write_errors(path):
        try:
            # Every user may read who works on the results.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        except PermissionError:
            is_writable = False
            handle = os.open(path, os.O_RDONLY | flags)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise UserError(f"{path}: this is a link and not a lock file; delete it") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise UserError(f"{path}: this is not the lock file of a run; delete it")
    return handle, is_writable


def _try_lock(handle: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Return whether the lock was taken; None if the file system has no locks."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


def _is_current(handle: int, path: Path) -> bool:
    """Return whether a path still leads to the open file: a run that ends deletes it."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _may_work(run: Run, handle: int, path: Path, has_lock: bool | None) -> bool:
    """Return whether the run of a record may still work, although its lock was not refused."""
    if _is_this_machine(run):
        if has_lock:
            return False
        if run.host == socket.gethostname():  # not in another container
            return _read_start(run.pid) == run.started
    return _measure_age(handle, path) < STALE_SEC


def _measure_age(handle: int, path: Path) -> float:
    """Return the seconds since a file was changed, by the clock of its file system."""
    status = os.fstat(handle)
    now = time.time()
    with suppress(OSError):
        probe = path.with_name(f"{LOCK_NAME}.{os.getpid()}")
        with open(probe, "x") as file:
            now = os.fstat(file.fileno()).st_mtime
        probe.unlink()
    return abs(now - status.st_mtime)


def _write_record(handle: int, path: Path) -> None:
    run = Run(
        socket.gethostname(), _read_boot_id(), os.getpid(), _read_start(os.getpid()),
        os.geteuid(), str(Path.cwd()), time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    )  # fmt: skip
    with explain_write_errors(path):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(run)).encode(), 0)
        os.fsync(handle)


def _has_kept_record(handle: int, path: Path) -> bool:
    """Return whether this run's record is still in the file after a moment, without any locks."""
    time.sleep(_SETTLE_SEC)
    run = _read_record(handle, path)
    return run is not None and (run.pid, run.boot) == (os.getpid(), _read_boot_id())


def _read_record(handle: int, path: Path) -> Run | None:
    """Return the record of a lock file, None for an empty one.

    Raises :class:`UserError` for a file with any other content, which is not overwritten.
    """
    data = os.pread(handle, _MAX_BYTES + 1, 0)
    if not data.strip():
        return None
    try:
        run = Run(**json.loads(data))
        values = asdict(run)
        if [type(value) for value in values.values()] != [str, str, int, str, int, str, str]:
            raise ValueError("a value of another type")
        if not all(str(value).isprintable() for value in values.values()):
            raise ValueError("a control character")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: this is not the lock file of a run; delete it") from error
    return run


def _is_this_machine(run: Run) -> bool:
    """Return whether a run is one of this machine, perhaps in another container."""
    boot = _read_boot_id()
    return run.boot == boot if boot else run.host == socket.gethostname()


def _read_boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _read_start(pid: int) -> str:
    """Return when a process started, in the unit of the system; '' if there is no such process."""
    with suppress(OSError, IndexError):
        # The name of the program, in brackets, may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
