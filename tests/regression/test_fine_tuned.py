"""Backbones trained from views: equal to a plain loop of the published training, step by step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sfqa.errors import UserError
from sfqa.features.normalised_frames import IMAGENET_STATISTICS
from sfqa.features.quality_maps import MEAN, STD
from sfqa.identity import seed_of
from sfqa.regression import heads
from sfqa.regression.fine_tuning import dover, fast_vqa
from sfqa.regression.fine_tuning.registry import BACKBONES, load_backbone
from sfqa.regression.problems import make_problem
from sfqa.training.augmentation import ViewReading
from sfqa.training.rows import TensorRows, shuffle_rows
from small_backbones import draw_first_weights, draw_views, use_small_backbones

HEAD = heads.load_head("fine_tuned")
SEED, BATCH = 11, 16


def fit_rows(folder, x, y, first_weights, rows, validation=(), **options):
    merged = heads.merge_options("fine_tuned", options)
    problem = replace(make_problem(rows, validation, y, SEED), first_weights=first_weights)
    return HEAD.fit(x, [problem], merged, folder, "cpu")


def plcc_loss(score, y):
    """FAST-VQA's: the mean of both errors of standardised scores and labels, over 4."""
    score, y = ((v - v.mean()) / v.std(correction=0) for v in (score, y))
    rho = (score * y).mean()
    return (((score - y) ** 2).mean() / 4 + ((rho * score - y) ** 2).mean() / 4) / 2


def rank_loss(score, y):
    ranking = torch.relu((score - score.t()) * torch.sign(y.t() - y))
    n = len(score)
    return ranking.sum() / n / (n - 1) / (1 + ranking.max())


def normalise(clips):
    mean, std = (torch.tensor(v).double().view(1, 3, 1, 1, 1) for v in (MEAN, STD))
    return (clips.double() - mean) / std


def list_batches(rows, epoch, batch=BATCH):
    return shuffle_rows(torch.arange(rows), SEED, epoch).split(batch)


def read_rows(x, rows, epoch, draws=None, readings=None):
    """What an epoch of the training reads of some rows, by role."""
    tensors = {role: torch.from_numpy(block) for role, block in x.items()}
    source = TensorRows(
        tensors, {}, {}, "cpu", True, draws=draws, seed=SEED, readings=readings
    )  # fmt: skip
    return source.select(rows, epoch)


def score_as_published(tower, head, clips):
    """Evaluator of FAST-VQA and DOVER: the mean of the head's scores over all positions."""
    return head(tower(normalise(clips))).mean((-3, -2, -1))


def assert_near(models, expected, prefix="network.", atol=1e-8):
    state = models.state(0)
    assert sum(name.startswith("network.") for name in state) == len(expected)
    moved = 0
    for name, value in expected.items():
        trained = torch.from_numpy(np.array(state[f"network.{prefix}{name}"]))
        torch.testing.assert_close(trained, value.to(trained.dtype), rtol=0, atol=atol)
        moved += value.numel()
    return moved


def train_plainly(
    network, parts, score, epochs, rows, rate, warmup, total, frozen_epochs=0, batch_rows=BATCH
):
    """The published loop of FAST-VQA and DOVER: groups, warm-up, cosine, head first."""
    groups = [{"params": m.parameters(), "lr": rate * f} for m, f in parts]
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: i / warmup if i <= warmup else (1 + math.cos(math.pi * (i - warmup) / total)) / 2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(SEED, "training") % 2**63)
        for epoch in range(1, epochs + 1):
            network.train()
            for module, factor in parts:
                is_frozen = factor < 1 and epoch <= frozen_epochs
                module.requires_grad_(not is_frozen)
                if is_frozen:  # the published loop leaves its stochastic depth on
                    module.eval()
            for batch in list_batches(rows, epoch, batch_rows):
                optimizer.zero_grad()
                score(batch, epoch).backward()
                optimizer.step()
                scheduler.step()
    return network.state_dict()


