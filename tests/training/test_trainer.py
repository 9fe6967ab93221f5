"""The trainer against plain loops, and what it promises: seeds, selection, precision, curves."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sfqa.regression import losses
from sfqa.training import trainer as trainer_module
from sfqa.training.optimization import compute_rate_factor
from sfqa.training.rows import TensorRows, shuffle_rows, split_rows
from sfqa.training.settings import TrainingSettings
from sfqa.training.trainer import compute_mean_srcc
from small_training import LOSS, build_network, make_data, make_trainer, run_training


def assert_states_equal(state, expected, tolerance=0.0):
    assert state.keys() == expected.keys()
    for name, value in state.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_steps_are_those_of_a_plain_loop(optimizer):
    """Five steps, with dropout, clipping, weight decay, warm-up and cosine."""
    changed = {
        "optimizer": optimizer, "clip": 0.5, "weight_decay": 0.1, "warmup_epochs": 1.0,
        "cosine": True, "batch_rows": 8,
    }  # fmt: skip
    trainer = make_trainer(0.3, **changed)
    torch.manual_seed(7)
    network = build_network(0.3).double()
    torch.manual_seed(0)
    for _ in range(5):
        trainer.step()

    data, loss = make_data(), losses.parse(LOSS)
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    more = {"momentum": 0.9} if optimizer == "sgd" else {}
    plain = classes[optimizer](network.parameters(), lr=0.01, weight_decay=0.1, **more)
    batches = split_rows(shuffle_rows(data.train, 7, 1), 8)
    torch.manual_seed(0)
    for step in range(5):
        rate = step / 6  # 42 rows in batches of 8: six steps of warm-up
        plain.param_groups[0]["lr"] = 0.01 * rate
        plain.zero_grad()
        rows = batches[step]
        x = data.source.blocks["x"][rows].double()
        value = loss(network(x), data.target[rows].nan_to_num(), data.target[rows].isfinite())
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        plain.step()
    assert_states_equal(trainer.network.state_dict(), network.state_dict(), 1e-12)


def test_the_average_is_the_exponential_one(tmp_path):
    trainer = make_trainer(ema=0.8)
    weights = []
    for _ in range(5):
        trainer.step()
        weights.append(trainer.network[0].weight.detach().clone())
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.8 * expected + 0.2 * weight
    torch.testing.assert_close(trainer.list_candidates()[0][0].weight, expected)
    _, averaged = run_training(tmp_path / "a", ema=0.8)
    _, plain = run_training(tmp_path / "b")
    assert not torch.equal(averaged["0.weight"], plain["0.weight"])


def test_the_better_of_network_and_average_is_kept():
    """With a decay near 1 the average hardly moves, so the network is better after an epoch."""
    slow = {"ema": 0.9999, "epochs": 2}
    trainer = make_trainer(compare_ema=True, **slow)
    while trainer.is_running():
        trainer.step()
    _, network = trainer.list_candidates()
    assert_states_equal(trainer.best, network.state_dict(), 0.0)
    averaged = make_trainer(**slow)
    while averaged.is_running():
        averaged.step()
    scores = [t.reports[-1].score for t in (trainer, averaged)]
    assert scores[0] > scores[1]
    # With a decay of 0 both are equal, and a tie keeps the average.
    equal = make_trainer(compare_ema=True, ema=1e-9, epochs=1)
    while equal.is_running():
        equal.step()
    assert_states_equal(equal.best, equal.list_candidates()[0].state_dict(), 0.0)


def test_steps_are_drawn_by_epoch_and_row_alone():
    steps = torch.arange(40.0).reshape(5, 8, 1).half()
    source = TensorRows({"a": steps}, {}, {}, "cpu", True, draws={"a": 3}, seed=4)
    rows = torch.tensor([0, 2, 4])
    (first,), (second,) = (list(source.iterate([rows], epoch)) for epoch in (1, 2))
    (apart,) = source.iterate([rows[1:2]], 1)
    assert first["a"].shape == (3, 3, 1)
    assert first["a"].dtype == torch.float16
    assert torch.equal(apart["a"], first["a"][1:2])
    assert not torch.equal(first["a"], second["a"])
    for row, drawn in zip(rows.tolist(), first["a"].flatten(1).tolist(), strict=True):
        assert len(set(drawn)) == 3
        assert all(8 * row <= value < 8 * row + 8 for value in drawn)
    (whole,) = source.iterate([rows], 0)
    assert torch.equal(whole["a"], steps[rows])


def test_the_seed_decides_and_the_caller_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _, first = run_training(tmp_path / "a", 0.3)
    assert torch.equal(torch.rand(3), expected)
    _, second = run_training(tmp_path / "b", 0.3)
    assert_states_equal(second, first)


def test_an_epoch_passes_every_row_once_in_a_new_order():
    rows = torch.arange(10) + 5
    orders = [shuffle_rows(rows, 3, epoch) for epoch in range(3)]
    assert all(sorted(order.tolist()) == rows.tolist() for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], shuffle_rows(rows, 4, 0))
    assert torch.equal(orders[0], shuffle_rows(rows, 3, 0))
    # 42 rows in batches of 41: the last row joins the others, since a row alone has no PLCC.
    assert make_trainer(batch_rows=41).steps_per_epoch == 1


def test_training_stops_and_keeps_the_best_epoch(tmp_path):
    trainer, best = run_training(tmp_path / "a", epochs=200, patience=3, learning_rate=0.05)
    scores = [report.score for report in trainer.reports]
    assert len(scores) < 200
    assert trainer.best_epoch == int(np.argmax(scores)) + 1 == len(scores) - 3
    shorter, last = run_training(
        tmp_path / "b", epochs=trainer.best_epoch, patience=200, learning_rate=0.05, select="none"
    )
    assert shorter.best_epoch == trainer.best_epoch
    assert_states_equal(last, best)


def test_selection_reads_validation_rows_only(tmp_path):
    def train(rows, name):
        trainer = make_trainer()
        trainer.target[rows] = 100 - trainer.target[rows]
        trainer.run(tmp_path / f"{name}.pt")
        return trainer

    plain = train([], "a")
    outside = np.setdiff1d(np.arange(60), torch.cat([plain.data.train, plain.data.validation]))
    assert_states_equal(train(outside, "b").best, plain.best)
    changed = train(plain.data.validation, "c")
    assert [r.loss for r in changed.reports] == [r.loss for r in plain.reports]
    assert [r.score for r in changed.reports] != [r.score for r in plain.reports]


def test_a_training_without_finite_numbers_has_no_best_epoch(tmp_path):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build_network()

        def forward(self, x):
            return self.inner(x) * torch.nan

    for select in ("srcc", "loss", "none"):
        trainer, best = run_training(tmp_path / select, build=Broken, select=select)
        assert (best, trainer.best_epoch) == ({}, 0)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "float32"])
def test_mixed_precision_is_near_to_full_precision(precision, tmp_path):
    _, full = run_training(tmp_path / "a", select="none")
    trainer, mixed = run_training(tmp_path / "b", select="none", precision=precision)
    assert trainer.network[0].weight.dtype == torch.float32
    gap = max(float((mixed[name] - full[name]).abs().max()) for name in full)
    assert 0 < gap < {"float32": 1e-5, "fp16": 0.1}.get(precision, 0.05)


def test_small_gradients_are_scaled_in_fp16_and_a_step_that_overflows_is_skipped():
    trainer = make_trainer(precision="fp16", clip=1.0)
    trainer.step()
    before, scale = trainer.network[0].weight.detach().clone(), trainer.scaler.get_scale()
    assert scale > 1
    with torch.no_grad():
        trainer.network[-1].weight.fill_(math.inf)
    trainer.step()
    assert torch.equal(trainer.network[0].weight, before)
    assert trainer.scaler.get_scale() < scale


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_float32_is_float32_unless_tf32_is_asked_for(precision, allowed, tmp_path):
    flags = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build_network()

        def forward(self, x):
            flags.append((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
            return self.inner(x)

    before = torch.backends.cudnn.allow_tf32
    run_training(tmp_path, build=Watched, precision=precision)
    assert set(flags) == {(allowed, "high" if allowed else "highest")}
    assert torch.backends.cudnn.allow_tf32 == before
    assert torch.get_float32_matmul_precision() == "highest"


def test_groups_of_parameters_have_rates_of_their_own():
    def group_parameters(network):
        return [
            {"params": network[0].parameters(), "lr_factor": 0.0},
            {"params": network[3].parameters(), "lr_factor": 0.1},
            {"params": network[6].parameters()},
        ]

    trainer = make_trainer(groups=group_parameters, optimizer="sgd")
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.step()
    moved = {name: (value - before[name]) for name, value in trainer.network.state_dict().items()}
    one_rate = make_trainer(optimizer="sgd")
    one_rate.step()
    full = {n: value - before[n] for n, value in one_rate.network.state_dict().items()}
    assert float(moved["0.weight"].abs().max()) == 0
    torch.testing.assert_close(moved["3.weight"], 0.1 * full["3.weight"])
    torch.testing.assert_close(moved["6.weight"], full["6.weight"])


def test_the_learning_rate_is_that_of_the_official_code():
    """FAST-VQA's factor, ten steps an epoch, thirty epochs, warm-up 2.5 epochs."""
    settings = TrainingSettings(epochs=30, warmup_epochs=2.5, cosine=True)
    official = {0: 0.0, 1: 0.04, 10: 0.4, 25: 1.0, 26: 0.99997258, 100: 0.85355339,
                200: 0.37059048, 299: 0.018418717}  # fmt: skip
    for step, factor in official.items():
        assert compute_rate_factor(settings, step, 10) == pytest.approx(factor, abs=1e-8)
        if step < 100:  # the head's part of it, ten epochs
            head_part = replace(settings, epochs=10, cosine_epochs=30)
            assert compute_rate_factor(head_part, step, 10) == pytest.approx(factor, abs=1e-8)


