from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from sfqa import gpu_leases
from sfqa.errors import UserError
from sfqa.gpu_leases import lease_gpu, lease_gpus
from sfqa.gpu_names import Gpu

PACKAGE = Path(gpu_leases.__file__).parents[1]
NOBODY = 65534
A, B = Gpu("GPU-a", "GPU-a"), Gpu("GPU-b", "GPU-b")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SFQA_", "CUDA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


#: Leases one of the visible GPUs, prints its identity and the time, and holds it.
HOLD = """
import json, os, sys, time
from sfqa import gpu_leases, gpu_names
if sys.argv[1:]:  # only now: another user may not be able to read the interpreter
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
try:
    with gpu_leases.lease_gpu(gpu_names.list_visible_gpus(), 0.02) as gpu:
        print(json.dumps([gpu.identity, time.time()]), flush=True)
        sys.stdin.readline()
except gpu_leases.UserError as error:
    print(json.dumps(["error", str(error)]), flush=True)
"""


class Holder:
    """A process that leases a GPU and holds it until it is told to end."""

    def __init__(self, uid: int | None = None, **variables: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", HOLD, *([str(uid)] if uid else [])]
        self.process = subprocess.Popen(
            command, env={**env, **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def read(self) -> list:
        """Wait until it has a GPU or an error."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self) -> float:
        """Let it end; returns when it was told to."""
        now = time.time()
        self.process.communicate("\n", timeout=20)
        return now


@pytest.fixture
def hold():
    """Start holders; all are ended after the test."""
    holders: list[Holder] = []

    def start(uid: int | None = None, **variables: str) -> Holder:
        holders.append(Holder(uid, **variables))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()


@pytest.fixture
def open_folder():
    """A folder that all users can enter."""
    folder = Path(tempfile.mkdtemp(prefix="sfqa-leases-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def list_for(folder: Path, name: str, text: str) -> str:
    """Write an nvidia-smi that prints a text; returns the PATH with it."""
    tool = folder / name / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


def test_two_leases_hold_two_devices_and_a_third_waits():
    leased: list[Gpu] = []

    def third() -> None:
        with lease_gpu([A, B], poll_sec=0.01) as gpu:
            leased.append(gpu)

    with lease_gpu([A, B]) as first:
        with lease_gpu([A, B]) as second:
            assert (first, second) == (A, B)
            waiting = threading.Thread(target=third)
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
        waiting.join(5)
        assert leased == [B]


def test_an_error_in_the_block_frees_the_device():
    with pytest.raises(ZeroDivisionError), lease_gpu([A]):
        1 / 0  # noqa: B018
    with lease_gpu([A]) as gpu:
        assert gpu == A


def test_a_gpu_that_is_known_by_its_number_only_is_said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("sfqa"), "propagate", True)
    caplog.set_level(logging.INFO, "sfqa")
    with lease_gpu([A]):
        assert not caplog.records
    with lease_gpu([Gpu("0", "0")]):
        assert "a GPU is known by its number" in caplog.text


def test_several_gpus_are_leased_together():
    """Who waits for two holds none, so that a job of one GPU is not kept from it."""
    leased: list[list[Gpu]] = []

    def lease_both() -> None:
        with lease_gpus([A, B], 2, poll_sec=0.01) as gpus:
            leased.append(gpus)

    with lease_gpu([A, B]) as first:
        assert first == A
        waiting = threading.Thread(target=lease_both)
        waiting.start()
        with lease_gpu([A, B], poll_sec=0.01) as second:
            assert second == B
            waiting.join(0.1)
            assert waiting.is_alive()
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join(5)
    assert leased == [[A, B]]
    with lease_gpus([A, B], 5) as gpus:  # fewer than asked for: all that there are
        assert gpus == [A, B]


def test_jobs_that_want_all_gpus_never_wait_for_each_other():
    """In opposite orders, where each would hold the GPU that the other lacks."""
    n_leased = []

    def lease_often(gpus: list[Gpu]) -> None:
        for _ in range(20):
            with lease_gpus(gpus, 2, poll_sec=0.002):
                n_leased.append(1)

    threads = [threading.Thread(target=lease_often, args=(g,)) for g in ([A, B], [B, A])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(n_leased) == 40


def test_several_gpus_of_a_job_are_different_ones(monkeypatch):
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "2")
    with lease_gpus([A, B], 2) as gpus, lease_gpus([A, B], 2) as others:
        assert gpus == others == [A, B]


def test_no_gpus_are_an_error():
    with pytest.raises(ValueError, match="no GPUs"), lease_gpu([]):
        pass


def test_several_jobs_share_a_gpu_where_the_user_says_so(monkeypatch):
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "2")
    with lease_gpu([A, B]) as first, lease_gpu([A, B]) as second, lease_gpu([A, B]) as third:
        assert (first, second, third) == (A, B, A)  # every GPU gets one job before one gets two
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "²")
    with pytest.raises(UserError, match="SFQA_JOBS_PER_GPU=²: this is not a number of jobs"):
        gpu_leases.read_jobs_per_gpu()
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "many")
    with pytest.raises(UserError, match="write a whole number above 0"), lease_gpu([A]):
        pass


def test_a_killed_job_frees_its_device_and_needs_no_torch(hold):
    holder = hold(CUDA_VISIBLE_DEVICES="GPU-a")
    assert holder.read()[0] == "GPU-a"
    with lease_gpu([A, B]) as gpu:
        assert gpu == B
    holder.process.kill()
    holder.process.wait()
    with lease_gpu([A, B]) as gpu:
        assert gpu == A


def test_a_number_and_a_uuid_of_one_gpu_are_one_lease(tmp_path, hold):
    path = list_for(tmp_path, "bin", "GPU 0: T4 (UUID: GPU-8b9e-1)")
    first = hold(PATH=path, CUDA_VISIBLE_DEVICES="0")
    assert first.read()[0] == "GPU-8b9e-1"
    second = hold(PATH=path, CUDA_VISIBLE_DEVICES="GPU-8b9e")
    time.sleep(0.5)
    told = first.end()
    identity, since = second.read()
    assert identity == "GPU-8b9e-1"
    assert since >= told


def test_slurm_jobs_that_all_see_their_device_as_0_do_not_wait(tmp_path, hold):
    """With ConstrainDevices=yes; before, they queued on one lock while they held idle GPUs."""
    jobs = []
    for job in ("1", "2"):
        path = list_for(tmp_path, job, f"GPU 0: T4 (UUID: GPU-000{job})")
        jobs.append(hold(PATH=path, CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID=job, SLURM_JOB_GPUS=job))
    assert [job.read()[0] for job in jobs] == ["GPU-0001", "GPU-0002"]


def test_without_nvidia_smi_a_device_that_slurm_granted_is_not_leased(tmp_path, hold):
    for job in ("1", "2"):
        grant = {"SLURM_JOB_ID": job, "SLURM_STEP_GPUS": "0"}
        assert hold(PATH=str(tmp_path), CUDA_VISIBLE_DEVICES="0", **grant).read()[0] == "0"
    assert not (tmp_path / ".cache").exists()


def test_several_granted_devices_are_leased_among_the_processes_of_that_job(tmp_path, hold):
    grant = {"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_GPUS": "4,5"}
    names = [hold(**grant, SLURM_JOB_ID=job).read()[0] for job in ("7", "7", "8", "8")]
    assert names == ["0", "1", "0", "1"]


# ---------------------------------------------------------------- safety


def test_the_folder_and_its_files_are_the_users_own(tmp_path):
    folder = tmp_path / ".cache/sfqa/gpu"
    with lease_gpu([A]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [p.name for p in folder.iterdir()] == ["GPU-a-0.lock"]


def test_a_link_to_a_file_is_not_followed_and_the_file_is_not_emptied(tmp_path):
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("my thesis\n")
    folder = tmp_path / ".cache/sfqa/gpu"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "GPU-a-0.lock").symlink_to(thesis)
    with pytest.raises(UserError, match=r"GPU-a-0\.lock.*not a lock file"), lease_gpu([A]):
        pass
    (folder / "GPU-a-0.lock").unlink()
    (folder / "GPU-a-0.lock").hardlink_to(thesis)
    with lease_gpu([A]):
        pass
    assert thesis.read_text() == "my thesis\n"


def test_a_pipe_in_place_of_the_file_does_not_stop_the_job(tmp_path):
    folder = tmp_path / ".cache/sfqa/gpu"
    folder.mkdir(parents=True, mode=0o700)
    os.mkfifo(folder / "GPU-a-0.lock")
    with pytest.raises(UserError, match="not a file"), lease_gpu([A]):
        pass


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / ".cache/sfqa/gpu"
    folder.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="it is a link or a file"), lease_gpu([A]):
        pass


def test_a_folder_that_others_may_enter_is_refused(tmp_path, monkeypatch):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks").chmod(0o755)
    monkeypatch.setenv("SFQA_GPU_LOCKS", str(tmp_path / "locks"))
    with pytest.raises(UserError, match=r"mode 0755; it must be .* 0700, or, .* root's .* 1777"):
        lease_gpu([A]).__enter__()
    monkeypatch.setenv("SFQA_GPU_LOCKS", "/proc/none")
    with pytest.raises(UserError, match="cannot be opened"):
        lease_gpu([A]).__enter__()


@needs_root
def test_a_folder_of_another_owner_is_refused(tmp_path):
    folder = tmp_path / ".cache/sfqa/gpu"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(UserError, match=f"belongs to user {NOBODY}"), lease_gpu([A]):
        pass


@needs_root
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o1775])
def test_two_users_share_a_folder_only_if_an_administrator_made_it(open_folder, hold, mode):
    locks = open_folder / "locks"
    locks.mkdir()
    locks.chmod(mode)
    visible = {"CUDA_VISIBLE_DEVICES": "GPU-a", "SFQA_GPU_LOCKS": str(locks)}
    first = hold(uid=NOBODY, **visible)
    if mode != 0o1777:
        word, sentence = first.read()
        assert word == "error"
        assert "the mode 1777" in sentence
        return
    assert first.read()[0] == "GPU-a"
    second = hold(uid=NOBODY - 1, **visible)
    time.sleep(0.5)
    told = first.end()
    identity, since = second.read()
    assert identity == "GPU-a"
    assert since >= told
    (lock,) = locks.iterdir()
    assert lock.stat().st_uid == NOBODY
    assert lock.stat().st_size == 0


@needs_root
def test_two_users_without_a_shared_folder_do_not_know_of_each_other(open_folder, hold):
    for uid in (NOBODY, NOBODY - 1):
        home = open_folder / str(uid)
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        holder = hold(uid=uid, CUDA_VISIBLE_DEVICES="GPU-a", HOME=str(home))
        assert holder.read()[0] == "GPU-a"
