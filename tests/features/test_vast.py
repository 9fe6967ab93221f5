"""VAST against numbers of the official code, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_vast.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from golden_summaries import draw_frames
from golden_weights import draw_song, fill_weights
from official_checkpoints import draw_checkpoint
from official_code import check_array, read_numbers
from sfqa.errors import UserError
from sfqa.features import base, beats_net, keyframes, vast_net
from sfqa.features.base import UnusableError
from sfqa.features.extractors import vast
from sfqa.features.normalised_frames import CLIP_STATISTICS, SquareForm
from sfqa.features.sinc_resampling import resample_sound
from sfqa.features.two_towers import FramesAndSound
from sfqa.features.vast_net import Vast
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "vast.json"
OFFICIAL = read_numbers("vast")
OUTPUTS = {name.split(" (")[0]: summary for name, summary in OFFICIAL["outputs"].items()}
TABLE = "audio_encoder.encoder.layers.{}.self_attn.relative_attention_bias.weight"


def check_shape(array: Any, summary: dict[str, Any], tolerance: float = 1e-5) -> None:
    assert list(np.shape(array)) == summary["shape"]
    check_array(array, summary, tolerance)


@cache
def draw_golden_sound(seconds: int, rate: int = vast.RATE) -> Any:
    return draw_song(0, seconds, rate) / np.float32(32768)


def make_squares(indices: Any, **form: bool) -> Any:
    square = SquareForm(*CLIP_STATISTICS, double=True, **form)
    return np.stack([square.convert(frame) for frame in draw_frames(0, indices, 256, 320)])


def draw_official(depth: int, audio_depth: int = 12) -> dict[str, torch.Tensor]:
    """The drawn checkpoint of so many blocks; the layers of BEATs share one table."""
    keys = {
        key.replace("[i=0..1]", f"[i=0..{depth - 1}]")
        if "visual.blocks" in key
        else key.replace("[i=0..11]", f"[i=0..{audio_depth - 1}]"): shape
        for key, shape in OFFICIAL["keys"].items()
    }
    state = draw_checkpoint(keys)
    return state | {TABLE.format(n): state[TABLE.format(0)] for n in range(audio_depth)}


@pytest.mark.parametrize(
    ("seconds", "count", "name"),
    [
        (6, 1, "audio 6 s (1,1024,64)"),
        (44, 1, "44.1 kHz input"),
        (25, 1, "25 s, sample_num 1"),
        (25, 2, "25 s, sample_num 2"),
        (6, 2, "6 s, sample_num 2"),
        (0, 1, "exactly 1024 frames"),
    ],
)
def test_slices_of_sound_are_the_official_ones(seconds: int, count: int, name: str) -> None:
    if seconds == 44:
        sound = resample_sound(draw_golden_sound(6, 44100), 44100, vast.RATE)
    elif seconds:
        sound = draw_golden_sound(seconds)
    else:
        sound = draw_golden_sound(25)[: 400 + 1023 * 160]
    (summary,) = (s for key, s in OFFICIAL["front_end"].items() if key.startswith(name))
    check_shape(vast.compute_slices(sound, count), summary)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "video none (squash"),
        ({"crop": True}, "video crop_flip"),
        ({"antialias": True}, "video none with antialias"),
    ],
)
def test_frames_are_the_official_ones(form: dict[str, bool], name: str) -> None:
    (summary,) = (s for key, s in OFFICIAL["front_end"].items() if key.startswith(name))
    check_shape(make_squares(keyframes.select_middles(150, 8), **form), summary, 1e-6)


def test_which_frames_and_slices_are_chosen() -> None:
    for name, indices in OFFICIAL["sampling"].items():
        if isinstance(indices, list):
            numbers = [int(word) for word in name.split() if word.isdigit()]
            parts, items = numbers if len(numbers) == 2 else (1, *numbers)
            assert keyframes.select_middles(items, parts).tolist() == indices, name


def test_beats_is_the_official_one() -> None:
    """At full size; the shared table of positions and both halves of the convolution's weight."""
    state = {k: t for k, t in draw_official(1).items() if k.startswith("audio_encoder")}
    with torch.device("meta"):
        net = torch.nn.ModuleDict({"audio_encoder": beats_net.Beats()})
    own = vast_net.convert_state(state, net)
    assert set(own) == set(net.state_dict())
    net.load_state_dict(own, assign=True)
    slices = torch.from_numpy(vast.compute_slices(draw_golden_sound(6), 1))
    with torch.inference_mode():
        tokens = net.eval()["audio_encoder"](slices)
    check_shape(tokens, OUTPUTS["audio tokens"])
    check_shape(tokens.mean(1), OUTPUTS["a 768"])