def test_fast_vqa_is_trained_as_by_the_published_loop(tmp_path, monkeypatch):
    """One epoch of the head, two of all; 16 videos a batch, one of two clips drawn.

    In float64: the gradient of a key's bias is 0 but for rounding, which Adam makes full steps of.
    """
    use_small_backbones(monkeypatch)
    x, rows = draw_views(32, 2), 32
    y = np.random.default_rng(1).uniform(20, 80, (rows, 1))
    network = fast_vqa.build({"blocks": "official"})
    first = draw_first_weights(network)
    models = fit_rows(
        tmp_path, {"fast_vqa.view": x}, y, first, range(rows),
        stages=[{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}],
        warmup_epochs=0.5, select="none", ema=0.0, precision="float64",
    )  # fmt: skip
    plain, target = network.network.double(), torch.from_numpy(y)

    def compute_loss(batch, epoch):
        clips = read_rows({"view": x}, batch, epoch, {"view": 1})["view"][:, 0]
        score = score_as_published(plain.fragments_backbone, plain.vqa_head, clips)
        return plcc_loss(score, target[batch]) + 0.3 * rank_loss(score, target[batch])

    parts = [(plain.fragments_backbone, 0.1), (plain.vqa_head, 1.0)]
    expected = train_plainly(plain, parts, compute_loss, 3, rows, 1e-3, 1, 6, frozen_epochs=1)
    assert_near(models, expected)
    key = "fragments_backbone.layers.0.blocks.0.attn.qkv.weight"
    assert np.abs(expected[key].numpy() - first[f"network.{key}"]).max() > 1e-4


def test_dover_is_trained_as_by_the_published_loop(tmp_path, monkeypatch):
    """Each branch has its loss; one of three clips and one of two whole views are drawn."""
    use_small_backbones(monkeypatch)
    x = {"technical": draw_views(16, 3), "aesthetic": draw_views(16, 2, seed=4)[..., :32, :32]}
    y = np.random.default_rng(1).uniform(20, 80, (16, 1))
    network = dover.build({"blocks": "official"})
    first = draw_first_weights(network)
    models = fit_rows(
        tmp_path, {f"dover.{role}_view": block for role, block in x.items()}, y, first, range(16),
        backbone="dover", batch_rows=8, warmup_epochs=0.5, select="none", ema=0.0,
        stages=[{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}],
        precision="float64",
    )  # fmt: skip
    plain, target = network.network.double(), torch.from_numpy(y)
    branches = {
        "technical": (plain.technical_backbone, plain.technical_head),
        "aesthetic": (plain.aesthetic_backbone, plain.aesthetic_head),
    }

    def compute_loss(batch, epoch):
        views = read_rows(x, batch, epoch, dict.fromkeys(x, 1))
        scores = [score_as_published(*parts, views[n][:, 0]) for n, parts in branches.items()]
        labels = target[batch]
        return sum(plcc_loss(s, labels) + 0.3 * rank_loss(s, labels) for s in scores)

    parts = [(tower, 0.1) for tower, _ in branches.values()]
    parts += [(head, 1.0) for _, head in branches.values()]
    expected = train_plainly(plain, parts, compute_loss, 3, 16, 1e-3, 1, 6, 1, batch_rows=8)
    assert_near(models, expected)


@pytest.mark.parametrize(("backbone", "rows"), [("simplevqa", 8), ("focusq", 4)])
def test_simplevqa_and_focusq_are_trained_as_by_the_published_loop(
    backbone, rows, tmp_path, monkeypatch
):
    """The whole ResNet on random crops, with batch norms that learn; the loss as it is meant.

    FocusQ's head also reads a frozen token, and its loss has the PLCC term.
    """
    use_small_backbones(monkeypatch)
    numbers = np.random.default_rng(0)
    frames = numbers.integers(0, 256, (rows, 2, 3, 48, 56), np.uint8)
    motion = numbers.normal(size=(rows, 2, 2304)).astype(np.float32)
    y = numbers.uniform(49, 52, (rows, 1))
    has_face = backbone == "focusq"
    loss = "mae + rank_simplevqa" + (" + plcc_fastvqa" if has_face else "")
    blocks = {"frames": frames, "motion": motion}
    if has_face:
        blocks["face"] = numbers.normal(size=(rows, 2, 256)).astype(np.float32)
    network = load_backbone(backbone).build({"blocks": "reduced"})
    first = draw_first_weights(network)
    names = BACKBONES[backbone].inputs
    models = fit_rows(
        tmp_path, {names[role]: block for role, block in blocks.items()}, y, first, range(rows),
        backbone=backbone, blocks="reduced", crop=40, mos="as_is", rank_below=1.0, epochs=5,
        loss=loss, optimizer="adam", learning_rate=1e-5, weight_decay=1e-7,
        backbone_rate=1.0, batch_rows=rows, warmup_epochs=0.0, cosine=False, decay=0.9, decay_every=2,
        ema=0.0, select="none", precision="float64",
    )  # fmt: skip
    plain, target = network.network.double(), torch.from_numpy(y)
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in IMAGENET_STATISTICS)

    def compute_loss(batch, epoch):
        readings = {"frames": ViewReading(crop=40)}
        inputs = read_rows(blocks, batch, epoch, readings=readings)
        pictures = (inputs["frames"].flatten(0, 1).double() / 255 - mean) / std
        features = multi_scale_as_published(plain, pictures)
        frozen = [inputs[role].flatten(0, 1).double() for role in list(blocks)[1:]]
        seconds = torch.cat([features.double(), *frozen], 1)
        score = plain.quality(seconds).view(len(batch), 2).mean(1)
        labels = target[batch, 0]
        apart = labels[:, None] - labels[None]
        counted = (apart.abs() < 1) & (apart.abs() > 0)
        lost = counted * torch.relu(-apart.sign() * (score[:, None] - score[None]))
        plcc = plcc_loss(score, labels) if has_face else 0
        return (score - labels).abs().mean() + lost.sum() / (counted.sum() + 1e-8) + plcc

    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-5, weight_decay=1e-7)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.9)
    plain.train()
    for epoch in range(1, 6):
        optimizer.zero_grad()
        compute_loss(torch.arange(rows), epoch).backward()
        optimizer.step()
        scheduler.step()
    assert_near(models, plain.state_dict(), atol=1e-6)


