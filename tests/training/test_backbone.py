"""A small backbone trained end to end from pictures: pieces, processes that read, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.utils.data import Dataset

from sfqa.regression import losses
from sfqa.training.rows import DatasetRows
from sfqa.training.settings import TrainingSettings
from sfqa.training.trainer import Trainer, TrainingData, predict_rows

ROWS, SIZE = 72, 12


class Pictures(Dataset):
    """Noise of a strength that is the quality; rows of training are flipped at random."""

    def __init__(self, dtype=torch.float32):
        numbers = np.random.default_rng(0)
        self.strength = numbers.uniform(0.2, 2, ROWS)
        noise = numbers.normal(size=(ROWS, 3, SIZE, SIZE)) * self.strength[:, None, None, None]
        self.pictures = torch.from_numpy(noise).to(dtype)
        self.seeds = []

    def __getitem__(self, key):
        row, seed = key
        self.seeds.append(seed)
        is_flipped = seed is not None and np.random.default_rng(seed).random() < 0.5
        return self.pictures[row].flip(-1) if is_flipped else self.pictures[row]


class Backbone(nn.Module):
    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3), norm(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.backbone(x))


def group_parameters(network):
    return [
        {"params": network.backbone.parameters(), "lr_factor": 0.5},
        {"params": network.head.parameters()},
    ]


def train(folder, workers=0, norm=nn.BatchNorm2d, dtype=torch.float32, **changed):
    pictures = Pictures(dtype)
    settings = TrainingSettings(**{
        "epochs": 3, "batch_rows": 16, "optimizer": "adamw", "learning_rate": 0.02, "ema": 0.5,
        "warmup_epochs": 0.5, "cosine": True, **changed,
    })  # fmt: skip
    target = torch.from_numpy(-pictures.strength[:, None])
    rows = torch.arange(ROWS)
    source = DatasetRows(pictures, "cpu", 5, workers)
    data = TrainingData(source, target, rows[:48], rows[48:60])
    loss = losses.parse("plcc_fastvqa + 0.3 rank_fastvqa")
    trainer = Trainer(lambda: Backbone(norm), data, loss, settings, 5, "cpu", group_parameters)
    return trainer, trainer.run(folder / "checkpoint.pt"), pictures


def test_it_learns_quality_from_pictures(tmp_path):
    trainer, best, pictures = train(tmp_path, epochs=12, precision="bf16")
    network = Backbone()
    network.load_state_dict(best)
    scores = predict_rows(network, trainer.data.source, torch.arange(60, ROWS), "float32", "cpu")
    assert spearmanr(scores[:, 0], -pictures.strength[60:]).statistic > 0.8
    drawn = [seed for seed in pictures.seeds if seed is not None]
    assert len(set(drawn)) == len(drawn) == 12 * 48  # another change in every epoch


@pytest.mark.parametrize("piece_rows", [3, 8])
def test_pieces_are_one_batch(piece_rows, tmp_path):
    """With augmentation, average and groups of parameters; batch norms would be frozen."""
    same = {"norm": nn.Identity, "precision": "float64", "dtype": torch.float64}
    _, expected, _ = train(tmp_path / "a", **same)
    _, best, _ = train(tmp_path / "b", piece_rows=piece_rows, **same)
    for name, value in expected.items():
        torch.testing.assert_close(best[name], value, rtol=0, atol=1e-6)


def test_reading_processes_change_nothing(tmp_path):
    _, expected, _ = train(tmp_path / "a", epochs=1)
    _, best, _ = train(tmp_path / "b", workers=2, epochs=1)
    assert all(torch.equal(best[name], value) for name, value in expected.items())
