"""ImageBind and VALOR trained from views: equal to a plain loop, and which tensors learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, pad

from sfqa.errors import UserError
from sfqa.features.normalised_frames import CLIP_STATISTICS, IMAGENET_STATISTICS
from sfqa.features.weights import Weights
from sfqa.identity import seed_of
from sfqa.regression import heads
from sfqa.regression.fine_tuning import starts
from sfqa.regression.fine_tuning.registry import BACKBONES, load_backbone
from sfqa.regression.problems import make_problem
from sfqa.training.rows import TensorRows
from small_backbones import draw_first_weights
from small_towers import draw_blocks, use_small_towers

HEAD = heads.load_head("fine_tuned")
SEED, ROWS = 11, 4
STAGES = [{"train": "head", "epochs": 1}, {"train": "last_stage", "epochs": 4}]
#: Parameters that the stage ``last_stage`` trains, as their names begin.
LAST_STAGES = {
    "imagebind": (
        "network.modality_trunks.vision.blocks.2.", "network.modality_trunks.audio.blocks.1.",
        "network.modality_heads.", "quality.",
    ),
    "valor": (
        # The merging of patches, both blocks and the norm of the Swin; the ViT's last block.
        "network.video_encoder.features.5.", "network.video_encoder.features.6.",
        "network.video_encoder.norm.", "network.audio_encoder.blocks.1.",
        "network.audio_encoder.norm.", "network.contra_head_", "quality.",
    ),
}  # fmt: skip


def embed_imagebind(network, clips, sound):
    """The mean embeddings of views and sound, the latter of length 20 each."""
    mean, std = (torch.tensor(v).double().view(3, 1, 1, 1) for v in CLIP_STATISTICS)
    views = torch.stack([clips[:, n].double() / 255 for n in range(clips.shape[1])], 1)
    tokens = network.vision.forward_features(((views - mean) / std).flatten(0, 1))[:, 0]
    seen = normalize(network.vision_projection(tokens), dim=-1).unflatten(0, clips.shape[:2])
    heard = network.audio(sound.flatten(0, 1)[:, None])
    heard = normalize(network.audio_projection(heard), dim=-1).unflatten(0, sound.shape[:2])
    return seen.mean(1) * 16**0.5, heard.mean(1) * 16**0.5


def embed_valor(network, frames, sound):
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in IMAGENET_STATISTICS)
    clips = pad(((frames.double() / 255 - mean) / std).transpose(1, 2), (0, 0, 0, 0, 0, 1))
    swin = network.video_encoder
    places = swin.norm(swin.features(swin.patch_embed(clips)))
    seen = normalize(network.contra_head_v(places.mean((2, 3))), dim=-1).mean(1)
    tokens = network.audio_encoder(sound.flatten(0, 1)[:, None])
    heard = normalize(network.contra_head_a(tokens), dim=-1).unflatten(0, sound.shape[:2])
    return seen * 512**0.5, heard.mean(1) * 512**0.5


EMBED = {"imagebind": embed_imagebind, "valor": embed_valor}


def list_last(network, backbone):
    """The modules of the last stage that have dropout or stochastic depth of their own."""
    plain = network.network
    return {
        "imagebind": lambda: [plain.vision.blocks[-1], plain.audio.blocks[-1]],
        "valor": lambda: [plain.video_encoder.features[6], plain.audio_encoder.blocks[-1]],
    }[backbone]()


def train_plainly(network, backbone, blocks, y):
    """Five steps of all rows: one of the head, four of it and the last stage."""
    (pictures_name, pictures), (_, split) = blocks.items()
    sound = torch.from_numpy(split.copy().view(np.float32)[..., 0]).double()
    role = pictures_name.partition(".")[2]
    draws = {role: 1} if backbone == "imagebind" else {}
    source = TensorRows(
        {role: torch.from_numpy(pictures)}, {}, {}, "cpu", True, draws=draws, seed=SEED
    )
    tensors = network.state_dict(keep_vars=True)
    last = [v for n, v in tensors.items() if n.startswith(LAST_STAGES[backbone])]
    head = list(network.quality.parameters())
    backbone_parameters = [v for v in last if not any(v is p for p in head)]
    groups = [{"params": head, "lr": 1e-3}, {"params": backbone_parameters, "lr": 1e-4}]
    optimizer = torch.optim.Adam(groups, weight_decay=1e-5)
    network.eval().requires_grad_(False)
    network.quality.requires_grad_(True).train()
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(SEED, "training") % 2**63)
        for epoch in range(1, 6):
            if epoch == 2:
                for parameter in last:
                    parameter.requires_grad_(True)
                for module in list_last(network, backbone):
                    module.train()
            rows = torch.arange(ROWS)  # a batch of all rows is not shuffled
            drawn = source.select(rows, epoch)[role]
            embeddings = EMBED[backbone](network.network, drawn, sound[rows])
            scores = network.quality.layers(torch.cat(embeddings, 1))
            optimizer.zero_grad()
            ((scores - torch.from_numpy(y)[rows]) ** 2).mean().backward()
            optimizer.step()
    return network.state_dict()


def fit(folder, blocks, y, first_weights, **options):
    merged = heads.merge_options("fine_tuned", {
        "loss": "mse", "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 1e-5,
        "mos": "as_is", "batch_rows": ROWS, "warmup_epochs": 0.0, "cosine": False, "ema": 0.0,
        "select": "none", "precision": "float64", "stages": STAGES, **options,
    })  # fmt: skip
    problem = replace(make_problem(range(ROWS), (), y, SEED), first_weights=first_weights)
    return HEAD.fit(blocks, [problem], merged, folder, "cpu"), merged


@pytest.mark.parametrize("backbone", list(LAST_STAGES))
def test_both_towers_are_trained_as_by_a_plain_loop(backbone, tmp_path, monkeypatch):
    """Only the last stages move, and a restored network gives the same scores."""
    use_small_towers(monkeypatch)
    blocks = draw_blocks(backbone, ROWS)
    y = np.random.default_rng(1).uniform(1, 5, (ROWS, 1))
    network = load_backbone(backbone).build({"blocks": "official"})
    first = draw_first_weights(network)
    models, options = fit(tmp_path, blocks, y, first, backbone=backbone)
    state = models.state(0)
    expected = train_plainly(network.double(), backbone, blocks, y)
    moved = set()
    for name, value in expected.items():
        trained = np.array(state[f"network.{name}"])
        np.testing.assert_allclose(trained, value.numpy(), rtol=0, atol=1e-6)
        if not np.array_equal(trained, first[name].astype(trained.dtype)):
            moved.add(name)
    last = {name for name in first if name.startswith(LAST_STAGES[backbone])}
    assert moved == last
    stages = HEAD.describe_training(blocks, 1, options)["stages"]
    assert set(stages[0]["tensors"]) == {n for n in first if n.startswith("quality.")}
    assert set(stages[1]["tensors"]) == last
    restored = HEAD.restore([state], options, "cpu")
    np.testing.assert_array_equal(restored.predict(blocks), models.predict(blocks))


def test_equal_views_are_computed_once_and_give_the_same_embeddings(monkeypatch):
    use_small_towers(monkeypatch)
    network = load_backbone("imagebind").build({"blocks": "official"}).eval()
    clips = torch.from_numpy(draw_blocks("imagebind", 2)["imagebind.clips"])
    with torch.inference_mode():
        expected = network.embed_views(clips)
        passes = []
        network.network.vision.register_forward_hook(lambda *_: passes.append(1))
        monkeypatch.setattr(
            network.network, "embed_views",
            lambda view, embed=network.network.embed_views: passes.append(len(view)) or embed(view),
        )  # fmt: skip
        embeddings = network.embed_views(clips[:, [0, 0, 1, 1, 2, 0]])
    assert passes == [2] * 4
    assert torch.equal(embeddings, expected[:, [0, 0, 1, 1, 2, 0]])


def test_a_share_takes_blocks_of_both_towers_from_the_output():
    with torch.device("meta"):
        network = load_backbone("imagebind").build({"blocks": "official"})
    network.select_trained({"share": 0.1})
    assert network.describe_trained() == (
        "joint: 63,249,153 of 719,589,889 parameters (head; sound block 10; vision block 31; "
        "sound block 11; vision block 32; sound block 12)"
    )
    network.select_trained("last_stage")
    assert network.describe_trained().endswith("(head; vision block 32; sound block 12)")


@pytest.mark.parametrize("backbone", list(LAST_STAGES))
def test_a_training_starts_from_the_towers_of_the_extractor(backbone, monkeypatch):
    use_small_towers(monkeypatch)
    module = load_backbone(backbone)
    options = heads.merge_options("fine_tuned", {"backbone": backbone})
    weights = {backbone: Weights("random", "random:3", seed=3)}
    state = module.load_published(weights, options)
    network = module.build(options)
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("quality.") for name in missing)
    other = module.load_published({backbone: Weights("random", "random:4", seed=4)}, options)
    assert any(not torch.equal(value, other[name]) for name, value in state.items())


def test_valor_large_is_not_trained():
    options = heads.merge_options("fine_tuned", {"backbone": "valor"})
    inputs = ["valor.frames", "valor.spectra"]
    sources = {"valor": {"weights": "random", "options": {"model": "large"}}}
    with pytest.raises(UserError, match=r"has model: large, and the backbone valor .* model: base"):
        starts.load_start(options, inputs, sources, "m")


@pytest.mark.parametrize("backbone", ["imagebind", "aigc_vqa"])
def test_no_square_is_cut_out_of_pictures_of_a_fixed_size(backbone):
    options = heads.merge_options("fine_tuned", {"backbone": backbone, "crop": 112})
    inputs = list(BACKBONES[backbone].inputs.values())
    with pytest.raises(UserError, match=f"{backbone} reads pictures of one size only; leave crop"):
        starts.check_start(options, inputs, "metric m.options.start")
    starts.check_start({**options, "crop": 0, "flip": True}, inputs, "metric m.options.start")
