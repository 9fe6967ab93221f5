"""Networks that are trained by a group of processes: equal to one, stopped, killed and resumed."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from processes import is_running, raise_in_second
from sfqa.errors import UserError
from sfqa.job import Stopped
from sfqa.regression import fit_processes, heads
from sfqa.regression.network_fits import read_state
from sfqa.regression.problems import make_problem
from sfqa.regression.training_options import TRAINING, drop_display_options
from sfqa.training import processes as training_processes
from small_backbones import draw_views, use_small_backbones
from waiting import wait_until

PACKAGE = Path(fit_processes.__file__).parents[2]
ROWS, TRAIN = 60, 42
#: The training of these tests: pieces, average, dropout in some.
OPTIONS = {"hidden": [6], "dropout": 0.0, "epochs": 3, "batch_rows": 16, "piece_rows": 4, "ema": 0.9,
           "loss": "plcc + 0.3 rank_aigcvqa + 0.1 mse", "precision": "float64"}  # fmt: skip


def make_rows():
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(ROWS, 5)).astype(np.float32)
    y = x @ numbers.normal(size=(5, 2)) + numbers.normal(size=(ROWS, 2))
    return x, make_problem(np.arange(TRAIN), np.arange(TRAIN, ROWS), y, 7, "trial 1")


def fit_network(folder, processes, **changed):
    """Return predictions and the arrays of a network that so many processes train on the CPU."""
    x, problem = make_rows()
    options = heads.merge_options("mlp", {**OPTIONS, **changed, "processes": processes})
    before = torch.get_num_threads()
    torch.set_num_threads(processes)
    try:
        models = heads.load_head("mlp").fit(x, [problem], options, folder, "cpu")
    finally:
        torch.set_num_threads(before)
    return models.predict(x), models.state(0)


@pytest.fixture
def messages(caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("sfqa"), "propagate", True)
    caplog.set_level(logging.INFO, "sfqa")
    return caplog


@pytest.mark.thorough
def test_two_processes_give_the_numbers_of_one(tmp_path, messages):
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    expected, state = fit_network(tmp_path / "one", 1)
    together, state_of_two = fit_network(tmp_path / "two", 2)
    assert "trial 1: 2 processes train together" in messages.messages
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-6)
    for name, value in state.items():
        np.testing.assert_allclose(state_of_two[name], value, rtol=0, atol=1e-6)
    curves = [(tmp_path / name / "curves/trial-1.csv").read_text() for name in ("one", "two")]
    assert curves[0].splitlines()[-1][:12] == curves[1].splitlines()[-1][:12]
    # Nothing is left: no process, no temporary file, no handler of a signal.
    assert not psutil.Process().children(recursive=True)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        "curves", "features-x.npy", "fit-0.pt",
    }  # fmt: skip
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == handlers


def test_a_job_with_fewer_gpus_or_threads_uses_what_it_has(monkeypatch, messages):
    count = training_processes.count_processes_to_start
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [count(n, "cpu") for n in (1, 2)] == [1, 2]
    assert count(3, "cuda:0") == 3
    assert not messages.messages
    assert count(4, "cuda:0") == 3
    assert count(4, "cpu") == 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert count(2, "cuda:0") == 1
    assert messages.messages == [
        "processes: 4, but this job has 3 GPUs: 3 processes train together",
        "processes: 4, but this job has 2 threads: 2 processes train together",
        "processes: 2, but this job has 1 GPU: one process trains",
    ]


def test_the_number_of_processes_is_no_part_of_what_numbers_depend_on():
    assert TRAINING["processes"].default == 1
    assert drop_display_options({"epochs": 9, "processes": 4}) == {"epochs": 9}
    assert heads.merge_number_options("mlp", {"processes": 2}) == heads.merge_number_options(
        "mlp", {}
    )
    with pytest.raises(UserError, match="processes"):
        heads.merge_options("mlp", {"processes": 0})


@pytest.mark.parametrize(
    ("endings", "errors", "expected"),
    [
        ([(-9, 5)], [], UserError("process 1 of a group")),
        # The other one lost its connection, and was quicker to say so.
        ([(1, 5), (-9, 5)], ["connection"], UserError(r"process 2 of a group .*SIGKILL")),
        # The launcher killed the other one after 30 s: the error is the reason.
        ([(-9, 36), (1, 5)], ["the shapes differ"], RuntimeError("the shapes differ")),
        ([(1, 5), (-15, 5)], ["the shapes differ"], RuntimeError("the shapes differ")),
        ([(138, 5), (-15, 5)], [], Stopped(signal.SIGUSR1)),
        ([(143, 5), (143, 5)], [], Stopped(signal.SIGTERM)),
        ([(3, 5)], [], RuntimeError("exit status 3")),
    ],
)
def test_the_first_failure_explains_the_others(endings, errors, expected):
    failures = {
        rank: SimpleNamespace(exitcode=exitcode, timestamp=seconds)
        for rank, (exitcode, seconds) in enumerate(endings)
    }
    written = [{"is_user": False, "text": text} for text in errors]
    error = training_processes._explain_failure(failures, written)
    assert type(error) is type(expected)
    assert re.search(str(expected), str(error))


def _fit_backbone_as_rank(rank, folder, fit):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    models = fit(folder / str(rank))
    assert models.reasons == [""]
    torch.distributed.destroy_process_group()


@pytest.mark.thorough
def test_a_backbone_in_two_processes_is_one_with_accumulation(tmp_path, monkeypatch):
    """DOVER's two branches in two stages: losses of each branch, frozen parts, drawn clips."""
    use_small_backbones(monkeypatch)
    # Without dropout, which each process draws.
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)
    monkeypatch.setattr("torchvision.ops.StochasticDepth.forward", lambda self, x: x)
    x = {f"dover.{view}_view": draw_views(24, 2, seed) for seed, view in
         enumerate(("technical", "aesthetic"))}  # fmt: skip
    y = np.random.default_rng(1).uniform(20, 80, (24, 1))
    options = heads.merge_options("fine_tuned", {
        "backbone": "dover", "start": "random", "precision": "float64", "batch_rows": 9,
        "piece_rows": 2, "stages": [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}],
    })  # fmt: skip
    problem = make_problem(np.arange(19), np.arange(19, 24), y, 3, "trial 1")

    def fit(folder):
        return heads.load_head("fine_tuned").fit(x, [problem], options, folder, "cpu")

    expected = fit(tmp_path / "one").state(0)
    fork = multiprocessing.get_context("fork")
    members = [fork.Process(target=_fit_backbone_as_rank, args=(rank, tmp_path, fit))
               for rank in range(2)]  # fmt: skip
    for member in members:
        member.start()
    for member in members:
        member.join(300)
    assert [member.exitcode for member in members] == [0, 0]
    assert not (tmp_path / "1/fit-0.pt").exists()
    for name, value in read_state(tmp_path / "0/fit-0.pt").items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-6, err_msg=name)


