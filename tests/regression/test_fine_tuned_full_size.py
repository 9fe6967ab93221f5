"""Five steps of the published training at full size, two videos a batch, against a plain loop.

In float64: in float32 the two differ by the rounding of their sums, and Adam makes a whole step of a
gradient that is nothing but rounding (1.5 % of DOVER's numbers differed by more than 1e-5). The blocks
of the video networks are computed again in the backward pass, or DOVER would need 25 GB.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint
from torchvision.models.swin_transformer import SwinTransformerBlock

from sfqa.features import convnext3d
from sfqa.features.normalised_frames import IMAGENET_STATISTICS
from sfqa.features.quality_maps import MEAN, STD
from sfqa.features.spatial_net import multi_scale
from sfqa.identity import seed_of
from sfqa.regression import heads, losses
from sfqa.regression.fine_tuning.registry import load_backbone
from sfqa.regression.problems import make_problem
from sfqa.training.rows import shuffle_rows
from small_backbones import draw_first_weights

ROWS, BATCH, SEED, RATE = 10, 2, 3, 1e-3
#: Options of each backbone's published training, but for the number of epochs: five steps are one.
OPTIONS = {
    "fast_vqa": {"train": "all", "warmup_epochs": 0.2},
    "dover": {"backbone": "dover", "warmup_epochs": 0.2},
    "simplevqa": {
        "backbone": "simplevqa", "loss": "mae + rank_simplevqa", "optimizer": "adam",
        "learning_rate": 1e-5, "weight_decay": 1e-7, "backbone_rate": 1.0, "warmup_epochs": 0.0,
        "cosine": False, "decay": 0.9, "decay_every": 2,
    },
}  # fmt: skip
MAP_LOSS = losses.parse("plcc_fastvqa + 0.3 rank_fastvqa")


def draw_pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def make_blocks(backbone):
    clips = draw_pixels(ROWS, 1, 3, 32, 224, 224)
    if backbone == "fast_vqa":
        return {"fast_vqa.view": clips}
    if backbone == "dover":
        return {"dover.technical_view": clips, "dover.aesthetic_view": clips[..., ::-1].copy()}
    motion = np.random.default_rng(1).normal(size=(ROWS, 8, 2304)).astype(np.float32)
    return {"simplevqa.frames": draw_pixels(ROWS, 8, 3, 448, 448), "slowfast.slowfast": motion}


def normalise(pixels, mean, std, shape):
    return (pixels - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def score_maps(tower, head, pixels, dtype):
    clips = normalise(torch.from_numpy(pixels[:, 0]).to(dtype), MEAN, STD, (1, 3, 1, 1, 1))
    return head(tower(clips)).mean(dim=(2, 3, 4))


def compute_loss(network, backbone, blocks, rows, y):
    """The published loss of a batch, from the towers and heads themselves."""
    pixels = [block[rows.numpy()] for block in blocks.values()]
    known = torch.ones_like(y, dtype=torch.bool)
    if backbone == "simplevqa":
        pictures = torch.from_numpy(pixels[0]).flatten(0, 1).to(y.dtype) / 255
        features = multi_scale(network, normalise(pictures, *IMAGENET_STATISTICS, (3, 1, 1)))
        motion = torch.from_numpy(pixels[1]).to(y.dtype)
        seconds = torch.cat([features.unflatten(0, (len(y), 8)), motion], -1)
        return losses.parse("mae + rank_simplevqa")(network.quality(seconds).mean(1), y, known)
    parts = [("fragments_backbone", "vqa_head")]
    if backbone == "dover":
        parts = [(f"{name}_backbone", f"{name}_head") for name in ("technical", "aesthetic")]
    scores = [
        score_maps(*map(network.get_submodule, names), views, y.dtype)
        for names, views in zip(parts, pixels, strict=True)
    ]
    return sum(MAP_LOSS(score, y, known) for score in scores)


def train_plainly(network, backbone, blocks, y):
    parameters = dict(network.named_parameters())
    if backbone == "simplevqa":
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=1e-7)
        factor = lambda step: 1.0  # noqa: E731 (it falls after two epochs)
    else:
        groups = [
            {"params": [p for n, p in parameters.items() if "head" not in n], "lr": RATE / 10},
            {"params": [p for n, p in parameters.items() if "head" in n], "lr": RATE},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
        factor = lambda i: i if i < 1 else (1 + math.cos(math.pi * (i - 1) / 5)) / 2  # noqa: E731
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    network.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(SEED, "training") % 2**63)
        for rows in shuffle_rows(torch.arange(ROWS), SEED, 1).split(BATCH):
            optimizer.zero_grad()
            compute_loss(network, backbone, blocks, rows, y[rows]).backward()
            optimizer.step()
            scheduler.step()
    return network.state_dict()


@pytest.fixture
def recomputed_blocks(monkeypatch):
    for kind in (SwinTransformerBlock, convnext3d._Block):

        def recompute(self, x, forward=kind.forward):
            return checkpoint(forward, self, x, use_reentrant=False)

        monkeypatch.setattr(kind, "forward", recompute)


@pytest.mark.thorough
@pytest.mark.usefixtures("recomputed_blocks")
@pytest.mark.parametrize("backbone", list(OPTIONS))
def test_five_steps_at_full_size_are_those_of_a_plain_loop(backbone, tmp_path):
    blocks = make_blocks(backbone)
    options = heads.merge_options(
        "fine_tuned",
        {
            "epochs": 1,
            "batch_rows": BATCH,
            "select": "none",
            "ema": 0.0,
            "precision": "float64",
            **OPTIONS[backbone],
        },
    )
    network = load_backbone(backbone).build(options)
    first = draw_first_weights(network)
    mos = np.random.default_rng(2).normal(size=(ROWS, 1))
    mos = (mos - mos.mean()) / mos.std()
    problem = replace(make_problem(range(ROWS), [], mos, SEED), first_weights=first)
    head = heads.load_head("fine_tuned")
    state = head.fit(blocks, [problem], options, tmp_path, "cpu").state(0)
    y = torch.from_numpy(mos)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = train_plainly(network.network.double(), backbone, blocks, y)
    finally:
        torch.set_num_threads(threads)
    assert expected
    for name, value in expected.items():
        trained = torch.from_numpy(np.array(state[f"network.network.{name}"]))
        torch.testing.assert_close(trained, value.to(trained.dtype), rtol=0, atol=1e-6, msg=name)
