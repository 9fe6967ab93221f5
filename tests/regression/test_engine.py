import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sfqa.errors import UserError
from sfqa.regression import engine, losses, ranking, stacking
from sfqa.regression.engine import train
from sfqa.regression.problems import make_problem
from sfqa.regression.schedule import Schedule

ROWS, WIDTH = 120, 6
PLAIN = Schedule(epochs=25, patience=25, learning_rate=0.01, precision="float64")
LOSS = losses.parse("mse + 0.5 plcc")
SCRIPTS = Path(engine.__file__).parents[2]


def net(shapes, dims):
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
        seen = self.attention(frames, frames, frames, need_weights=False)[0].mean(dim=1)
        return self.last(torch.cat([seen, blocks["sound"]], dim=1))


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


def fitted(tmp_path, x, problems, schedule=PLAIN, build=net, **more):
    return train(build, x, problems, LOSS, schedule, tmp_path, "cpu", **more).predict(x)


@pytest.mark.parametrize(
    "change",
    [{}, {"batch_rows": 16}, {"select": "loss"}, {"select": "none"}, {"batching": "loop"},
     {"clip": 0.05}, {"decay": 0.8, "weight_decay": 0.1, "decoupled": True},
     {"batch_rows": 16, "patience": 3}, {"memory_gb": 1e-4}],
)  # fmt: skip
def test_problems_of_a_batch_are_trained_as_alone(change, tmp_path):
    x, y = make_linear_data()
    problems, schedule = problems_of(y), replace(PLAIN, **change)
    together = fitted(tmp_path / "a", x, problems, schedule)
    alone = [fitted(tmp_path / str(n), x, [p], schedule) for n, p in enumerate(problems)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-7)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_float32_ranks_as_alone(tmp_path):
    x, y = make_linear_data()
    schedule = replace(PLAIN, precision="float32", select="none")
    together = fitted(tmp_path / "a", x, problems_of(y), schedule)
    for n, one in enumerate(problems_of(y)):
        alone = fitted(tmp_path / str(n), x, [one], schedule)[0]
        for dim in range(2):
            assert spearmanr(together[n, :, dim], alone[:, dim]).statistic > 1 - 1e-4


def test_mixed_precision_is_near_to_float32(tmp_path):
    x, y = make_linear_data()
    mixed, full = (
        fitted(tmp_path / p, x, problems_of(y), replace(PLAIN, precision=p, select="none"))
        for p in ("bf16", "float32")
    )
    assert 0 < np.abs(mixed - full).max() < 0.2 * full.std()


def test_the_seed_decides(tmp_path):
    x, y = make_linear_data()
    one = problems_of(y, 1)[0]
    again = [
        fitted(tmp_path / n, x, [replace(one, seed=s)]) for n, s in (("a", 7), ("b", 7), ("c", 8))
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
    problems = problems_of(y, 3)
    together = fitted(
        tmp_path / "a", x, problems, replace(PLAIN, epochs=120, patience=120), Sequences
    )
    alone = fitted(
        tmp_path / "b", x, problems[1:2], replace(PLAIN, epochs=120, patience=120), Sequences
    )
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-6)
    rest = np.setdiff1d(np.arange(ROWS), problems[0].rows)
    known = rest[np.isfinite(y[rest, 0])]
    assert spearmanr(together[0, known, 0], y[known, 0]).statistic > 0.8


def test_rows_that_are_not_of_a_problem_teach_nothing(tmp_path):
    x, y = make_linear_data()
    problems = problems_of(y, 2)
    plain = fitted(tmp_path / "a", x, problems[:1])
    outside = np.setdiff1d(np.arange(ROWS), problems[0].rows)
    poisoned = x.copy()
    poisoned[outside] = 1e6
    kept = np.setdiff1d(np.arange(ROWS), outside)
    assert (fitted(tmp_path / "b", poisoned, problems[:1])[:, kept] == plain[:, kept]).all()


