"""The recurrent audio-visual heads are trained as their official scripts train them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sfqa.errors import UserError
from sfqa.regression import heads
from sfqa.regression.networks.avqa import StepScores
from sfqa.regression.problems import make_problem
from sfqa.training.random_state import use_own_random_numbers
from sfqa.training.rows import shuffle_rows

HEAD: Any = heads.load_head("avqa_recurrent")
DNN = {"steps": 12, "segment": 3, "width": 16}
GENERAL = {
    "model": "general", "steps": 4, "columns": 8, "state": 4, "vector": 8, "width": 8,
    "channels": [4, 4, 4],
}  # fmt: skip


def options(**changed: Any) -> dict[str, Any]:
    return dict(heads.merge_options("avqa_recurrent", changed))


def draw_videos(model: str, groups: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features and MOS (40 to 80) of six videos per group, of a quality that both features show.

    A group has an offset in other columns, as videos of one image look alike.
    """
    numbers = np.random.default_rng(seed)
    rows, steps = 6 * groups, 12 if model == "dnn" else 4
    quality = numbers.uniform(-1, 1, rows)
    looks = np.repeat(numbers.normal(size=(groups, 3)), 6, axis=0)

    def draw(width: int, strength: float) -> np.ndarray:
        block = 0.3 * numbers.normal(size=(rows, steps, width))
        block[..., :2] += strength * quality[:, None, None]
        block[..., 2:5] += looks[:, None]
        return block.astype(np.float32)

    x = {"video": draw(6, 1.0)}
    if model == "dnn":
        x["sound"] = draw(6, 1.0)
    else:
        x |= {f"map{n}": draw(16 * 8, 1.0) for n in range(2)}
    return x, 60 + 20 * quality


def fit(
    x: dict[str, np.ndarray], y: np.ndarray, parts: tuple[Any, Any], folder: Path, **changed: Any
) -> Any:
    known = np.full(len(y), np.nan)
    rows = np.concatenate([np.asarray(part, int) for part in parts])
    known[rows] = y[rows]
    return HEAD.fit(x, [make_problem(*parts, known, 3)], options(**changed), folder, "cpu")


