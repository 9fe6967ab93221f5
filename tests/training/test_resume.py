"""A killed training ends at the numbers that it would have had, bit for bit on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
import torch

from sfqa.training import trainer as trainer_module
from sfqa.training.checkpoints import read_checkpoint
from small_training import make_trainer, run_training

#: Everything that a checkpoint has to hold: dropout, average, pieces, scaled gradients, momentum.
FULL = {"dropout": 0.3, "ema": 0.9, "piece_rows": 5, "epochs": 8, "warmup_epochs": 2.0,
        "cosine": True, "clip": 0.5, "weight_decay": 0.01}  # fmt: skip


def assert_states_equal(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


@pytest.mark.parametrize(
    "change", [{}, {"precision": "fp16"}, {"optimizer": "sgd", "ema": 0.0}, {"compare_ema": True}]
)
def test_a_training_can_be_resumed_at_every_step(change, tmp_path):
    """Every third step another trainer resumes; steps and epochs end in between."""
    expected, best = run_training(tmp_path, **{**FULL, **change})
    options = {**FULL, **change}
    state, trainer = None, make_trainer(**options)
    with torch.random.fork_rng():
        torch.set_rng_state(_initial_random_state())
        while trainer.is_running():
            trainer.step()
            if (len(trainer.reports) * 3 + trainer.step_number) % 3 == 1:
                state = trainer.state()
                torch.save(state, tmp_path / "state.pt")
                torch.manual_seed(12345)
                trainer = make_trainer(**options)
                trainer.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert state is not None
    assert_states_equal(trainer.best, best)
    assert trainer.reports == expected.reports


def _initial_random_state():
    from sfqa.identity import seed_of

    return torch.Generator().manual_seed(seed_of(7, "training")).get_state()


def _train_slowly(folder, epochs):
    trainer_module.CHECKPOINT_SEC = trainer_module.SAVING_SHARE = 0

    def report_epoch(report):
        epochs.send(report.epoch)
        time.sleep(0.3)

    run_training(folder, after_epoch=report_epoch, **FULL)


def test_a_process_killed_with_9_ends_at_the_same_numbers(tmp_path):
    _, expected = run_training(tmp_path / "whole", **FULL)
    fork = multiprocessing.get_context("fork")
    epochs, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_train_slowly, args=(tmp_path / "killed", sender))
    process.start()
    while epochs.recv() < 4:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    resumed = []
    _, best = run_training(
        tmp_path / "killed", after_epoch=lambda report: resumed.append(report.epoch), **FULL
    )
    assert 4 <= resumed[0] <= 6
    assert_states_equal(best, expected)
    curves = [(tmp_path / name / "curves.csv").read_bytes() for name in ("whole", "killed")]
    assert curves[0] == curves[1]


def test_a_checkpoint_of_another_name_or_a_damaged_one_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SEC", 0.0)
    monkeypatch.setattr(trainer_module, "SAVING_SHARE", 0)
    run_training(tmp_path)
    path = tmp_path / "checkpoint.pt"
    assert read_checkpoint(path, "name")["epoch"] == 5
    assert read_checkpoint(path, "other") is None
    content = path.read_bytes()
    weight = read_checkpoint(path, "name")["network"]["0.weight"].numpy().tobytes()
    position = content.index(weight)
    flipped = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
    for damaged in (content[:1000], b"", flipped):
        path.write_bytes(damaged)
        assert read_checkpoint(path, "name") is None
    assert read_checkpoint(tmp_path / "none.pt", "name") is None
