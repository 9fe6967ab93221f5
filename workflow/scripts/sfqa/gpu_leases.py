"""Lease GPUs, so that no two jobs share one unless they are meant to.

A lease is a lock on a file that is named after the GPU's identity. The operating system releases it
when the job dies. The files lie in a folder of the user that nobody else can enter, or in a folder
that an administrator provides for all users. Links are not followed, and no file is changed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import random
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sfqa.errors import UserError
from sfqa.gpu_names import Gpu

log = logging.getLogger("sfqa")

#: Names a folder for the locks: one of the user (mode 0700), or one for all users (root's, 1777).
FOLDER_VARIABLE = "SFQA_GPU_LOCKS"
#: How many jobs may use a GPU at a time; 1 by default.
JOBS_VARIABLE = "SFQA_JOBS_PER_GPU"

#: Variables in which Slurm names the devices that it granted to a job or to a step of it.
_SLURM_GRANTS = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")
_POLL_SEC = 0.5
#: How often a lock file of another user is opened again: its owner may not have made it readable.
_ATTEMPTS = 10


def read_slurm_job() -> str:
    """Return the number of the Slurm job that was granted GPUs and runs this process, else ''."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return job if any(os.environ.get(name) for name in _SLURM_GRANTS) else ""


def read_jobs_per_gpu() -> int:
    """Return how many jobs may use a GPU at a time (:data:`JOBS_VARIABLE`).

    Raises :class:`UserError` if the variable is not a whole number above 0.
    """
    text = os.environ.get(JOBS_VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(
            f"{JOBS_VARIABLE}={text}: this is not a number of jobs; write a whole number above 0"
        )
    return int(text)


@contextmanager
def lease_gpu(gpus: Sequence[Gpu], poll_sec: float = _POLL_SEC) -> Iterator[Gpu]:
    """Lease one of the GPUs until the block ends; wait until one is free (:func:`lease_gpus`).

    >>> with lease_gpu([Gpu("doctest", "doctest")]) as gpu: gpu.name
    'doctest'
    """
    with lease_gpus(gpus, 1, poll_sec) as leased:
        yield leased[0]


@contextmanager
def lease_gpus(gpus: Sequence[Gpu], count: int, poll_sec: float = _POLL_SEC) -> Iterator[list[Gpu]]:
    """Lease ``count`` of the GPUs until the block ends; wait until so many are free.

    If there are fewer, all are leased. A job that waits holds none, so that two jobs never wait for
    each other. A single GPU that Slurm granted to this job is used without a lease: Slurm gives it
    to no other job, and without nvidia-smi all jobs know theirs by the same number, 0. Raises
    ``ValueError`` for no GPUs and :class:`UserError` if the folder of the locks is not safe.

    >>> with lease_gpus([Gpu("doctest", "doctest")], 2) as leased: [gpu.name for gpu in leased]
    ['doctest']
    """
    if not gpus:
        raise ValueError("no GPUs to choose from")
    if len(gpus) == 1 and read_slurm_job():
        yield list(gpus)
        return
    if not all(gpu.has_uuid for gpu in gpus):
        log.info(
            "nvidia-smi gives no UUIDs, so a GPU is known by its number: jobs that name the same "
            "one otherwise do not wait for each other"
        )
    folder = _open_folder()
    try:
        locks = _wait_for_locks(folder, gpus, min(count, len(gpus)), poll_sec)
    finally:
        os.close(folder)
    try:
        yield [gpu for gpu in gpus if gpu in locks]
    finally:
        _release(locks)


def _wait_for_locks(
    folder: int, gpus: Sequence[Gpu], count: int, poll_sec: float
) -> dict[Gpu, int]:
    """Return ``count`` GPUs with the descriptors of their locked files.

    GPUs without any job come first.
    """
    is_waiting = False
    while True:
        locks = _lock_free_gpus(folder, gpus, count)
        if len(locks) == count:
            return locks
        _release(locks)
        if not is_waiting:
            names = ", ".join(gpu.name for gpu in gpus)
            number = "one" if count == 1 else str(count)
            log.info("waits for %s of the GPUs %s, which other jobs use", number, names)
            is_waiting = True
        # Two jobs that take each other's last GPU at the same moment try again at other moments.
        time.sleep(poll_sec * (1 if count == 1 else random.uniform(0.5, 1.5)))


def _lock_free_gpus(folder: int, gpus: Sequence[Gpu], count: int) -> dict[Gpu, int]:
    """Return at most ``count`` GPUs that could be locked, without waiting."""
    locks: dict[Gpu, int] = {}
    try:
        for slot in range(read_jobs_per_gpu()):
            for gpu in gpus:
                if len(locks) == count:
                    return locks
                if gpu not in locks:
                    lock = _try_lock(folder, _make_lock_name(gpu, slot))
                    if lock is not None:
                        locks[gpu] = lock
    except BaseException:
        _release(locks)
        raise
    return locks


def _try_lock(folder: int, name: str) -> int | None:
    """Return the descriptor of a lock file that is now locked, None if another job has it."""
    lock = _open_lock(folder, name)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError as error:
        os.close(lock)
        raise UserError(
            f"the folder of the GPU locks cannot hold locks ({error.strerror}); name "
            f"one on a local disk by {FOLDER_VARIABLE}"
        ) from error
    return lock


def _release(locks: Mapping[Gpu, int]) -> None:
    for lock in locks.values():
        os.close(lock)


def _make_lock_name(gpu: Gpu, slot: int) -> str:
    """Return the file name of a lock; a number is unique only on one machine, in one Slurm job."""
    parts = [gpu.identity.replace("/", "_")]
    if not gpu.has_uuid:
        parts = [os.uname().nodename, *filter(None, [read_slurm_job()]), *parts]
    return "-".join([*parts, str(slot)]) + ".lock"


def _open_folder() -> int:
    """Return a descriptor of the folder of the locks, which is created if it is the user's own.

    Raises :class:`UserError` if it is a link, belongs to somebody else, or others may enter it;
    a folder for all users must belong to root and have the mode 1777.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        try:
            return _check_folder(Path(chosen), may_be_shared=True)
        except OSError as error:
            reason = f"it cannot be opened ({error.strerror})"
            raise UserError(_explain_folder(Path(chosen), reason)) from error
    try:
        return _check_folder(Path.home() / ".cache" / "sfqa" / "gpu", may_be_shared=False)
    except (OSError, RuntimeError):  # no home, or it cannot be written
        return _check_folder(Path(f"/tmp/sfqa-gpu-{os.geteuid()}"), may_be_shared=False)


def _check_folder(path: Path, may_be_shared: bool) -> int:
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise UserError(_explain_folder(path, "it is a link or a file")) from error
    facts = os.fstat(folder)
    mode = stat.S_IMODE(facts.st_mode)
    is_shared = may_be_shared and facts.st_uid == 0 and mode == 0o1777
    if not is_shared and (facts.st_uid != os.geteuid() or mode & 0o077):
        os.close(folder)
        reason = f"it belongs to user {facts.st_uid} and has the mode {mode:04o}"
        raise UserError(_explain_folder(path, reason))
    return folder


def _explain_folder(path: Path, reason: str) -> str:
    return (
        f"{path}: this folder cannot hold the locks of GPUs, because {reason}; it must be a folder "
        f"of your own with the mode 0700, or, if {FOLDER_VARIABLE} names it, root's with the mode "
        "1777"
    )


def _open_lock(folder: int, name: str) -> int:
    """Return a descriptor of a lock file, which is created empty if it does not exist.

    Opening for reading is enough for a lock, so that no file can be changed here. A file of
    another user in the shared folder is readable as soon as its owner has created it.
    """
    common = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    error: OSError | None = None
    for _ in range(_ATTEMPTS):
        try:
            lock = os.open(name, os.O_RDONLY | common, dir_fd=folder)
        except FileNotFoundError:
            with suppress(FileExistsError):
                lock = os.open(
                    name, os.O_RDONLY | os.O_CREAT | os.O_EXCL | common, 0o644, dir_fd=folder
                )
                os.fchmod(lock, 0o644)  # whatever the umask is
                return lock
            continue
        except PermissionError as caught:
            error = caught
            time.sleep(0.02)
            continue
        except OSError as caught:
            error = caught
            break
        if stat.S_ISREG(os.fstat(lock).st_mode):
            return lock
        os.close(lock)
        break
    raise UserError(
        f"{name}: this is not a lock file that can be opened ({error or 'not a file'}) in the "
        f"folder of the GPU locks; delete it, or name another folder by {FOLDER_VARIABLE}"
    )