def save_checkpoint(folder: Path, state: dict[str, torch.Tensor], **others: Any) -> Weights:
    """Return weights in a file with other parts of a released checkpoint."""
    path = folder / "model_step_9.pt"
    others = {
        "multimodal_encoder.bert.embeddings.word_embeddings.weight": torch.zeros(9, 3),
        "contra_head_vas.weight": torch.zeros(512, 9), "itm_head.linear1.bias": torch.zeros(9),
        "vision_encoder.text.positional_embedding": torch.zeros(77, 9),
        "contra_temp": torch.zeros(()), "hidden_trans_vision_multimodal.0.bias": torch.zeros(9),
        **others,
    }  # fmt: skip
    torch.save({**state, **others}, path)
    return Weights("official", "0" * 64, path)


def check_columns(columns: dict[str, Any]) -> None:
    check_shape(columns["video"], OUTPUTS["vision CLS per frame"])
    check_shape(columns["video"].mean(0)[None], OUTPUTS["v 1408"])
    check_shape(columns["audio"], OUTPUTS["a 768"])
    for column, name in (("video_embedding", "feat_v 512"), ("audio_embedding", "feat_a 512")):
        pooled = normalize(torch.from_numpy(columns[column]).mean(0), dim=0)[None]
        check_shape(pooled, OUTPUTS[name], 1e-6)
    check_shape(columns["joint_embedding"], OUTPUTS["feat_va 512"], 1e-6)
    assert float(columns["cosine"]) == pytest.approx(
        OFFICIAL["outputs"]["cosine of feat_v and feat_a"], abs=1e-6
    )


@pytest.mark.thorough
def test_two_blocks_of_eva_and_all_of_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vast_net.DEPTHS, "reduced", (2, 12))
    extractor: Any = base.build_extractor(
        "vast", {"blocks": "reduced"}, save_checkpoint(tmp_path, draw_official(2)), "cpu"
    )
    slices = vast.compute_slices(draw_golden_sound(6), 1)
    prepared = FramesAndSound(make_squares([9, 28]), slices)
    (columns,) = extractor.runner.compute_columns([prepared])
    check_columns(columns)
    with torch.inference_mode():
        eva = extractor.net.vision_encoder["visual"]
        tokens = eva.forward_features(torch.from_numpy(prepared.frames))
    check_shape(tokens, OUTPUTS["vision tokens of the first two frames"])


@pytest.mark.thorough
def test_a_frame_at_full_depth() -> None:
    """One billion numbers, 4.1 GB."""
    official = OFFICIAL["full_depth"]
    state = {k: t for k, t in draw_official(40).items() if "audio_encoder" not in k}
    with torch.device("meta"):
        net = Vast(40, 1)
    own = vast_net.convert_state(state, net)
    del state
    net.load_state_dict(own, assign=True, strict=False)
    eva: Any = net.vision_encoder["visual"].eval()
    for block in eva.blocks:
        # A buffer of zeros that is no part of the weights.
        block.attn.k_bias = torch.zeros(1408)
    with torch.inference_mode():
        tokens = eva.forward_features(torch.from_numpy(make_squares([9])))
        projected = normalize(net.contra_head_v(tokens[:, 0]), dim=-1)
    check_shape(tokens, official["tokens (1,257,1408)"])
    check_shape(tokens[:, 0], official["CLS"])
    check_shape(projected, official["contra_head_v, L2-normalised"], 1e-6)


@cache
def build_reduced_net() -> Vast:
    net = Vast(*vast_net.DEPTHS["reduced"])
    fill_weights(net)
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """Drawn weights of a network with few blocks, built once."""

    def load(self, build: Callable[[], torch.nn.Module], *_: Any, **__: Any) -> torch.nn.Module:
        return build_reduced_net()


def build_reduced(**options: Any) -> Any:
    options = {"blocks": "reduced", **options}
    return base.build_extractor("vast", options, _SharedWeights("random", "random:0"), "cpu")


def draw_parts(count: int) -> list[FramesAndSound]:
    rng = np.random.default_rng(3)
    return [
        FramesAndSound(
            rng.standard_normal((2, 3, 224, 224), np.float32),
            rng.standard_normal((1, 1024, 64), np.float32),
        )
        for _ in range(count)
    ]