def test_an_epoch_of_dnn_passes_over_each_segment_in_turn(tmp_path: Path) -> None:
    """A plain loop as the official script's: every pass shows all rows one segment, MOS / 100."""
    x, y = draw_videos("dnn", 5)
    train = np.arange(22)
    models = fit(
        x, y, (train, np.arange(22, 28)), tmp_path, **DNN, epochs=2, batch_rows=8, dropout=0.0,
        learning_rate=1e-3, precision="float64", select="none",
    )  # fmt: skip
    with use_own_random_numbers(3, "cpu"):
        network = StepScores(6, 6, 1, 3, 16, 0.0).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    tensors = {"video": torch.from_numpy(x["video"]), "audio": torch.from_numpy(x["sound"])}
    mos = torch.from_numpy(y)[:, None] / 100
    for number in range(8):  # two epochs of four segments
        order = shuffle_rows(torch.from_numpy(train), 3, number + 1)
        for batch in order.split(8):
            first = number % 4 * 3
            scores = network({k: v[batch, first : first + 3].double() for k, v in tensors.items()})
            optimizer.zero_grad()
            nn.functional.mse_loss(scores, mos[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        parts = [
            network({k: v[:, first : first + 3].double() for k, v in tensors.items()})
            for first in range(0, 12, 3)
        ]
    expected = 100 * torch.stack(parts).mean(dim=0).numpy()
    np.testing.assert_allclose(models.predict(x)[0], expected, rtol=1e-10)


def test_a_killed_training_resumes_inside_a_segment(tmp_path: Path) -> None:
    from sfqa.training.rows import TensorRows
    from sfqa.training.settings import TrainingSettings
    from sfqa.training.trainer import Trainer, TrainingData

    x, y = draw_videos("dnn", 3)
    blocks = {"video": torch.from_numpy(x["video"]), "audio": torch.from_numpy(x["sound"])}
    rows, validation = torch.arange(13), torch.arange(13, 18)
    settings = TrainingSettings(epochs=2, batch_rows=4, training_segments=4, select="loss")

    def make_trainer() -> Trainer:
        source = TensorRows(blocks, {}, {}, "cpu", True, (), torch.float32, segments=4)
        data = TrainingData(source, torch.from_numpy(y)[:, None] / 100, rows, validation)

        def mse(scores: torch.Tensor, target: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return nn.functional.mse_loss(scores, target)

        return Trainer(lambda: StepScores(6, 6, 1, 3, 8, 0.0), data, mse, settings, 3, "cpu")

    straight, first, second = make_trainer(), make_trainer(), make_trainer()
    while straight.is_running():
        straight.step()
    for _ in range(10):  # three steps are a pass, twelve an epoch
        first.step()
    second.load_state(first.state())
    while second.is_running():
        second.step()
    for name, value in straight.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


def test_the_first_epochs_are_not_kept(tmp_path: Path) -> None:
    x, y = draw_videos("dnn", 5)
    parts = (range(24), range(24, 30))
    shared = DNN | {"epochs": 3, "learning_rate": 1e-2, "batch_rows": 8, "patience": 1}
    last = fit(x, y, parts, tmp_path / "last", **shared, select="none").predict(x)
    late = fit(x, y, parts, tmp_path / "late", **shared, select_after=2).predict(x)
    np.testing.assert_array_equal(last, late)
    completed = HEAD.complete_options
    assert completed(options())["select_after"] == 30
    assert completed(options(epochs=30))["select_after"] == 0
    assert completed(options(model="general"))["select_after"] == 0
    assert completed(options())["training_segments"] == 4
    assert completed(options(model="general"))["training_segments"] == 1
    with pytest.raises(UserError, match="select_after: 5 of 5 epochs leave none to keep"):
        HEAD.list_inputs(options(epochs=5, select_after=5), ["v", "a"])


@pytest.mark.parametrize(("name", "value"), [("learning_rate", -0.5), ("mos_divisor", -0.01)])
def test_numbers_between_the_published_one_and_zero_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"option {name}: {value} is below 0; give a number above"):
        HEAD.list_inputs(options(**{name: value}), ["v.video", "a.audio"])
    HEAD.list_inputs(options(**{name: -1.0}), ["v.video", "a.audio"])


@pytest.mark.parametrize(
    ("changed", "divisor"),
    [
        (DNN, 100.0), (DNN | {"mos_divisor": 5}, 5.0), (GENERAL, "largest"),
        (GENERAL | {"mos_divisor": 0}, "deviation"),
    ],
)  # fmt: skip
def test_mos_are_divided_as_published(
    changed: dict[str, Any], divisor: float | str, tmp_path: Path
) -> None:
    """The largest is that of the train rows, not of the others."""
    x, y = draw_videos(str(changed.get("model", "dnn")), 3)
    y[14] = 99.0
    state = fit(x, y, (range(12), range(12, 18)), tmp_path, **changed, epochs=1).state(0)
    deviation = {"largest": y[:12].max(), "deviation": y[:12].std()}.get(str(divisor), divisor)
    offset = y[:12].mean() if divisor == "deviation" else 0.0
    assert state["y_sd"] == pytest.approx(deviation)
    assert state["y_mean"] == pytest.approx(offset)
    assert not [key for key in state if key.startswith("mean.")], "features are as they are"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ("dnn", DNN | {"epochs": 32, "learning_rate": 4e-3}),
        ("general", GENERAL | {"epochs": 15, "learning_rate": 5e-3}),
    ],
)  # fmt: skip
def test_the_recipe_learns_quality_and_no_shuffled_labels(
    model: str, changed: dict[str, Any], tmp_path: Path
) -> None:
    """The published recipe but for narrow networks, whose learning rate is higher.

    Groups of six videos are either trained on, selected on or tested.
    """
    x, y = draw_videos(model, 30)
    parts, test = (range(96), range(96, 120)), np.arange(120, 180)
    models = fit(x, y, parts, tmp_path / "true", **changed)
    assert spearmanr(models.predict(x)[0, test, 0], y[test]).statistic > 0.9
    shuffled = np.random.default_rng(1).permutation(y)
    models = fit(x, shuffled, parts, tmp_path / "shuffled", **changed)
    assert abs(spearmanr(models.predict(x)[0, test, 0], shuffled[test]).statistic) < 0.25


def test_a_batch_of_one_video_has_statistics_for_the_batch_norm(tmp_path: Path) -> None:
    """Its 30 maps are a batch of pictures; a row is predicted alone as among others."""
    x, y = draw_videos("general", 2)
    changed = GENERAL | {"epochs": 2, "batch_rows": 1, "mos_divisor": 100}
    models = fit(x, y, (range(5), range(5, 9)), tmp_path / "small", **changed)
    together = models.predict(x)[0]
    assert np.isfinite(together).all()
    alone = [models.predict({k: v[n : n + 1] for k, v in x.items()})[0, 0] for n in range(12)]
    np.testing.assert_allclose(np.stack(alone), together, rtol=1e-5)
