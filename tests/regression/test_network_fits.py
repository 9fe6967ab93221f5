"""Fits of networks: one training per problem, the same alone, side by side and after a kill."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sfqa import gpu_memory
from sfqa.errors import UserError
from sfqa.regression import batch_memory, fit_processes, heads, losses, network_fits
from sfqa.regression.network_fits import NetworkFit
from sfqa.regression.network_head import NetworkHead
from sfqa.regression.problems import make_problem
from sfqa.regression.scaling import measure_mos, moments
from sfqa.training import trainer as trainer_module
from sfqa.training.rows import shuffle_rows, split_rows
from sfqa.training.settings import TrainingSettings
from sfqa.workers import LostTaskError, TaskResult

ROWS, WIDTH = 120, 6
PLAIN = TrainingSettings(epochs=25, patience=25, learning_rate=0.01, precision="float64")
LOSS = losses.parse("mse + 0.5 plcc")


def build_layers(shapes, dims):
    return nn.Sequential(
        nn.Linear(shapes["x"][0], 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, dims)
    )


class Sequences(nn.Module):
    def __init__(self, shapes, dims):
        super().__init__()
        (_, frame), (sound,) = shapes["frames"], shapes["sound"]
        self.attention = nn.MultiheadAttention(frame, 2, batch_first=True)
        self.last = nn.Linear(frame + sound, dims)

    def forward(self, blocks):
        frames = blocks["frames"]
        attended = self.attention(frames, frames, frames, need_weights=False)[0].mean(dim=1)
        return self.last(torch.cat([attended, blocks["sound"]], dim=1))


class PlainHead(NetworkHead):
    """A head of any layers and settings; ``label`` is what else a fit depends on."""

    def __init__(self, build, settings, label=""):
        super().__init__("plain", 1)
        self.build_any, self.settings, self.label = build, settings, label

    def build(self, shapes, dims, options):
        return self.build_any(shapes, dims)

    def list_roles(self, options, x):
        return list(x) if isinstance(x, dict) else []

    def list_identity(self, options, roles):
        return [self.label]

    def prepare_fit(self, options, device):
        return NetworkFit(self, options, LOSS, self.settings, device)


def fit_models(tmp_path, x, problems, settings=PLAIN, build=build_layers, label="", device="cpu"):
    return PlainHead(build, settings, label).fit(x, problems, {}, tmp_path, device)


def predict_all(*args, **more):
    return fit_models(*args, **more).predict(args[1])


def make_linear_data(dims=2, gaps=0.1, seed=0):
    numbers = np.random.default_rng(seed)
    x = (numbers.normal(size=(ROWS, WIDTH)) * 3 + 1).astype(np.float32)
    y = x @ numbers.normal(size=(WIDTH, dims)) + 2 * numbers.normal(size=(ROWS, dims))
    y = 10 * y + 40
    y[numbers.random((ROWS, dims)) < gaps] = np.nan
    return x, y


def problems_of(y, count=4):
    numbers = np.random.default_rng(5)
    found = []
    for n in range(count):
        order = numbers.permutation(ROWS)
        found.append(
            make_problem(order[: 50 + 7 * n], order[80 : 95 + n], y, 2**40 + n, f"trial {n}")
        )
    return found


@pytest.fixture
def count_epochs(monkeypatch):
    """Return the list of epochs that are trained from now on."""
    epochs, end_epoch = [], trainer_module.Trainer._end_epoch

    def note_epoch(trainer):
        report = end_epoch(trainer)
        epochs.append(report.epoch)
        return report

    monkeypatch.setattr(trainer_module.Trainer, "_end_epoch", note_epoch)
    return epochs


@pytest.mark.parametrize(
    "change",
    [{}, {"batch_rows": 16}, {"select": "loss"}, {"select": "none"}, {"ema": 0.9},
     {"clip": 0.05}, {"decay": 0.8, "weight_decay": 0.1, "optimizer": "adamw"},
     {"batch_rows": 16, "patience": 3}, {"precision": "float32", "batch_rows": 16}],
)  # fmt: skip
def test_problems_of_a_call_are_trained_as_alone(change, tmp_path):
    x, y = make_linear_data()
    problems, settings = problems_of(y), replace(PLAIN, **change)
    together = predict_all(tmp_path / "a", x, problems, settings)
    alone = [predict_all(tmp_path / str(n), x, [p], settings) for n, p in enumerate(problems)]
    assert (together == np.concatenate(alone)).all()
    assert np.abs(together[0] - together[1]).max() > 0.1


def load_mlp(tmp_path, threads, x, problems):
    """Fit a head of the project, whose name a worker process can load, with so many threads."""
    options = heads.merge_options("mlp", {"hidden": [8], "dropout": 0.2, "epochs": 6})
    torch.set_num_threads(threads)
    models = heads.load_head("mlp").fit(x, problems, options, tmp_path, "cpu")
    return models.predict(x), [models.state(n) for n in range(len(problems))]


@pytest.mark.thorough
def test_results_do_not_depend_on_how_many_run_side_by_side(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    problems = problems_of(y, 3)
    alone, states = load_mlp(tmp_path / "a", 1, x, problems)
    together, states_of_workers = load_mlp(tmp_path / "b", 2, x, problems)
    assert torch.get_num_threads() == 2
    assert (alone == together).all()
    for state, expected in zip(states_of_workers, states, strict=True):
        assert all((state[name] == expected[name]).all() for name in expected)


def test_a_worker_that_ends_is_a_sentence(tmp_path, monkeypatch):
    class EndedPool(nullcontext):
        def __init__(self, *_):
            super().__init__(self)

        def run(self, function, tasks, ahead):
            yield TaskResult(tasks[0], LostTaskError("decoder_died"), 1.0, 0.0, 1)

    x, y = make_linear_data(gaps=0.0)
    monkeypatch.setattr(fit_processes, "WorkerPool", EndedPool)
    with pytest.raises(UserError, match="trial 0: the process that trained a network was ended"):
        load_mlp(tmp_path, 2, x, problems_of(y, 2))


def test_the_seed_decides(tmp_path):
    x, y = make_linear_data()
    one = problems_of(y, 1)[0]
    again = [
        predict_all(tmp_path / n, x, [replace(one, seed=s)])
        for n, s in (("a", 7), ("b", 7), ("c", 8))
    ]
    assert (again[0] == again[1]).all()
    assert np.abs(again[0] - again[2]).max() > 0.1


def test_blocks_of_sequences(tmp_path):
    _, y = make_linear_data()
    numbers = np.random.default_rng(1)
    x = {
        "frames": numbers.normal(size=(ROWS, 5, 4)).astype(np.float32) * 7,
        "sound": numbers.normal(size=(ROWS, 3)).astype(np.float32),
    }
    y[:, 0] = x["frames"].mean(axis=1)[:, 0] * 10 + x["sound"][:, 1] * 20
    problems = problems_of(y, 2)
    settings = replace(PLAIN, epochs=120, patience=120)
    found = predict_all(tmp_path, x, problems, settings, Sequences)
    rest = np.setdiff1d(np.arange(ROWS), problems[0].rows)
    known = rest[np.isfinite(y[rest, 0])]
    assert spearmanr(found[0, known, 0], y[known, 0]).statistic > 0.8


def test_rows_that_are_not_of_a_problem_teach_nothing(tmp_path):
    x, y = make_linear_data()
    problems = problems_of(y, 2)
    plain = predict_all(tmp_path / "a", x, problems[:1])
    outside = np.setdiff1d(np.arange(ROWS), problems[0].rows)
    poisoned = x.copy()
    poisoned[outside] = 1e6
    kept = np.setdiff1d(np.arange(ROWS), outside)
    found = predict_all(tmp_path / "b", poisoned, problems[:1])
    np.testing.assert_allclose(found[:, kept], plain[:, kept], rtol=1e-12)


def test_a_missing_mos_is_masked(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    one = problems_of(y, 1)[0]
    gaps = one.y.copy()
    gaps[one.train[:20], 1] = np.nan
    settings = replace(PLAIN, select="none")
    masked = predict_all(tmp_path / "a", x, [replace(one, y=gaps)], settings)
    # The first dimension alone says the same, where the two share no numbers.
    both = lambda shapes, dims: nn.Linear(WIDTH, dims)  # noqa: E731
    got = predict_all(tmp_path / "b", x, [replace(one, y=gaps)], settings, both)
    full = predict_all(tmp_path / "c", x, [one], settings, both)
    np.testing.assert_allclose(got[..., 0], full[..., 0], rtol=1e-9)
    assert np.abs(got[..., 1] - full[..., 1]).max() > 1e-3
    assert np.isfinite(masked).all()


def test_every_problem_ends_by_itself(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    problems, settings = problems_of(y), replace(PLAIN, epochs=200, patience=4)
    predict_all(tmp_path, x, problems, settings)
    ends = [
        len((tmp_path / f"curves/trial-{n}.csv").read_text().splitlines()) - 1 for n in range(4)
    ]
    assert len(set(ends)) > 1
    assert max(ends) < 200


def test_finished_fits_of_a_killed_call_are_kept(tmp_path, count_epochs, monkeypatch):
    x, y = make_linear_data()
    problems = problems_of(y)
    expected = predict_all(tmp_path / "a", x, problems)
    train, left = NetworkFit.train, [2]

    def train_two(fit, *args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return train(fit, *args)

    monkeypatch.setattr(NetworkFit, "train", train_two)
    with pytest.raises(KeyboardInterrupt):
        predict_all(tmp_path / "b", x, problems)
    monkeypatch.setattr(NetworkFit, "train", train)
    count_epochs.clear()
    assert (predict_all(tmp_path / "b", x, problems) == expected).all()
    assert len(count_epochs) == 50
    count_epochs.clear()
    assert (predict_all(tmp_path / "b", x, problems) == expected).all()
    assert not count_epochs
    assert not list((tmp_path / "b").glob("*.training.pt"))


def _fit_slowly(folder, epochs):
    trainer_module.CHECKPOINT_SEC = trainer_module.SAVING_SHARE = 0
    end_epoch = trainer_module.Trainer._end_epoch

    def report_epoch(trainer):
        report = end_epoch(trainer)
        epochs.send(report.epoch)
        time.sleep(0.1)
        return report

    trainer_module.Trainer._end_epoch = report_epoch
    x, y = make_linear_data()
    predict_all(folder, x, problems_of(y))


def test_a_process_killed_with_9_resumes_within_its_fit(tmp_path, count_epochs):
    x, y = make_linear_data()
    plain = predict_all(tmp_path / "a", x, problems_of(y))
    fork = multiprocessing.get_context("fork")
    epochs, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_fit_slowly, args=(tmp_path / "b", sender))
    process.start()
    while epochs.recv() < 6:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    count_epochs.clear()
    assert (predict_all(tmp_path / "b", x, problems_of(y)) == plain).all()
    assert 6 <= count_epochs[0] <= 8


def test_no_fit_of_other_data_or_a_damaged_file_is_used(tmp_path, count_epochs):
    x, y = make_linear_data()
    problems = problems_of(y, 2)
    plain = predict_all(tmp_path / "a", x, problems)
    folder = tmp_path / "b"
    path = folder / "fit-0.pt"
    moved = [replace(problems[0], train=problems[0].train[1:]), problems[1]]
    others = [
        lambda: fit_models(folder, x, [replace(p, seed=1) for p in problems]),
        lambda: fit_models(folder, x + 1, problems),
        lambda: fit_models(folder, x, moved),
        lambda: fit_models(folder, x, problems, replace(PLAIN, learning_rate=0.1)),
        lambda: fit_models(folder, x, problems, label="other"),
        lambda: path.write_bytes(path.read_bytes()[:1000]),
        lambda: path.write_bytes(b""),
        lambda: torch.save({"name": 3}, path),
    ]
    for number, other in enumerate(others):
        other()
        count_epochs.clear()
        got = predict_all(folder, x, problems)
        assert len(count_epochs) >= 25, f"case {number} was reused"
        assert (got == plain).all()


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x, y = make_linear_data()
    predict_all(tmp_path, x, problems_of(y), replace(PLAIN, epochs=2))
    assert torch.equal(torch.rand(3), expected)


def test_bad_input(tmp_path):
    x, y = make_linear_data()
    good, one = problems_of(y, 2)
    few = replace(one, train=one.train[:3])
    unrated = replace(one, y=np.full_like(one.y, np.nan))
    trained = fit_models(tmp_path, x, [good, few, unrated])
    assert [r.split(":")[0] for r in trained.reasons] == ["", "too_few_rows", "too_few_rows"]
    assert np.isnan(trained.predict(x)[1:]).all()
    assert np.isfinite(trained.predict(x)[0]).all()
    with pytest.raises(ValueError, match="too_few_rows"):
        trained.state(1)
    with pytest.raises(ValueError, match="the networks take"):
        trained.predict(x[:, :3])
    none = fit_models(tmp_path, x, [few])
    assert np.isnan(none.predict(x)).all()
    broken = x.copy()
    broken[3, 2] = np.inf
    with pytest.raises(UserError, match=r"row 3, column \[2\]: inf"):
        fit_models(tmp_path, broken, [good])
    wild = replace(PLAIN, learning_rate=1e300, select="loss")
    diverged = fit_models(tmp_path, x, [good], wild)
    assert not diverged.reasons[0] or diverged.reasons[0].startswith("diverged: ")


def test_a_training_without_finite_numbers_says_so(tmp_path):
    class Broken(nn.Module):
        def __init__(self, dims):
            super().__init__()
            self.each = nn.Linear(WIDTH, dims)

        def forward(self, x):
            return self.each(x) * torch.nan

    x, y = make_linear_data()
    for select in ("srcc", "loss", "none"):
        settings = replace(PLAIN, select=select, epochs=3)
        models = fit_models(tmp_path, x, problems_of(y, 1), settings, lambda s, d: Broken(d))
        assert models.reasons == ["diverged: no epoch gave finite predictions"]
        assert np.isnan(models.predict(x)).all()
    # The reason of a finished fit is kept with it.
    models = fit_models(tmp_path, x, problems_of(y, 1), settings, lambda s, d: Broken(d))
    assert models.reasons == ["diverged: no epoch gave finite predictions"]


def test_batch_norms_are_part_of_a_model(tmp_path):
    build = lambda s, d: nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, d))  # noqa: E731
    x, y = make_linear_data()
    models = fit_models(tmp_path, x, problems_of(y, 1), replace(PLAIN, batch_rows=16), build)
    state = models.state(0)
    assert abs(state["network.0.running_var"] - 1).max() > 1e-4
    head = PlainHead(build, PLAIN)
    again = head.restore([state], {}, "cpu").predict(x)
    np.testing.assert_allclose(again, models.predict(x), rtol=1e-12)
    one_by_one = [models.predict(x[n : n + 1])[:, 0] for n in range(5)]
    np.testing.assert_allclose(np.stack(one_by_one, 1), models.predict(x)[:, :5], rtol=1e-9)


#: Small sizes of three heads, with dropout, and the shapes of their inputs.
THREE = {
    "mlp": ({"hidden": [7], "dropout": 0.2, "batch_rows": 16, "loss": "mse + plcc"}, {"x": (6,)}),
    "ugvq": (
        {"width": 8, "layers": 1, "feedforward": 12, "fusion_feedforward": 12, "hidden": 16,
         "dropout": 0.1, "learning_rate": 1e-3, "batch_rows": 16},
        {"spatial": (8, 6), "temporal": (8, 5), "text": (4,)},
    ),
    "avqa_recurrent": (
        {"model": "general", "steps": 4, "columns": 8, "state": 4, "vector": 4, "width": 6,
         "channels": [2, 2, 2], "batch_rows": 16, "learning_rate": 1e-3},
        {"video": (4, 5), "audio0": (4, 128), "audio1": (4, 128)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(THREE))
def test_five_steps_of_a_head_are_those_of_a_plain_loop(name, tmp_path):
    """The same parameters and running statistics, from the same first weights and batches."""
    changed, shapes = THREE[name]
    changed = {**changed, "epochs": 1, "select": "none" if name != "mlp" else "loss"}
    head = heads.load_head(name)
    options = head.complete_options(heads.merge_options(name, changed))
    numbers = np.random.default_rng(0)
    blocks = {k: numbers.normal(2, 3, (100, *s)).astype(np.float32) for k, s in shapes.items()}
    y = sum(block.reshape(100, -1)[:, :2] for block in blocks.values()).astype(np.float64)
    problem = make_problem(np.arange(80), np.arange(80, 90), y, seed=11)
    fit = head.prepare_fit(options, "cpu")
    reason = fit.train(blocks["x"] if name == "mlp" else blocks, problem, tmp_path / "fit.pt", "")
    assert reason == ""
    state = network_fits.read_state(tmp_path / "fit.pt")

    dtype = torch.float64 if name == "mlp" else torch.float32
    torch.manual_seed(11)
    network = head.build(shapes, 2, options).to(dtype).train()
    mean, sd = measure_mos(problem)
    if name == "avqa_recurrent":  # it reads features as they are, and MOS by their largest
        mean, sd = np.zeros(2), np.abs(y[:80]).max(axis=0)
    target = torch.from_numpy((y - mean) / sd).to(dtype)
    x = {}
    for role, block in blocks.items():
        tensor = torch.from_numpy(block)
        column_mean, factor = (v.to(dtype) for v in moments(tensor, problem.train))
        scaled = (tensor.to(dtype) - column_mean) * factor
        x[role] = tensor.to(dtype) if name == "avqa_recurrent" else scaled
    loss = head.make_loss(options)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"]
    )
    batches = split_rows(shuffle_rows(torch.arange(80), 11, 1), 16)
    assert len(batches) == 5
    torch.manual_seed(trainer_module.seed_of(11, "training"))
    for rows in batches:
        inputs = x["x"][rows] if name == "mlp" else {k: v[rows] for k, v in x.items()}
        optimizer.zero_grad()
        known = torch.ones(16, 2, dtype=torch.bool)
        loss(network(inputs), target[rows], known).backward()
        optimizer.step()
    for key, value in network.state_dict().items():
        # Float32: another CPU rounds sums otherwise, and Adam makes steps of that (1.7e-5 seen).
        np.testing.assert_allclose(state[f"network.{key}"], value.numpy(), rtol=0, atol=5e-5)


def test_features_stay_on_a_gpu_by_its_total_memory(monkeypatch):
    """What is free at the moment decides nothing, so that a resumed run does the same."""
    placed = []
    monkeypatch.setattr(gpu_memory, "compute_memory_budget", lambda share: 1600 * share)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: pytest.fail("asked"))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: placed.append(device) or tensor)
    network_fits.place_on_device(np.zeros((10, 10), np.float32), "cuda:0")
    assert placed == ["cuda:0"]
    network_fits.place_on_device(np.zeros((11, 10), np.float32), "cuda:0")
    assert placed == ["cuda:0"]


@pytest.mark.parametrize("name", ["ridge", "kernel"])
def test_batches_of_closed_form_heads_follow_the_total_memory(name, tmp_path, monkeypatch):
    """And their size changes no number of a CPU beyond rounding."""
    monkeypatch.setattr(gpu_memory, "compute_memory_budget", lambda share: 8e6 * share)
    assert batch_memory.count_numbers_at_once("cuda:0", 5) == 250_000
    x, y = make_linear_data(gaps=0.0)
    problems, options = problems_of(y), heads.merge_options(name, {})
    head = heads.load_head(name)
    usual = head.fit(x, problems, options, tmp_path, "cpu").predict(x)
    monkeypatch.setattr(importlib.import_module(head.__module__), "_CPU_AT_ONCE", 1)
    one_by_one = head.fit(x, problems, options, tmp_path, "cpu").predict(x)
    np.testing.assert_allclose(one_by_one, usual, rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("change", [{}, {"batch_rows": 16, "patience": 3}])
def test_a_gpu_gives_what_a_cpu_gives(change, tmp_path):
    x, y = make_linear_data()
    settings = replace(PLAIN, **change)
    # Without dropout, whose masks are drawn on the device.
    build = lambda s, d: nn.Sequential(nn.Linear(WIDTH, 12), nn.ReLU(), nn.Linear(12, d))  # noqa: E731
    cpu, gpu = (
        predict_all(tmp_path / d, x, problems_of(y), settings, build, device=d)
        for d in ("cpu", "cuda:0")
    )
    np.testing.assert_allclose(gpu, cpu, rtol=1e-6)