def multi_scale_as_published(network, pictures):
    x = network.maxpool(network.relu(network.bn1(network.conv1(pictures))))
    x = network.layer1(x)
    parts = []
    for stage in (network.layer2, network.layer3, network.layer4):
        x = stage(x)
        places = x.float().flatten(2)  # features are float32 in any precision
        parts += [places.mean(2), places.std(2)]
    return torch.cat(parts, 1)


def fit_small(folder, first=None, validation=(), x=None, **options):
    """Train FAST-VQA's small network on 12 rows for an epoch."""
    x = draw_views(12, 2) if x is None else x
    y = np.linspace(1, 5, 12)
    defaults = {"epochs": 1, "batch_rows": 6, "select": "none", "ema": 0.0, "warmup_epochs": 0.0}
    rows = [row for row in range(12) if row not in validation]
    models = fit_rows(
        folder, {"fast_vqa.view": x}, y, first, rows, validation, **{**defaults, **options}
    )
    return models, x


@pytest.mark.parametrize(
    ("train", "trained_units"),
    [
        ("head", []),
        ("last_stage", ["layers.3.", "norm.", "layers.2.downsample."]),
        ({"share": 0.1}, ["layers.3.", "norm.", "layers.2.downsample."]),
        ("all", [""]),
    ],
)
def test_only_the_named_part_is_trained(train, trained_units, tmp_path, monkeypatch, caplog):
    use_small_backbones(monkeypatch)
    first = draw_first_weights(fast_vqa.build({"blocks": "official"}))
    caplog.set_level("INFO", "sfqa")
    models, x = fit_small(tmp_path, first, train=train)
    state = models.state(0)
    changed = {n for n, v in first.items() if not np.array_equal(state[f"network.{n}"], v)}
    prefixes = [f"network.fragments_backbone.{unit}" for unit in trained_units]
    expected = {n for n in first if n.startswith(("network.vqa_head.", *prefixes))}
    assert changed == expected
    options = heads.merge_options("fine_tuned", {"train": train, "epochs": 1})
    (stage,) = HEAD.describe_training({"fast_vqa.view": x}, 1, options)["stages"]
    assert set(stage["tensors"]) == expected
    assert f"stage 1 (1 epochs) trains {len(expected)} tensors; technical: " in caplog.text


def test_frozen_parts_stay_in_evaluation_mode(monkeypatch):
    use_small_backbones(monkeypatch)
    network = fast_vqa.build({"blocks": "official"})
    plain = network.network
    network.select_trained("last_stage")
    network.train()
    features = plain.fragments_backbone.features
    assert all(module.training for module in (network, plain.vqa_head.dropout, features[6][0]))
    frozen = (features[4][0], features[0][0].stochastic_depth)
    assert not any(module.training for module in frozen)
    network.select_trained("all")
    assert all(module.training for module in plain.modules())
    network.eval()
    network.select_trained("all")
    assert not any(module.training for module in plain.modules())