@pytest.mark.thorough
def test_rows_do_not_depend_on_the_pass_they_share() -> None:
    parts = draw_parts(3)
    single, mixed = build_reduced(), build_reduced(batch=3)
    expected = list(single.runner.compute_columns(parts))
    computed = mixed.runner.compute_columns(parts[n] for n in (2, 0, 1))
    for index, columns in zip((2, 0, 1), computed, strict=True):
        for name, values in columns.items():
            np.testing.assert_allclose(values, expected[index][name], rtol=1e-4, atol=1e-4)
    assert expected[0]["cosine"] != expected[1]["cosine"]
    (row,) = single.score(parts[:1])
    assert set(row) == {feature.name for feature in vast.Extractor.FEATURES}
    assert row["video"].shape == (2, 1408)
    assert row["joint_embedding"].shape == (1, 512)
    assert row["audio"].dtype == np.float16


@pytest.mark.thorough
def test_bf16_is_near() -> None:
    parts = draw_parts(1)
    exact, rounded = (
        next(build_reduced(precision=p).runner.compute_columns(parts)) for p in ("fp32", "bf16")
    )
    for column in ("video", "audio"):
        difference = np.abs(exact[column] - rounded[column]).mean() / exact[column].std()
        assert 1e-4 < difference < 0.05


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build_reduced()
    monkeypatch.setattr(
        extractor.net.audio_encoder, "forward", lambda x: torch.full((len(x), 256, 768), 1e9)
    )
    (row,) = extractor.score(draw_parts(1))
    assert isinstance(row, UnusableError)
    assert str(row).startswith("not_finite: VAST")


@pytest.mark.thorough
def test_a_released_checkpoint_is_loaded_whole_or_counted(tmp_path: Path) -> None:
    """With the names of older runs and of distributed training, too."""
    state = draw_official(1, 1)
    older = {
        f"module.{key.replace('vision_encoder', 'evaclip_model')}": tensor
        for key, tensor in state.items()
    }
    extractor: Any = base.build_extractor(
        "vast", {"blocks": "reduced"},
        save_checkpoint(tmp_path, older, **{"module.video_frame_embedding": torch.zeros(1, 8, 768)}),
        "cpu",
    )  # fmt: skip
    net = extractor.net.state_dict()
    for key in ("contra_head_va.weight", "vision_encoder.visual.blocks.0.attn.v_bias"):
        assert torch.equal(net[key], state[key])
    convolution = extractor.net.audio_encoder.encoder.pos_conv[0].weight
    length = state["audio_encoder.encoder.pos_conv.0.weight_g"]
    torch.testing.assert_close(convolution.norm(dim=(0, 1), keepdim=True), length.abs())
    length_key = "audio_encoder.encoder.pos_conv.0.weight_g"
    weights = save_checkpoint(tmp_path, {**state, length_key: torch.ones(1, 1, 7)})
    counted = r"1 missing \(audio_encoder.encoder.pos_conv.0.weight\), 2 unexpected"
    with pytest.raises(UserError, match=counted):
        base.build_extractor("vast", {"blocks": "reduced"}, weights, "cpu")
    del state["audio_encoder.layer_norm.bias"]
    weights = save_checkpoint(tmp_path, state, **{"audio_encoder.norm.bias": torch.zeros(512)})
    counted = r"1 missing \(audio_encoder.layer_norm.bias\), 1 unexpected \(audio_encoder.norm"
    with pytest.raises(UserError, match=counted):
        base.build_extractor("vast", {"blocks": "reduced"}, weights, "cpu")
    weights = save_checkpoint(tmp_path, {f"vast.{key}": t for key, t in state.items()})
    wrapped = vast_net.convert_state({"model": {"module.evaclip_model.x": 1}}, build_reduced_net())
    assert wrapped == {"vision_encoder.x": 1}
    with pytest.raises(UserError, match=r"0 of \d+ keys match"):
        base.build_extractor("vast", {"blocks": "reduced"}, weights, "cpu")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames and sound to features."""
    sound = vast.compute_slices(draw_golden_sound(6), 1)
    prepared = FramesAndSound(make_squares([4, 99]), sound)
    (columns,) = build_reduced().runner.compute_columns([prepared])
    parts: dict[str, Any] = {
        name: [values.std(), *values.ravel()[:5].tolist()]
        for name, values in columns.items()
        if values.ndim
    }
    parts["cosine"] = [float(columns["cosine"])]
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": vast.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in (
        "video", "audio", "video_embedding", "audio_embedding", "joint_embedding", "cosine"
    ):  # fmt: skip
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
