"""VALOR against numbers of the official code, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_valor.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden_weights import draw_song, draw_video, fill_weights
from official_checkpoints import draw_checkpoint
from official_code import check_array, read_numbers
from sfqa.errors import UserError
from sfqa.features import (
    audio_vit,
    base,
    clip_towers,
    keyframes,
    official,
    valor_net,
    view_columns,
)
from sfqa.features.base import UnusableError
from sfqa.features.extractors import valor
from sfqa.features.normalised_frames import CLIP_STATISTICS, IMAGENET_STATISTICS, SquareForm
from sfqa.features.two_towers import FramesAndSound
from sfqa.features.valor_net import SIZES, Valor
from sfqa.features.valor_settings import check_settings
from sfqa.features.view_columns import decode_bytes
from sfqa.features.weights import Weights, load_all_keys
from sfqa.regression.fine_tuning import valor as trained_valor
from sfqa.regression.fine_tuning.network import PixelNorm

GOLDEN = Path(__file__).parent / "golden" / "valor.json"
OFFICIAL = read_numbers("valor")
OUTPUTS = {name.split(" (")[0]: summary for name, summary in OFFICIAL["outputs"].items()}
KEYS = {
    "base": OFFICIAL["keys"],
    "large": {
        **{k: v for k, v in OFFICIAL["keys"].items() if not k.startswith("video_encoder.")},
        **OFFICIAL["large_keys"],
    },
}
#: The middle frames of the golden's video of 24.
MIDDLES = OFFICIAL["sampling"]["8 of 24 frames"]


def check_shape(array: Any, summary: dict[str, Any], tolerance: float = 1e-5) -> None:
    assert list(np.shape(array)) == summary["shape"]
    check_array(array, summary, tolerance)


@cache
def draw_golden_sound(seconds: int) -> Any:
    return draw_song(0, seconds, valor.RATE) / np.float32(32768)


@cache
def draw_golden_video() -> Any:
    return draw_video(0, 24, 288, 352)


def make_squares(indices: list[int], statistics: Any = CLIP_STATISTICS, **form: bool) -> Any:
    square = SquareForm(*statistics, **form)
    return np.stack([square.convert(draw_golden_video()[n]) for n in indices])


@pytest.mark.parametrize(
    ("seconds", "count", "name"),
    [
        (6, 1, "audio 6 s -> "),
        (16, 1, "16 s, sample_num 1"),
        (16, 2, "16 s, sample_num 2"),
        (0, 1, "exactly 512 frames"),
    ],
)
def test_slices_of_sound_are_the_official_ones(seconds: int, count: int, name: str) -> None:
    sound = draw_golden_sound(seconds or 16)
    exact = sound if seconds else draw_golden_sound(6)[: int(valor.RATE * 0.025) + 511 * 220]
    (summary,) = (s for key, s in OFFICIAL["front_end"].items() if key.startswith(name))
    check_shape(valor.compute_slices(exact, count), summary)


@pytest.mark.parametrize(
    ("indices", "form", "name"),
    [
        (MIDDLES, {}, "video none (squash"),
        (MIDDLES, {"crop": True}, "video crop_flip"),
        (MIDDLES, {"antialias": True}, "video none with antialias"),
        ([0, 1, 2, 2, 2, 2, 2, 2], {}, "3 frames asked for 8"),
        (MIDDLES, {"statistics": IMAGENET_STATISTICS}, "base"),
    ],
)
def test_frames_are_the_official_ones(indices: list[int], form: Any, name: str) -> None:
    """Their middles, with both statistics, and without smoothing as in the official versions."""
    if name == "base":
        summary = OFFICIAL["base"]["video tensor"]
    else:
        (summary,) = (s for key, s in OFFICIAL["front_end"].items() if key.startswith(name))
    check_shape(make_squares(indices, **form), summary, 1e-6)


def test_which_frames_and_slices_are_chosen() -> None:
    for name, indices in OFFICIAL["sampling"].items():
        numbers = [int(word) for word in name.replace(",", "").split() if word.isdigit()]
        parts, items = numbers[:2] if "frames" in name else numbers[::-1]
        assert keyframes.select_middles(items, parts).tolist() == indices, name


def test_the_audio_tower_is_the_official_one() -> None:
    """At full size, with the head and the fine weight of sound; the video tower is not built."""
    state = draw_checkpoint(KEYS["base"], keep=lambda key: key.startswith("audio"))
    state |= draw_checkpoint(KEYS["base"], keep=lambda key: key.startswith("contra_head_a"))
    with torch.device("meta"):
        tower = audio_vit.build_audio_vit()
    renamed = audio_vit.rename_audio_vit(state, "tower.")
    own = {k.removeprefix("tower."): v for k, v in renamed.items() if k.startswith("tower.")}
    tower.load_state_dict(own, assign=True)
    slices = torch.from_numpy(valor.compute_slices(draw_golden_sound(6), 1))
    with torch.inference_mode():
        tokens: Any = tower.eval().forward_features(slices[:, None])  # type: ignore[operator]
        projected = tokens[:, 0] @ state["contra_head_a.linear.weight"].T
        projected = torch.nn.functional.normalize(projected, dim=-1)
        hidden = torch.nn.functional.linear(
            projected, state["audio_fine_weight.0.weight"], state["audio_fine_weight.0.bias"]
        ).relu()
        weight = torch.nn.functional.linear(
            hidden, state["audio_fine_weight.2.weight"], state["audio_fine_weight.2.bias"]
        )
    check_shape(tokens, OUTPUTS["audio tokens after last_layernorm"])
    check_shape(tokens[:, 0], OUTPUTS["audio CLS"])
    check_shape(projected, OUTPUTS["audio projected, L2-normalised"], 1e-6)
    check_shape(weight[0], OUTPUTS["fine weights before softmax, audio"], 1e-6)


def is_in_reduced(key: str) -> bool:
    """Whether a tensor of a released checkpoint belongs to the few blocks of a reduced network."""
    number = re.search(r"(layer|blocks|resblocks)\.(\d+)\.", key)
    limit = 2 if key.startswith("video_encoder.layers.0.") else 1
    return number is None or int(number[2]) < limit


def save_checkpoint(
    folder: Path, model: str, reduced: bool = False, prefix: str = "", **others: Any
) -> Weights:
    """Return weights in a file laid out like a released one: its keys, and those of other parts."""
    state = draw_checkpoint(KEYS[model], keep=is_in_reduced if reduced else lambda key: True)
    state |= {
        "multimodal_encoder.embeddings.word_embeddings.weight": torch.zeros(9, 3),
        "text_fine_weight.0.bias": torch.zeros(512), "contra_temp": torch.zeros(()),
        "video_frame_embedding": torch.zeros(1, 32, 768),
        "audio_embeddings.distill_token": torch.zeros(1, 1, 768), **others,
    }  # fmt: skip
    path = folder / f"VALOR-{model}.pt"
    torch.save({prefix + key: tensor for key, tensor in state.items()}, path)
    return Weights("official", "0" * 64, path)


@pytest.mark.thorough
def test_the_released_base_model_at_full_size(tmp_path: Path) -> None:
    extractor: Any = base.build_extractor(
        "valor", {}, save_checkpoint(tmp_path, "base", prefix="module."), "cpu"
    )
    prepared = FramesAndSound(
        make_squares(MIDDLES, IMAGENET_STATISTICS), valor.compute_slices(draw_golden_sound(6), 1)
    )
    (columns,) = extractor.runner.compute_columns([prepared])
    official = OFFICIAL["base"]
    check_shape(columns["video"][None], official["spatial mean per frame (1,8,1024)"])
    projected = official["projected, L2-normalised (1,8,512)"]
    check_shape(columns["video_embedding"][None], projected, 1e-6)
    check_shape(columns["audio"], OUTPUTS["audio CLS"])
    check_shape(columns["audio_embedding"], OUTPUTS["audio projected, L2-normalised"], 1e-6)
    clips = torch.nn.functional.pad(
        torch.from_numpy(prepared.frames[None]).transpose(1, 2), (0, 0, 0, 0, 0, 1)
    )
    with torch.inference_mode():
        positions = valor_net.encode_positions(extractor.net.video_encoder, clips)
    check_shape(positions.movedim(-1, 1), official["feature map (1,1024,8,7,7)"])


@pytest.mark.thorough
def test_the_released_large_model_at_full_size(tmp_path: Path) -> None:
    weights = save_checkpoint(tmp_path, "large")
    extractor: Any = base.build_extractor("valor", {"model": "large"}, weights, "cpu")
    prepared = FramesAndSound(
        make_squares(MIDDLES[:2]), valor.compute_slices(draw_golden_sound(6), 1)
    )
    (columns,) = extractor.runner.compute_columns([prepared])
    check_shape(columns["video"], OFFICIAL["large"]["CLS"])
    projected = OFFICIAL["large"]["projected, L2-normalised (2,512)"]
    check_shape(columns["video_embedding"], projected, 1e-6)
    check_shape(columns["audio_embedding"], OUTPUTS["audio projected, L2-normalised"], 1e-6)


@pytest.mark.thorough
def test_clip_b_16_of_the_configuration_file() -> None:
    """No released model, but its goldens hold fine weights and cosines of eight frames."""
    state = draw_checkpoint(OFFICIAL["clip_keys"])
    tower = clip_towers.build_clip_tower(768, 12, 16)
    load_all_keys(
        tower, {k.removeprefix("clip_model.visual."): t for k, t in state.items()
                if not k.endswith("visual.proj")}, Path("golden"),
    )  # fmt: skip
    net = Valor(SIZES["base", "reduced"])
    fine = draw_checkpoint(KEYS["base"], keep=lambda key: "fine_weight" in key)
    net.load_state_dict(fine, strict=False)
    with torch.inference_mode():
        tokens = tower.eval()(torch.from_numpy(make_squares(MIDDLES)))
        projected = tokens @ state["clip_model.visual.proj"]
        frames = torch.nn.functional.normalize(projected, dim=-1)
        frame_weights = net.video_fine_weight(frames)[:, 0]
    check_shape(tokens, OUTPUTS["visual CLS"])
    check_shape(frames, OUTPUTS["visual projected, L2-normalised"], 1e-6)
    check_shape(frame_weights, OUTPUTS["fine weights before softmax, video"], 1e-6)


@cache
def build_reduced_net(model: str) -> Valor:
    net = Valor(SIZES[model, "reduced"])
    fill_weights(net)
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """Drawn weights of a network with few blocks, built once for each model."""

    def load(self, build: Callable[[], torch.nn.Module], *_: Any) -> torch.nn.Module:
        (size,) = build.args  # type: ignore[attr-defined]
        return build_reduced_net("base" if size.swin else "large")


def build_reduced(**options: Any) -> Any:
    options = {"blocks": "reduced", **options}
    return base.build_extractor("valor", options, _SharedWeights("random", "random:0"), "cpu")


def draw_parts(count: int, slices: int = 1, frames: int = 2) -> list[FramesAndSound]:
    rng = np.random.default_rng(3)
    return [
        FramesAndSound(
            rng.standard_normal((frames, 3, 224, 224), np.float32),
            rng.standard_normal((slices, 64, 512), np.float32),
        )
        for _ in range(count)
    ]


def test_the_similarity_is_the_official_one_of_frames_and_slices() -> None:
    """Written out for three frames and two slices."""
    net = build_reduced_net("base")
    rng = np.random.default_rng(0)
    video, audio = (
        torch.from_numpy(rng.standard_normal(shape, np.float32)) for shape in ((3, 1024), (2, 768))
    )
    with torch.inference_mode():
        columns = net.embed(video, audio)
        frames, slices = columns["video_embedding"], columns["audio_embedding"]
        of_frame = net.video_fine_weight(frames)[:, 0].exp()
        of_slice = net.audio_fine_weight(slices)[:, 0].exp()
    expected = 0.0
    for n in range(3):
        best = max(float(frames[n] @ slices[m]) for m in range(2))
        expected += best * float(of_frame[n] / of_frame.sum()) / 2
    for m in range(2):
        best = max(float(frames[n] @ slices[m]) for n in range(3))
        expected += best * float(of_slice[m] / of_slice.sum()) / 2
    assert float(columns["cosine"]) == pytest.approx(expected, abs=1e-6)
    assert frames.norm(dim=1).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("model", ["base", "large"])
def test_rows_do_not_depend_on_the_pass_they_share(model: str) -> None:
    parts = draw_parts(3)
    single, mixed = build_reduced(model=model), build_reduced(model=model, batch=2)
    expected = list(single.runner.compute_columns(parts))
    computed = mixed.runner.compute_columns(parts[n] for n in (2, 0, 1))
    for index, columns in zip((2, 0, 1), computed, strict=True):
        for name, values in columns.items():
            np.testing.assert_allclose(values, expected[index][name], rtol=1e-4, atol=1e-4)
    assert expected[0]["cosine"] != expected[1]["cosine"]
    (row,) = single.score(parts[:1])
    names = view_columns.select_columns(valor.Extractor.FEATURES, {"views": 0})
    assert set(row) == {feature.name for feature in names}
    assert row["video"].shape == (2, 1024)
    assert row["audio_embedding"].shape == (1, 512)
    assert row["video"].dtype == np.float16


def test_the_trained_towers_give_the_embeddings_of_the_extractor_from_the_views() -> None:
    """Bit for bit from whole pixels, which are at most half a level from the resized frames."""
    squares = make_squares(MIDDLES[:2], IMAGENET_STATISTICS)
    prepared = FramesAndSound(squares, draw_parts(1)[0].slices)
    extractor = build_reduced(views=1)
    (row,) = extractor.score([prepared])
    assert (row["frames"].shape, row["frames"].dtype) == ((2, 3, 224, 224), np.uint8)
    assert (row["spectra"].shape, row["spectra"].dtype) == ((1, 64, 512, 4), np.uint8)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in IMAGENET_STATISTICS)
    exact = (squares * std + mean) * 255
    assert 0.1 < np.abs(row["frames"] - exact).max() <= 0.5 + 1e-4
    whole = replace(prepared, frames=(row["frames"].astype(np.float32) / 255 - mean) / std)
    (expected,) = build_reduced().runner.compute_columns([whole])
    with torch.device("meta"):
        network = trained_valor.Network("reduced")
    network.network = build_reduced_net("base")
    network.norm = PixelNorm(*IMAGENET_STATISTICS, scale=255.0)
    frames, spectra = (torch.from_numpy(row[name])[None] for name in ("frames", "spectra"))
    assert torch.equal(decode_bytes(spectra, torch.float32)[0], torch.from_numpy(prepared.slices))
    with torch.inference_mode():
        seen, heard = network.embed_frames(frames)[0], network.embed_slices(spectra)[0]
    np.testing.assert_array_equal(seen.numpy(), expected["video_embedding"])
    np.testing.assert_array_equal(heard.numpy(), expected["audio_embedding"])
    difference = np.abs(seen.numpy() - row["video_embedding"].astype(np.float32)).max()
    assert difference < 2e-3


@pytest.mark.thorough
@pytest.mark.parametrize("model", ["base", pytest.param("large", marks=pytest.mark.thorough)])
def test_bf16_is_near(model: str) -> None:
    parts = draw_parts(1)
    exact, rounded = (
        next(build_reduced(model=model, precision=p).runner.compute_columns(parts))
        for p in ("fp32", "bf16")
    )
    for column in ("video", "audio"):
        difference = np.abs(exact[column] - rounded[column]).mean() / exact[column].std()
        assert 1e-4 < difference < 0.05


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build_reduced()
    monkeypatch.setattr(
        extractor.net.audio_encoder, "forward", lambda x: torch.full((len(x), 768), 1e9)
    )
    (row,) = extractor.score(draw_parts(1))
    assert isinstance(row, UnusableError)
    assert str(row).startswith("not_finite: VALOR")


@pytest.mark.parametrize(("model", "prefix"), [("base", "module."), ("large", "")])
def test_a_released_checkpoint_is_loaded_whole(tmp_path: Path, model: str, prefix: str) -> None:
    """With and without the prefix of distributed training; text and captions are ignored."""
    weights = save_checkpoint(tmp_path, model, reduced=True, prefix=prefix)
    options = {"model": model, "blocks": "reduced"}
    extractor: Any = base.build_extractor("valor", options, weights, "cpu")
    state = draw_checkpoint(KEYS[model], keep=is_in_reduced)
    net = extractor.net.state_dict()
    joined = torch.cat(
        [state[f"audio_encoder.layer.0.attention.linears.{n}.bias"] for n in range(3)]
    )
    assert torch.equal(net["audio_encoder.blocks.0.attn.qkv.bias"], joined)
    own, official = {
        "base": (
            "video_encoder.features.6.0.mlp.3.bias", "video_encoder.layers.3.blocks.0.mlp.fc2.bias"
        ),
        "large": (
            "video_encoder.transformer.resblocks.0.mlp.c_fc.bias",
            "clip_model.visual.transformer.resblocks.0.mlp.c_fc.bias",
        ),
    }[model]  # fmt: skip
    assert torch.equal(net[own], state[official])


def test_weights_of_another_size_or_prefix_are_counted(tmp_path: Path) -> None:
    weights = save_checkpoint(tmp_path, "base", reduced=True)
    assert weights.path is not None
    options = {"model": "large", "blocks": "reduced"}
    with pytest.raises(UserError, match=r"video tower of VALOR-base, .* write model: base"):
        base.build_extractor("valor", options, weights, "cpu")
    state = torch.load(weights.path)
    del state["contra_head_v.linear.weight"]
    torch.save({**state, "contra_head_v.weight": torch.zeros(512, 1024)}, weights.path)
    counted = r"(\d+) of \d+ keys match, 1 missing \(contra_head_v.linear.weight\), 1 unexpected"
    with pytest.raises(UserError, match=counted):
        base.build_extractor("valor", {"blocks": "reduced"}, weights, "cpu")
    torch.save({f"model.{key}": tensor for key, tensor in state.items()}, weights.path)
    with pytest.raises(UserError, match=r"0 of \d+ keys match, \d+ missing .* \d+ unexpected"):
        base.build_extractor("valor", {"blocks": "reduced"}, weights, "cpu")


def test_positions_of_336_pixels_are_resampled(tmp_path: Path) -> None:
    """Bilinearly to 16x16, the class token stays: a plane stays a plane, apart from its border."""
    rows, columns = np.mgrid[:24, :24].astype(np.float32)
    table = torch.zeros(577, 1024)
    table[0], table[1:, 0] = 5, torch.from_numpy(rows.ravel() + 2 * columns.ravel())
    weights = save_checkpoint(
        tmp_path, "large", reduced=True, **{"clip_model.visual.positional_embedding": table}
    )
    options = {"model": "large", "blocks": "reduced"}
    extractor: Any = base.build_extractor("valor", options, weights, "cpu")
    resampled = extractor.net.video_encoder.positional_embedding
    assert resampled.shape == (257, 1024)
    assert resampled[0].tolist() == [5] * 1024
    centres = (np.arange(16) + 0.5) * 1.5 - 0.5
    expected = centres[:, None] + 2 * centres[None]
    np.testing.assert_allclose(resampled[1:, 0].reshape(16, 16), expected, atol=1e-4)


HPS = {"video_encoder_type": "videoswin_base_k600_22k", "txt_encoder_type": "bert_base_uncased"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, None),
        ({"video_resolution": 224, "audio_mean": -4.2677393, "seed": 50}, None),
        ({"video_encoder_type": "clip_vit_large_14_336px"}, "a VALOR-large, but .* model: large"),
        (
            {"video_encoder_type": "clip_vit_base_16"},
            "clip_vit_base_16', which valor does not have",
        ),
        ({"txt_encoder_type": "clip_vit_base_16"}, "with a BERT text encoder"),
        ({"audio_melbins": 128}, "audio_melbins is 128, but valor computes 64"),
        ({"contra_type": "coarse"}, "contra_type is 'coarse', but valor computes 'fine'"),
    ],
)
def test_the_settings_of_the_released_folder(
    tmp_path: Path, settings: dict[str, Any], sentence: str | None
) -> None:
    path = tmp_path / "hps.json"
    path.write_text(json.dumps({**HPS, **settings}))
    if sentence is None:
        check_settings(path, "base")
    else:
        with pytest.raises(UserError, match=sentence):
            check_settings(path, "base")


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_settings_that_are_no_settings(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hps.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"log/hps\.json of the released folder"):
        check_settings(path, "base")


def test_settings_beside_the_weights_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hps.json"
    path.write_text(json.dumps({**HPS, "video_encoder_type": "clip_vit_large_14_336px"}))
    weights = save_checkpoint(tmp_path, "base", reduced=True)
    parts = {"settings": Weights("official", "0" * 64, path)}
    options = {"settings": "hps", "blocks": "reduced"}
    with pytest.raises(UserError, match="write model: large or give the files of VALOR-base"):
        base.build_extractor("valor", options, replace(weights, parts=parts), "cpu")
    path.write_text(json.dumps(HPS))
    assert base.build_extractor("valor", options, replace(weights, parts=parts), "cpu")


def test_settings_are_a_file_of_the_registry_where_they_are_asked_for() -> None:
    entries = official.load_registry()
    for model in ("base", "large"):
        spec = {"weights": "official", "options": {"model": model, "settings": "hps"}}
        files = official.find_official_files(entries, "valor", spec)
        assert {part: entry.file for part, entry in files.items()} == {
            "": f"VALOR-{model}.pt", "settings": f"VALOR-{model}-hps.json",
        }  # fmt: skip
        spec = {"weights": "official", "options": {"model": model}}
        assert list(official.find_official_files(entries, "valor", spec)) == [""]


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames and sound to features."""
    sound = valor.compute_slices(draw_golden_sound(6), 1)
    frames = make_squares([4, 19], IMAGENET_STATISTICS)
    (columns,) = build_reduced().runner.compute_columns([FramesAndSound(frames, sound)])
    parts: dict[str, Any] = {
        name: [values.std(), *values.ravel()[:6].tolist()]
        for name, values in columns.items()
        if values.ndim
    }
    parts["cosine"] = [float(columns["cosine"])]
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": valor.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("video", "audio", "video_embedding", "audio_embedding", "cosine"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