def test_a_share_is_counted_from_the_output_and_branches_can_be_named():
    with torch.device("meta"):
        network = dover.build({"blocks": "official"})
    network.select_trained({"technical": "head", "aesthetic": {"share": 0.3}})
    counts = {True: 0, False: 0}
    for name, parameter in network.named_parameters():
        if "aesthetic" in name:
            counts[parameter.requires_grad] += parameter.numel()
    assert counts[True] / sum(counts.values()) == pytest.approx(0.3, abs=0.05)
    assert network.network.technical_head.fc_hid.weight.requires_grad
    assert not any(p.requires_grad for p in network.network.technical_backbone.parameters())
    network.select_trained({"aesthetic": "all"})
    assert network.active == ["aesthetic"]
    assert not network.network.technical_head.fc_hid.weight.requires_grad
    assert "technical: frozen and not scored" in network.describe_trained()
    with pytest.raises(ValueError, match="no branch 'sound'; there are technical, aesthetic"):
        network.select_trained({"sound": "all"})


@pytest.mark.parametrize("backbone", [name for name, b in BACKBONES.items() if not b.lora])
def test_every_parameter_is_in_one_unit(backbone):
    options = heads.merge_options(
        "fine_tuned", {"backbone": backbone, "blocks": "reduced", "model": "test_resnet.r160_in1k"}
    )
    with torch.device("meta"):
        network = load_backbone(backbone).build(options)
    assert tuple(network.branches) == BACKBONES[backbone].branches
    members = [
        id(parameter)
        for branch in network.branches.values()
        for parameter in [*branch.head, *(p for u in branch.units for p in u.parameters)]
    ]
    assert len(set(members)) == len(members)
    # BLIP's projections are in its checkpoint, and no score depends on them.
    unused = ("reward.blip.vision_proj.", "reward.blip.text_proj.")
    parameters = {n: p for n, p in network.named_parameters() if not n.startswith(unused)}
    assert set(members) == {id(parameter) for parameter in parameters.values()}
    groups = [p for group in network.group_parameters(0.1) for p in group["params"]]
    assert len(groups) == len(members)


def test_a_restored_network_scores_alike_and_clips_are_averaged(tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    options = heads.merge_options("fine_tuned", {"select": "none"})
    models, x = fit_small(tmp_path)
    predicted = models.predict({"fast_vqa.view": x})[0]
    restored = HEAD.restore([models.state(0)], options, "cpu")
    alone = restored.predict({"fast_vqa.view": x[3:4]})[0]
    np.testing.assert_allclose(alone, predicted[3:4], atol=1e-5)
    turned = restored.predict({"fast_vqa.view": np.ascontiguousarray(x[:, ::-1])})[0]
    np.testing.assert_allclose(turned, predicted, atol=1e-5)
    # In MOS units: the scores of train rows have the mean and deviation of their MOS.
    assert predicted.mean() == pytest.approx(3, abs=1e-4)


def test_pieces_of_a_batch_are_the_batch(tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    first = draw_first_weights(fast_vqa.build({"blocks": "official"}))
    # Without dropout, which is drawn for each piece.
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: x)
    monkeypatch.setattr("torchvision.ops.StochasticDepth.forward", lambda self, x: x)
    common = {"precision": "float64", "ema": 0.9, "compare_ema": False}
    whole, _ = fit_small(tmp_path / "a", first, **common)
    pieces, _ = fit_small(tmp_path / "b", first, piece_rows=2, **common)
    for name, value in whole.state(0).items():
        np.testing.assert_allclose(pieces.state(0)[name], value, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backbone": "dover"}, "reads 2, in this order: technical, aesthetic"),
        ({"backbone": "image"}, r"no network can be made for frames \(2, 3, 4, 64, 64\)"),
        (
            {"stages": [{"train": {"sound": "all"}, "epochs": 1}]},
            "no branch 'sound'; there are technical",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(changed, message, tmp_path, monkeypatch):
    use_small_backbones(monkeypatch)
    with pytest.raises(UserError, match=message):
        fit_small(tmp_path, **changed)


@pytest.mark.parametrize(
    "value", ["everything", {"share": 2}, {"share": "0.3"}, {"share": 0.3, "of": 1}, 3, {}]
)
def test_parts_that_do_not_exist_are_no_options(value):
    with pytest.raises(UserError, match=r"fine_tuned, options\.train is .*share: 0\.3"):
        heads.merge_options("fine_tuned", {"train": value})


@pytest.mark.parametrize(
    "stage",
    [{}, {"train": "all"}, {"train": "all", "epochs": 0}, {"train": "all", "epochs": 1, "rate": 1},
     {"train": "all", "epochs": 1, "restart": 1}],
)  # fmt: skip
def test_stages_that_lack_something_are_no_options(stage):
    with pytest.raises(UserError, match=r"options\.stages is .*\{train: head, epochs: 10\}"):
        heads.merge_options("fine_tuned", {"stages": [stage]})
