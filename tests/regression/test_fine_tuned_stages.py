"""Trainings in stages: AIGC-VQA's three, killed in each of them, and what the stages leave."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from sfqa.regression import heads
from sfqa.regression.fine_tuning import aigc_vqa
from sfqa.regression.fine_tuning.st_adapter import StAdapter
from sfqa.regression.problems import make_problem
from sfqa.training import trainer as trainer_module
from sfqa.training.trainer import Trainer
from small_backbones import draw_aigc_blocks, use_small_backbones

ROWS = 10
#: The paper's stages, of two epochs each.
STAGES = [
    {"train": {"technical": "all", "aesthetic": "all"}, "epochs": 2},
    {"train": {"alignment": {"share": 0.7}}, "epochs": 2, "restart": True},
    {"train": {"share": 0.3}, "epochs": 2, "restart": True, "learning_rate": 1e-4},
]
OPTIONS = {
    "backbone": "aigc_vqa", "start": "random", "stages": STAGES, "loss": "plcc + rank_aigcvqa",
    "learning_rate": 1e-3, "backbone_rate": 1.0, "batch_rows": 3, "warmup_epochs": 0.0,
    "cosine": False, "ema": 0.0, "patience": 10,
}  # fmt: skip


def fit_stages(folder, **changed):
    options = heads.merge_options("fine_tuned", {**OPTIONS, **changed})
    problem = make_problem(range(6), range(6, ROWS), np.linspace(1, 5, ROWS) ** 2, 5)
    head = heads.load_head("fine_tuned")
    torch.set_num_threads(1)
    return head.fit(draw_aigc_blocks(ROWS), [problem], options, folder, "cpu")


def train_slowly(folder, sender, changed):
    """Train with a checkpoint after every step, and report each step's stage."""
    trainer_module.CHECKPOINT_SEC = trainer_module.SAVING_SHARE = 0
    take_step = Trainer.step

    def step(trainer):
        sender.send(trainer.stage)
        time.sleep(0.1)
        return take_step(trainer)

    Trainer.step = step
    fit_stages(folder, **changed)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"ema": 0.8, "piece_rows": 2},
        pytest.param({"ema": 0.8}, marks=pytest.mark.thorough),
        pytest.param({"piece_rows": 2}, marks=pytest.mark.thorough),
    ],
)
def test_killed_in_each_stage_the_end_is_the_same_bit_for_bit(changed, tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    expected = fit_stages(tmp_path / "whole", **changed).state(0)
    fork = multiprocessing.get_context("fork")
    for stage in range(3):
        steps, sender = fork.Pipe(duplex=False)
        arguments = (tmp_path / "killed", sender, changed)
        process = fork.Process(target=train_slowly, args=arguments)
        process.start()
        sender.close()
        # The second step that begins in a stage follows a checkpoint within its first epoch.
        for _ in range(2):
            while steps.recv() != stage:
                pass
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert (tmp_path / "killed" / "fit-0.training.pt").is_file()
    state = fit_stages(tmp_path / "killed", **changed).state(0)
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value)


def test_each_stage_trains_its_own_branches(tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    scored, changed = [], []
    enter = Trainer._enter_stage

    def watch(trainer):
        names = [name for name, p in trainer.network.named_parameters() if p.requires_grad]
        scored.append((trainer.stage, list(trainer.network.active)))
        changed.append({name.split(".")[1 if name.startswith("dover") else 0] for name in names})
        enter(trainer)

    monkeypatch.setattr(Trainer, "_enter_stage", watch)
    models = fit_stages(tmp_path, stages=[{**stage, "epochs": 1} for stage in STAGES])
    branches = ["technical", "aesthetic", "alignment"]
    assert scored == [(0, branches[:2]), (1, branches[2:]), (2, branches)]
    dover = {f"{b}_{part}" for b in branches[:2] for part in ("head", "backbone")}
    assert changed == [dover, {"reward", "adapter"}, dover | {"reward", "adapter"}]
    assert np.isfinite(models.predict(draw_aigc_blocks(ROWS))).all()
    # A branch that no stage trains is not scored.
    alone = fit_stages(tmp_path / "alone", stages=[{"train": {"alignment": "head"}, "epochs": 1}])
    blocks = draw_aigc_blocks(ROWS)
    before = alone.predict(blocks)
    blocks["dover.technical_view"] = 255 - blocks["dover.technical_view"]
    np.testing.assert_array_equal(alone.predict(blocks), before)


def test_the_adapter_begins_as_nothing_and_mixes_frames():
    torch.manual_seed(0)
    tokens, adapter = torch.randn(2, 3, 5, 8), StAdapter(8)
    torch.testing.assert_close(adapter(tokens), tokens, rtol=0, atol=0)
    torch.nn.init.normal_(adapter.up.weight)
    changed = tokens.clone()
    changed[0, 2, 3] += 1
    difference = (adapter(changed) - adapter(tokens)).abs().sum(-1) > 1e-6
    # Place 3 of frame 2 reaches itself and the same place of frame 1.
    assert difference[0].nonzero().tolist() == [[1, 3], [2, 3]]
    assert not difference[1].any()


def test_frames_and_tokens_give_the_extractors_score(monkeypatch):
    """Without the adapter the branch is ImageReward before it is standardised."""
    use_small_backbones(monkeypatch)
    network = aigc_vqa.build({"blocks": "official", "adapter": False}).eval()
    blocks = draw_aigc_blocks(2)
    x = {name.split(".")[1]: torch.from_numpy(block) for name, block in blocks.items()}
    with torch.no_grad():
        score = network.score_branch("alignment", x)
        ids = x["tokens"][:, 0].long() @ torch.tensor([256, 1])
        pictures = x["frames"].float() / 255 - network.picture_norm.mean.view(3, 1, 1)
        pictures = pictures / network.picture_norm.deviation.view(3, 1, 1)
        frames = [network.reward(pictures[:, n], ids, (ids > 0).long())[1] for n in range(2)]
    reward = torch.stack(frames).mean(dim=0)
    expected = reward * 1.0333394966054072 + 0.16717362830052426
    torch.testing.assert_close(score[:, 0], expected, rtol=0, atol=1e-5)
