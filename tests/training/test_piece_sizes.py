"""A batch that does not fit into the memory passes in smaller pieces, with the same gradient."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from sfqa.errors import UserError
from sfqa.training import trainer as trainer_module
from sfqa.training.checkpoints import read_checkpoint
from sfqa.training.prediction import predict_rows
from small_training import (
    WIDTH,
    SmallMemory,
    build_network,
    make_data,
    make_trainer,
    run_training,
)


@pytest.fixture
def messages(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("sfqa"), "propagate", True)
    caplog.set_level(logging.INFO, "sfqa")
    return caplog


@pytest.mark.parametrize("change", [{}, {"piece_rows": 8}, {"ema": 0.9, "clip": 0.1}])
def test_a_batch_that_does_not_fit_passes_in_halves(change, tmp_path, messages):
    expected, best = run_training(tmp_path / "a", build=lambda: SmallMemory(99), **change)
    halved, best_of_halves = run_training(tmp_path / "b", build=lambda: SmallMemory(5), **change)
    for name, value in best.items():
        torch.testing.assert_close(best_of_halves[name], value, rtol=0, atol=1e-6)
    for report, other in zip(halved.reports, expected.reports, strict=True):
        assert report.loss == pytest.approx(other.loss, abs=1e-6)
    first = change.get("piece_rows", 16)
    said = [f"piece_rows {n} did not fit into the memory of the machine: {n // 2} from now on"
            for n in (16, 8) if n <= first]  # fmt: skip
    assert [m for m in messages.messages if "did not fit" in m] == said
    # Once in a training: the size is kept.
    assert halved.network.passes[: 2 * len(said)].count(5) == 0
    assert max(halved.network.passes[len(said) :]) <= 4


def test_a_row_that_does_not_fit_is_a_sentence_that_says_what_to_do(tmp_path, messages):
    with pytest.raises(UserError, match="one row does not fit into the memory.*GPU with more"):
        run_training(tmp_path, build=lambda: SmallMemory(0))
    assert [m.split()[1] for m in messages.messages] == ["16", "8", "4", "2"]


def test_another_error_is_not_taken_for_a_lack_of_memory(tmp_path):
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("the shapes differ")

    with pytest.raises(RuntimeError, match="the shapes differ"):
        run_training(tmp_path, build=lambda: nn.Sequential(Broken(), nn.Linear(WIDTH, 2)))


def test_batch_norms_that_learn_are_not_frozen_halfway(tmp_path):
    def build():
        layers = [nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)]
        return SmallMemory(5, nn.Sequential(*layers))

    with pytest.raises(UserError, match="pieces of 8 .* batch norms.*: set piece_rows below"):
        run_training(tmp_path / "a", build=build)
    # What the sentence says helps: frozen from the first step on, the pieces do not matter.
    _, expected = run_training(tmp_path / "b", build=build, piece_rows=4)
    _, best = run_training(tmp_path / "c", build=build, piece_rows=8)
    for name, value in expected.items():
        torch.testing.assert_close(best[name], value, rtol=0, atol=1e-6)


def test_a_resumed_training_has_the_pieces_of_the_one_before(tmp_path, monkeypatch):
    """Memory is short once, as beside a process of somebody else: the end is the same bit for bit."""
    shortage = []

    def is_short_once():
        shortage.append(1)
        return len(shortage) == 1

    options = {"dropout": 0.3, "build": lambda: SmallMemory(5, build_network(0.3), is_short_once)}
    _, expected = run_training(tmp_path / "whole", **options)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SEC", 1e9)
    shortage.clear()

    def interrupt(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "killed", after_epoch=interrupt, **options)
    # Written after the step with the new size, although no checkpoint was due.
    state = read_checkpoint(tmp_path / "killed/checkpoint.pt", "name")
    assert (state["piece_rows"], state["epoch"], state["step"]) == (8, 1, 1)
    _, best = run_training(tmp_path / "killed", **options)
    assert all(torch.equal(best[name], value) for name, value in expected.items())


def test_a_checkpoint_of_earlier_versions_has_the_pieces_of_the_settings():
    trainer = make_trainer(piece_rows=5)
    state = {key: value for key, value in trainer.state().items() if key != "piece_rows"}
    other = make_trainer(piece_rows=5)
    other.load_state(state)
    assert other.piece_rows == 5


def test_predictions_that_do_not_fit_are_made_in_halves(messages):
    class SmallPasses(nn.Module):
        def forward(self, x):
            if len(x) > 9:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x[:, :1]

    data = make_data()
    rows = torch.arange(42)
    scores = predict_rows(SmallPasses(), data.source, rows, "float64", "cpu")
    assert torch.equal(scores[:, 0], data.source.blocks["x"][:42, 0].double())
    assert [m.split()[-5] for m in messages.messages] == ["21", "10", "5"]