# ---------------------------------------------------------------- stopped, killed, wrong

#: A job with a training of two processes that saves a checkpoint after every step.
JOB = """
import sys
from pathlib import Path
from test_fit_processes import fit_network
from sfqa.job import run_job
folder = Path(sys.argv[1])
with run_job(folder / "job.log"):
    predictions, _ = fit_network(folder / "work", 2, dropout=0.3, epochs=int(sys.argv[2]))
    (folder / "predictions").write_bytes(predictions.tobytes())
"""
#: Imported by each interpreter that finds it: checkpoints after every step, and slower steps.
SITE = """
import importlib.machinery, os, sys, time
def patch(trainer):
    trainer.CHECKPOINT_SEC = trainer.SAVING_SHARE = 0
    update = trainer.Trainer._update
    def update_slowly(self, batch):
        time.sleep(float(os.environ.get("SLOW_STEPS_SEC", "0")))
        return update(self, batch)
    trainer.Trainer._update = update_slowly
class Finder:
    def find_spec(self, name, path, target=None):
        if name != "sfqa.training.trainer":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            patch(module)
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""
EPOCHS = 6


class Job:
    """A job in a process of its own; ``members`` are the processes of its group."""

    def __init__(self, folder, slow_sec=0.0):
        folder.mkdir(exist_ok=True)
        site = folder.parent / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE)
        paths = [str(site), str(PACKAGE), str(Path(__file__).parent),
                 str(Path(__file__).parents[1] / "support")]  # fmt: skip
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(folder), str(EPOCHS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths),
                 "SLOW_STEPS_SEC": str(slow_sec)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.members: list[int] = []

    def wait_for_steps(self):
        """Wait until a checkpoint is written: all processes of the group train."""
        wait_until(lambda: list(self.folder.glob("work/*.training.pt")), self.process)
        children = psutil.Process(self.process.pid).children()
        self.members = [child.pid for child in children if "serve_call" in str(child.cmdline())]
        assert len(self.members) == 2

    def end(self):
        """Wait for the end; returns the exit status and the log. No process is left."""
        output, _ = self.process.communicate(timeout=300)
        wait_until(lambda: not any(map(is_running, self.members)), seconds=40, why="orphans")
        log = self.folder / "job.log"
        return self.process.returncode, f"{output}{log.read_text() if log.is_file() else ''}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The predictions of a job that nothing interrupts."""
    job = Job(tmp_path_factory.mktemp("whole") / "job")
    status, log = job.end()
    assert status == 0, log
    return (job.folder / "predictions").read_bytes()


