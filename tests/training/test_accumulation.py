"""A batch in pieces, or in several processes, has the gradient of one batch."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
from torch import nn

from sfqa.regression import losses
from sfqa.training.accumulation import backpropagate
from small_training import WIDTH, SmallMemory, build_network, run_training


@pytest.mark.parametrize("piece_rows", [1, 3, 5, 15])
@pytest.mark.parametrize("change", [{}, {"ema": 0.9, "clip": 0.1}, {"precision": "float32"}])
def test_a_batch_in_pieces_is_one_batch(piece_rows, change, tmp_path):
    """Losses of ranks and PLCC too: after four epochs parameters, average and losses are equal."""
    whole, best = run_training(tmp_path / "a", **change)
    pieces, best_of_pieces = run_training(tmp_path / "b", piece_rows=piece_rows, **change)
    for name, value in best.items():
        torch.testing.assert_close(best_of_pieces[name], value, rtol=0, atol=1e-6)
    for report, expected in zip(pieces.reports, whole.reports, strict=True):
        assert report.loss == pytest.approx(expected.loss, abs=1e-6)


def test_the_mean_over_pieces_would_be_another_loss():
    """The test above can fail: the loss of a batch is not the mean over its pieces."""
    torch.manual_seed(0)
    p, y, known = torch.randn(8, 1), torch.randn(8, 1), torch.ones(8, 1, dtype=torch.bool)
    loss = losses.parse("plcc")
    parts = [loss(p[n : n + 4], y[n : n + 4], known[:4]) for n in (0, 4)]
    assert abs(float(loss(p, y, known)) - float(sum(parts)) / 2) > 1e-2


def test_both_passes_of_a_piece_have_the_same_dropout():
    torch.manual_seed(0)
    network = build_network(0.5).double().train()
    x, y = torch.randn(12, WIDTH).double(), torch.randn(12, 2).double()
    known, loss = torch.ones(12, 2, dtype=torch.bool), losses.parse("plcc + fidelity")
    pieces = list(x.split(5))
    torch.manual_seed(1)
    value = backpropagate(network, pieces, loss, y, known, lambda v: v, "cpu")
    gradients = [p.grad.clone() for p in network.parameters()]
    after = torch.rand(1)
    # The same masks with all graphs held.
    network.zero_grad()
    torch.manual_seed(1)
    expected = loss(torch.cat([network(piece) for piece in pieces]), y, known)
    expected.backward()
    torch.testing.assert_close(value, expected.detach(), rtol=0, atol=1e-12)
    for gradient, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=1e-12)
    assert torch.equal(torch.rand(1), after)


def test_batch_norms_are_frozen_in_pieces_and_trained_in_one_batch(tmp_path):
    def build():
        return nn.Sequential(nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))

    trained, _ = run_training(tmp_path / "a", build=build)
    assert int(trained.network[1].num_batches_tracked) == 12  # 42 rows: three steps an epoch
    assert float(trained.network[1].running_mean.abs().max()) > 1e-3
    frozen, best = run_training(tmp_path / "b", build=build, piece_rows=4)
    assert int(frozen.network[1].num_batches_tracked) == 0
    # Frozen, the pieces do not matter either.
    _, other = run_training(tmp_path / "c", build=build, piece_rows=7)
    for name, value in best.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)


def test_pieces_as_large_as_a_batch_leave_the_last_batch_whole(tmp_path):
    """42 rows in batches of 41: the batch has the one row that is left, too."""

    def build():
        return nn.Sequential(nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))

    _, expected = run_training(tmp_path / "a", build=build, batch_rows=41)
    _, best = run_training(tmp_path / "b", build=build, batch_rows=41, piece_rows=41)
    for name, value in expected.items():
        assert torch.equal(best[name], value), name


def _train_as_rank(rank, count, folder, options):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=count
    )
    (folder / str(rank)).mkdir()  # only the first process writes checkpoints and curves
    trainer, best = run_training(folder / str(rank), **options)
    masks = getattr(trainer.network, "masks", [])
    torch.save([best, trainer.piece_rows, masks], folder / str(rank) / "best.pt")
    torch.distributed.destroy_process_group()


def train_in_processes(folder, count=2, **options):
    """Return of each process its best state, its final piece_rows and what it drew."""
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_train_as_rank, args=(rank, count, folder, options))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count
    paths = [folder / str(rank) / "best.pt" for rank in range(count)]
    return [torch.load(path, weights_only=True) for path in paths]


def assert_equal_to_1e_6(best, expected):
    for name, value in expected.items():
        torch.testing.assert_close(best[name], value, rtol=0, atol=1e-6)


def test_two_processes_are_one(tmp_path):
    _, expected = run_training(tmp_path / "one", ema=0.9)
    for best, *_ in train_in_processes(tmp_path, ema=0.9, piece_rows=5):
        assert_equal_to_1e_6(best, expected)
    assert not list((tmp_path / "1").glob("*.csv"))


class _HalfUsed(nn.Module):
    """Layers that no row, and layers that only positive rows reach."""

    def __init__(self):
        super().__init__()
        self.layers, self.unused = build_network(), nn.Linear(WIDTH, 2)
        self.some = nn.Linear(WIDTH, 2)
        self.frozen = nn.Linear(WIDTH, 2).requires_grad_(False)

    def forward(self, x):
        scores = self.layers(x) + self.frozen(x)
        is_positive = x[:, 0] > 0.8
        if not is_positive.any():
            return scores
        return scores + is_positive[:, None] * self.some(x)


def test_parameters_that_some_rows_or_none_reach(tmp_path):
    """One without a gradient is not decayed, as in one process. The last batch has two rows."""
    options = {"build": _HalfUsed, "weight_decay": 0.1, "optimizer": "adamw", "batch_rows": 4}
    _, expected = run_training(tmp_path / "one", **options)
    for best, *_ in train_in_processes(tmp_path, 3, **options):
        assert_equal_to_1e_6(best, expected)


def test_processes_agree_on_pieces_that_fit(tmp_path):
    """The memory of one process is short: both go on with smaller pieces and the same gradient."""

    def build():
        is_second = torch.distributed.is_initialized() and torch.distributed.get_rank() == 1
        return SmallMemory(3 if is_second else 99)

    _, expected = run_training(tmp_path / "one", build=build)
    for best, piece_rows, _ in train_in_processes(tmp_path, build=build):
        assert piece_rows == 2  # of 8 rows of a batch of 16
        assert_equal_to_1e_6(best, expected)


class _Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.masks = nn.Linear(WIDTH, 2), []

    def forward(self, x):
        if self.training:
            self.masks.append(torch.rand(4).tolist())
        return self.layer(x)


def test_processes_draw_dropout_of_their_own(tmp_path):
    """Else the rows of two processes would lose the same units in every step."""
    masks = [masks for *_, masks in train_in_processes(tmp_path, build=_Noise)]
    for first, second in zip(*masks, strict=True):
        assert first != second
    for drawn in masks:
        assert drawn[::2] == drawn[1::2]  # both passes of a step have the same
        assert len({tuple(mask) for mask in drawn}) == len(drawn) // 2