def test_curves_are_one_row_per_epoch_and_progress_has_the_time_left(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trainer_module, "PROGRESS_SEC", 0.0)
    with caplog.at_level(logging.INFO, "sfqa"):
        logging.getLogger("sfqa").propagate = True
        trainer, _ = run_training(tmp_path, decay=0.5)
    with open(tmp_path / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["learning_rate"]) for row in rows] == [0.01, 0.005, 0.0025, 0.00125]
    assert [float(row["score"]) for row in rows] == [r.score for r in trainer.reports]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert caplog.messages[0].startswith("trial 1: epoch 1 of 4: loss ")
    assert all("left" in message for message in caplog.messages)


@pytest.mark.parametrize("key", ["select", "precision", "optimizer"])
def test_settings_that_do_not_exist(key):
    with pytest.raises(ValueError, match=f"{key} 'x'"):
        TrainingSettings(**{key: "x"})


def test_srcc_is_scipys():
    numbers = np.random.default_rng(0)
    p, y = (numbers.integers(0, high, (9, 5)).astype(float) for high in (6, 4))
    mask = numbers.random((9, 5)) < 0.8
    for n in range(5):
        column = [torch.from_numpy(v[:, n : n + 1]) for v in (p, y, mask)]
        expected = spearmanr(p[mask[:, n], n], y[mask[:, n], n]).statistic
        assert compute_mean_srcc(*column) == pytest.approx(expected, abs=1e-11)
    each = [compute_mean_srcc(*(torch.from_numpy(v[:, [n]]) for v in (p, y, mask))) for n in (0, 1)]
    both = compute_mean_srcc(*(torch.from_numpy(v[:, :2]) for v in (p, y, mask)))
    assert both == pytest.approx(np.mean(each))
    known = torch.ones(3, 1, dtype=torch.bool)
    target = torch.tensor([[1.0], [2.0], [3.0]])
    assert compute_mean_srcc(torch.ones(3, 1), target, known) == -2
    assert compute_mean_srcc(target, target, known & (target < 2)) == -2


#: VERSION of the trainer: bias of the last layer and losses after four epochs.
GOLDEN = {
    1: ([0.073022752, -0.287996453], [0.817431429, 0.768585243, 0.779863393, 0.816314269]),
}


def test_numbers_change_only_with_the_version(tmp_path):
    trainer, best = run_training(
        tmp_path, 0.3, ema=0.9, piece_rows=5, clip=0.5, warmup_epochs=1.0, cosine=True
    )
    bias, losses_by_epoch = GOLDEN[trainer_module.VERSION]
    np.testing.assert_allclose(best["6.bias"].numpy(), bias, rtol=1e-6)
    np.testing.assert_allclose([r.loss for r in trainer.reports], losses_by_epoch, rtol=1e-6)