def resume(folder, whole):
    job = Job(folder)
    status, log = job.end()
    assert status == 0, log
    assert (folder / "predictions").read_bytes() == whole


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("target", ["job", "process", "all"])
def test_a_stop_reaches_all_processes_which_save_once_and_resume(tmp_path, whole, number, target):
    """Sent to the job, to one of its processes, or to all, as Slurm does; twice, as some do."""
    job = Job(tmp_path / "job", slow_sec=0.2)
    job.wait_for_steps()
    pids = {"job": [job.process.pid], "process": job.members[1:],
            "all": [job.process.pid, *job.members]}[target]  # fmt: skip
    for _ in range(2):
        for pid in pids:
            os.kill(pid, number)
        time.sleep(0.05)
    status, log = job.end()
    # The launcher ends the other processes by SIGTERM, whichever signal came first.
    assert status in (128 + number, 128 + signal.SIGTERM), log
    assert "what is finished is kept, and the next attempt resumes there" in log
    assert "Traceback" not in log
    assert not (job.folder / "predictions").exists()
    resume(job.folder, whole)


@pytest.mark.thorough
@pytest.mark.parametrize("member", [0, 1])
def test_a_killed_process_ends_the_job_with_a_sentence(tmp_path, whole, member):
    job = Job(tmp_path / "job", slow_sec=0.2)
    job.wait_for_steps()
    os.kill(job.members[member], signal.SIGKILL)
    status, log = job.end()
    assert status == 1
    assert (
        f"Error: trial 1: process {member + 1} of a group that trained a network was ended" in log
    )
    assert "(SIGKILL), often for lack of memory; run again: the training resumes" in log
    assert "Traceback" not in log
    resume(job.folder, whole)


@pytest.mark.thorough
def test_no_process_outlives_a_killed_job(tmp_path, whole):
    job = Job(tmp_path / "job", slow_sec=0.2)
    job.wait_for_steps()
    job.process.kill()
    assert job.end()[0] == -signal.SIGKILL
    resume(job.folder, whole)


@pytest.mark.thorough
def test_errors_of_a_process_are_those_of_the_job(tmp_path):
    call = training_processes.call_in_processes
    with pytest.raises(UserError, match="^a sentence$"):
        call(raise_in_second, "user", 2, "cpu", tmp_path)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: other"):
        call(raise_in_second, "other", 2, "cpu", tmp_path)
    assert not list(tmp_path.iterdir())