def test_a_missing_mos_is_masked(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    one = problems_of(y, 1)[0]
    gaps = one.y.copy()
    gaps[one.train[:20], 1] = np.nan
    schedule = replace(PLAIN, select="none")
    masked = fitted(tmp_path / "a", x, [replace(one, y=gaps)], schedule)
    # The first dimension alone says the same, where the two share no numbers.
    both = lambda shapes, dims: Apart(dims)  # noqa: E731
    got = fitted(tmp_path / "b", x, [replace(one, y=gaps)], schedule, both)
    full = fitted(tmp_path / "c", x, [one], schedule, both)
    np.testing.assert_allclose(got[..., 0], full[..., 0], rtol=1e-9)
    assert np.abs(got[..., 1] - full[..., 1]).max() > 1e-3
    assert np.isfinite(masked).all()


class Apart(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.each = nn.Linear(WIDTH, dims)

    def forward(self, x):
        return self.each(x)


def test_every_problem_ends_by_itself(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    problems, schedule = problems_of(y), replace(PLAIN, epochs=200, patience=4, select="srcc")
    reports = []
    together = fitted(tmp_path / "a", x, problems, schedule, after_epoch=reports.append)
    ends = []
    for n, one in enumerate(problems):
        own = []
        alone = fitted(tmp_path / str(n), x, [one], schedule, after_epoch=own.append)
        np.testing.assert_allclose(together[n], alone[0], rtol=1e-6)
        ends.append(own[-1].epoch)
    assert len(set(ends)) > 1
    assert reports[-1].epoch == max(ends) < 200
    left = [sum(e > r.epoch for e in ends) for r in reports]
    assert [r.training for r in reports] == left
    # What is kept is the best epoch: training until there gives the same.
    best = ends[0] - 4
    shorter = fitted(tmp_path / "c", x, problems[:1], replace(schedule, epochs=best, select="none"))
    np.testing.assert_allclose(shorter[0], together[0], rtol=1e-6)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("change", [{}, {"batch_rows": 16}, {"patience": 5, "epochs": 80}])
def test_a_killed_training_goes_on_to_the_same_numbers(change, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CHECKPOINT_SEC", 0.0)
    monkeypatch.setattr(engine, "SAVING_SHARE", 0)
    x, y = make_linear_data()
    problems, schedule = problems_of(y), replace(PLAIN, **change)
    undisturbed = fitted(tmp_path / "a", x, problems, schedule)
    for at in (4, 9):
        with pytest.raises(KilledError):
            fitted(
                tmp_path / "b",
                x,
                problems,
                schedule,
                after_epoch=lambda r, at=at: dies(r.epoch == at),
            )
    rest = []
    resumed = fitted(
        tmp_path / "b", x, problems, schedule, after_epoch=lambda r: rest.append(r.epoch)
    )
    # The ninth epoch is told of after its checkpoint, so that the tenth comes next.
    assert rest[0] == 10
    assert (resumed == undisturbed).all()
    done = []
    assert (fitted(tmp_path / "b", x, problems, schedule, after_epoch=done.append) == resumed).all()
    assert not done


def dies(now):
    if now:
        raise KilledError


def test_a_process_killed_with_9_goes_on_to_the_same_numbers(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path[:0] = [{str(SCRIPTS)!r}, {str(Path(__file__).parent)!r}]
            import numpy as np, torch
            from test_engine import PLAIN, fitted, problems_of, make_linear_data
            from sfqa.regression import engine
            from pathlib import Path
            engine.CHECKPOINT_SEC = engine.SAVING_SHARE = 0
            torch.set_num_threads(1)
            slow = float(sys.argv[2])
            def after(report):
                print(report.epoch, flush=True)
                time.sleep(slow)
            x, y = make_linear_data()
            found = fitted(Path(sys.argv[1]), x, problems_of(y), PLAIN, after_epoch=after)
            np.save(Path(sys.argv[1]) / "found.npy", found)
            """
        )
    )

    def start(folder, slow):
        command = [sys.executable, str(script), str(tmp_path / folder), str(slow)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    x, y = make_linear_data()
    plain = fitted(tmp_path / "a", x, problems_of(y))
    process = start("b", 0.2)
    for line in process.stdout:
        if int(line) == 6:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = start("b", 0)
    rest = again.communicate()[0].split()
    assert 6 <= int(rest[0]) <= 8
    assert (np.load(tmp_path / "b" / "found.npy") == plain).all()


def test_no_foreign_or_damaged_checkpoint_is_taken(tmp_path, monkeypatch):
    x, y = make_linear_data()
    problems = problems_of(y, 2)
    plain = fitted(tmp_path / "a", x, problems)
    path = tmp_path / "b" / "checkpoint-0.pt"
    moved = [replace(problems[0], train=problems[0].train[1:]), problems[1]]
    others = [
        lambda: fitted(path.parent, x, [replace(p, seed=1) for p in problems]),
        lambda: fitted(path.parent, x + 1, problems),
        lambda: fitted(path.parent, x, moved),
        lambda: fitted(path.parent, x, problems, replace(PLAIN, learning_rate=0.1)),
        lambda: fitted(path.parent, x, problems, identity=["other"]),
        lambda: path.write_bytes(path.read_bytes()[:1000]),
        lambda: path.write_bytes(b""),
        lambda: torch.save({"name": 3}, path),
    ]
    for number, other in enumerate(others):
        other()
        epochs = []
        got = fitted(path.parent, x, problems, after_epoch=epochs.append)
        assert len(epochs) == 25, f"case {number} resumed"
        assert (got == plain).all()


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x, y = make_linear_data()
    fitted(tmp_path, x, problems_of(y), replace(PLAIN, epochs=2))
    assert torch.equal(torch.rand(3), expected)


def test_bad_input(tmp_path):
    x, y = make_linear_data()
    good, one = problems_of(y, 2)
    few = replace(one, train=one.train[:3])
    unrated = replace(one, y=np.full_like(one.y, np.nan))
    trained = train(net, x, [good, few, unrated], LOSS, PLAIN, tmp_path, "cpu")
    assert [r.split(":")[0] for r in trained.reasons] == ["", "too_few_rows", "too_few_rows"]
    assert np.isnan(trained.predict(x)[1:]).all()
    assert np.isfinite(trained.predict(x)[0]).all()
    with pytest.raises(ValueError, match="too_few_rows"):
        trained.state(1)
    with pytest.raises(ValueError, match="the networks take"):
        trained.predict(x[:, :3])
    none = train(net, x, [few], LOSS, PLAIN, tmp_path, "cpu")
    assert np.isnan(none.predict(x)).all()
    broken = x.copy()
    broken[3, 2] = np.inf
    with pytest.raises(UserError, match=r"row 3, column \[2\]: inf"):
        fitted(tmp_path, broken, [good])
    wild = replace(PLAIN, learning_rate=1e300, select="loss")
    diverged = train(net, x, [good], LOSS, wild, tmp_path, "cpu")
    assert not diverged.reasons[0] or diverged.reasons[0].startswith("diverged: ")


def test_a_training_without_finite_numbers_says_so(tmp_path):
    class Broken(Apart):
        def forward(self, x):
            return self.each(x) * torch.nan

    x, y = make_linear_data()
    for select in ("srcc", "loss", "none"):
        schedule = replace(PLAIN, select=select, epochs=3)
        found = train(lambda s, d: Broken(d), x, problems_of(y, 1), LOSS, schedule, tmp_path, "cpu")
        assert found.reasons == ["diverged: no epoch gave finite predictions"]
        assert np.isnan(found.predict(x)).all()


def test_layers_that_cannot_be_batched_are_refused(tmp_path):
    x, y = make_linear_data()
    build = lambda s, d: nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, d))  # noqa: E731
    with pytest.raises(ValueError, match="batch norm"):
        fitted(tmp_path, x, problems_of(y, 1), build=build)


@pytest.mark.parametrize("key", ["select", "precision", "batching"])
def test_schedules_that_are_none(key):
    with pytest.raises(ValueError, match=f"{key} 'x'"):
        Schedule(**{key: "x"})


def test_srcc_is_scipys():
    numbers = np.random.default_rng(0)
    p, y = (
        numbers.integers(0, 6, (5, 9)).astype(float),
        numbers.integers(0, 4, (5, 9)).astype(float),
    )
    mask = numbers.random((5, 9)) < 0.8
    got = ranking.srcc(*(torch.from_numpy(v) for v in (p, y, mask)))
    for n in range(5):
        expected = spearmanr(p[n, mask[n]], y[n, mask[n]]).statistic
        assert float(got[n]) == pytest.approx(expected, abs=1e-11)
    broken = torch.tensor([[1.0, torch.nan, 2.0]])
    known = torch.ones(1, 3, dtype=torch.bool)
    assert ranking.srcc(broken, torch.tensor([[1.0, 2.0, 3.0]]), known).item() == -2


def test_dropout_drops_its_share_anew_each_step():
    drop = stacking.Dropout(0.25)
    drop.seed.fill_(12345)
    x = torch.ones(200, 50)
    first = drop(x)
    assert float((first == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert first.max() == pytest.approx(1 / 0.75)
    assert torch.equal(first, drop(x))
    drop.tick += 1
    assert float((drop(x) == first).double().mean()) == pytest.approx(0.625, abs=0.02)
    # A row's mask does not depend on how many rows follow it.
    assert torch.equal(drop(x)[:70], drop(x[:70]))
    assert torch.equal(drop.eval()(x), x)


def test_an_epoch_goes_through_every_row_once_in_a_new_order():
    real = torch.arange(10)[None, :] < torch.tensor([10, 7])[:, None]
    seeds = torch.tensor([3, 4])
    orders = [stacking.shuffled(seeds, epoch, real) for epoch in range(3)]
    for order in orders:
        assert sorted(order[0].tolist()) == list(range(10))
        assert sorted(order[1, :7].tolist()) == list(range(7))
    assert not torch.equal(orders[0], orders[1])
    alone = stacking.shuffled(seeds[1:], 2, real[1:, :7])
    assert torch.equal(alone[0], orders[2][1, :7])


def test_minibatches_move_a_problem_as_often_as_it_has_batches(tmp_path):
    x, y = make_linear_data(gaps=0.0)
    short, long = (
        make_problem(np.arange(20), np.arange(60, 70), y, 1),
        make_problem(np.arange(50), np.arange(60, 70), y, 1),
    )
    schedule = replace(PLAIN, batch_rows=10, epochs=6, select="none")
    together = fitted(tmp_path / "a", x, [short, long], schedule)
    alone = fitted(tmp_path / "b", x, [short], schedule)
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("change", [{}, {"batch_rows": 16, "patience": 3}])
def test_a_gpu_gives_what_a_cpu_gives(change, tmp_path):
    x, y = make_linear_data()
    schedule = replace(PLAIN, **change)
    cpu, gpu = (
        train(net, x, problems_of(y), LOSS, schedule, tmp_path / d, d).predict(x)
        for d in ("cpu", "cuda:0")
    )
    np.testing.assert_allclose(gpu, cpu, rtol=1e-6)
