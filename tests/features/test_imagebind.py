"""ImageBind against numbers of the official code, and what becomes of real files.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_imagebind.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
import torch

from golden_summaries import draw_frames, load_golden
from golden_tensors import record_outputs
from golden_weights import draw_song, fill_weights
from official_code import check_array
from sfqa.errors import UserError
from sfqa.features import base, imagebind_inputs, imagebind_net, view_columns
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import imagebind
from sfqa.features.imagebind_inputs import (
    InputReader,
    PreparedInputs,
    compute_spectra,
    list_clip_starts,
    resize_short_side,
    select_frames,
)  # fmt: skip
from sfqa.features.imagebind_net import DEPTHS, REDUCED_DEPTHS, ImageBind
from sfqa.features.normalised_frames import CLIP_STATISTICS
from sfqa.features.view_columns import decode_bytes
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning import imagebind as trained_imagebind
from sfqa.regression.fine_tuning.network import PixelNorm
from sounding_videos import make_sounding_video

GOLDEN = Path(__file__).parent / "golden" / "imagebind.json"
OFFICIAL = load_golden("imagebind")
FRONT_END = OFFICIAL["front_end"]
RANDOM = Weights("random", "random:0")


def fill_towers(net: ImageBind) -> ImageBind:
    """Put the weights of the goldens into a network; the length of the sound is no weight."""
    length = net.log_logit_scale.clone()
    fill_weights(net)
    net.log_logit_scale.copy_(length)
    return net.eval().requires_grad_(False)


@cache
def build_reduced_net() -> ImageBind:
    """Two blocks of each tower."""
    return fill_towers(ImageBind(REDUCED_DEPTHS))


class _SharedWeights(Weights):
    """The network of :func:`build_reduced_net`, built once."""

    def load(self, *_: Any) -> torch.nn.Module:
        return build_reduced_net()


def build_extractor(**options: Any) -> Any:
    weights = _SharedWeights("random", "random:0")
    return base.build_extractor("imagebind", {"blocks": "reduced", **options}, weights, "cpu")


def draw_inputs(height: int = 256, width: int = 320, seed: int = 0) -> PreparedInputs:
    """The inputs of the golden's video and song, or of a video of another size."""
    indices = select_frames(Video("a", Path(), "0", 25.0, 150))
    frame_indices, places = np.unique(indices, return_inverse=True)
    frames = draw_frames(seed, frame_indices.tolist(), height, width)
    pictures = np.stack([resize_short_side(frame) for frame in frames])
    return PreparedInputs(pictures, places.reshape(5, 2), compute_spectra(draw_sound(seed)))


def draw_sound(seed: int = 0, seconds: float = 6) -> npt.NDArray[np.float32]:
    """The golden's song as its only channel and as the mean of all channels."""
    song = draw_song(seed, seconds, 16000) / np.float32(32768)
    return np.stack([song, song])


@cache
def score_square() -> tuple[PreparedInputs, dict[str, Any]]:
    """The inputs and the row of a square video."""
    inputs = draw_inputs(96, 96, seed=3)
    (row,) = build_extractor().score([inputs])
    return inputs, row


def normalise_views(extractor: Any, inputs: PreparedInputs) -> npt.NDArray[np.float32]:
    """All 15 views as the tower gets them, (15, 3, 2, 224, 224)."""
    views, places = inputs.list_views()
    x = torch.from_numpy(np.stack(views)).permute(0, 4, 1, 2, 3)
    normalised: npt.NDArray[np.float32] = ((x - extractor.mean) / extractor.std).numpy()
    return normalised[places]


def test_clips_and_frames_are_those_of_the_pinned_sampler() -> None:
    sampling = OFFICIAL["sampling"]
    for name, duration, count in (
        ("video clips, 6 s", 6.0, 5), ("audio clips, 6 s", 6.0, 3), ("audio clips, 1.25 s", 1.25, 3)
    ):  # fmt: skip
        clips = [[float(start), float(start + 2)] for start in list_clip_starts(duration, count)]
        assert clips == sampling[name]
    for name, fps in (("25 fps, 6 s", 25.0), ("30 fps, 5 s", 30.0)):
        frames = select_frames(Video("a", Path(), "0", fps, 150))
        assert frames.tolist() == sampling[f"frame indices, {name}"]
    starts = [clip[0] for clip in sampling["WRONG: PyPI pytorchvideo 0.1.5, video, 6 s"]]
    assert starts != [float(start) for start in list_clip_starts(6.0, 5)]


def test_views_are_the_official_ones() -> None:
    views = normalise_views(build_extractor(), draw_inputs())
    name = (
        "video 1x15x3x2x224x224 (views ordered clip by clip, crops left/top, centre, right/bottom)"
    )
    check_array(views[None], FRONT_END[name], 2e-6)
    for number in (0, 7, 14):
        check_array(views[number], FRONT_END[f"view {number}"], 2e-6)


def test_spectra_are_the_official_ones() -> None:
    sound = draw_sound()
    spectra = compute_spectra(sound)
    check_array(spectra[None], FRONT_END["audio 1x3x1x128x204"], 2e-6)
    for number in (0, 2):
        check_array(spectra[number], FRONT_END[f"audio clip {number}"], 2e-6)
    check_array(compute_spectra(sound[:, :20000])[None], FRONT_END["short audio"], 2e-6)
    both = np.stack([sound[0], (sound[0] + sound[0][::-1] / 2) / 2])
    name = "stereo (first channel is used; the mean is over both)"
    check_array(compute_spectra(both)[None], FRONT_END[name], 2e-6)
    np.testing.assert_array_equal(sound, draw_sound())


def expand_keys(depths: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The keys of the official file, of the golden's two blocks or of more."""
    shapes = {}
    for text, form in OFFICIAL["keys"].items():
        key, sizes = text.partition(" ")[0], form.partition(" ")[2]
        count = 1 if "{i}" not in key else depths["audio" in key]
        for number in range(count):
            shape = tuple(int(n) for n in sizes.split("x") if n)
            shapes[key.replace("{i}", str(number))] = shape
    return shapes


@pytest.mark.parametrize("depths", [REDUCED_DEPTHS, DEPTHS])
def test_keys_are_those_of_the_official_file(depths: tuple[int, int]) -> None:
    with torch.device("meta"):
        state = ImageBind(depths).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == expand_keys(depths)
    if depths == DEPTHS:
        assert round(sum(tensor.numel() for tensor in state.values()) / 1e6) == 719


@contextmanager
def record_towers(net: ImageBind) -> Iterator[dict[str, torch.Tensor]]:
    """Record the tokens with positions and those after each block, length first as officially."""
    modules = {"vision tokens": net.vision.pos_drop}
    for tower in ("vision", "audio"):
        for number, block in enumerate(getattr(net, tower).blocks):
            modules[f"{tower} block {number}"] = block
    modules["vision_projection"] = net.vision_projection
    modules["audio_projection"] = net.audio_projection
    with record_outputs(modules, lambda _, output: output) as outputs:
        yield outputs


def check_towers(
    net: ImageBind, golden: dict[str, Any], views: torch.Tensor, spectra: torch.Tensor, block: int
) -> None:
    """Compare tokens, blocks and embeddings of some views and clips; 1e-5 of the deviation."""
    names = {"vision": f"vision, view{'s 0 and 1' if len(views) == 2 else ' 7 only'}"}
    names["audio"] = f"audio, {'3 clips' if len(spectra) == 3 else 'clip 0 only'}"
    with record_towers(net) as outputs:
        embeddings = {
            "vision": net.embed_views(views)[1], "audio": net.embed_sound(spectra)[1]
        }  # fmt: skip
    outputs["audio tokens"] = net.audio.embed_patches(spectra)
    for tower, name in names.items():
        expected = golden[name]

        def compare(array: torch.Tensor, summary: str, expected: Any = expected) -> None:
            check_array(array, expected[summary], 1e-5 * max(1.0, expected[summary]["std"]))

        compare(outputs[f"{tower} tokens"], "tokens with positions")
        for number in range(block + 1):
            if f"after block {number} (length first)" in expected:
                tokens = outputs[f"{tower} block {number}"].transpose(0, 1)
                compare(tokens, f"after block {number} (length first)")
        compare(outputs[f"{tower}_projection"], "head output before normalisation")
        compare(embeddings[tower], "after post-processor")
    if len(views) > 1:
        for tower, number in (("vision", 2), ("audio", 3)):
            summary = golden[names[tower]][
                f"mean over the {number} {'views' if number == 2 else 'clips'}"
            ]
            check_array(embeddings[tower].mean(0, keepdim=True), summary, 1e-5)
        length = embeddings["audio"].mean(0).norm()
        assert float(length) == pytest.approx(golden["norm of the audio mean"], abs=1e-5)


def test_towers_are_the_official_ones() -> None:
    extractor, inputs = build_extractor(), draw_inputs()
    views = torch.from_numpy(normalise_views(extractor, inputs)[:2])
    check_towers(
        extractor.net, OFFICIAL["outputs, 2 blocks"], views, torch.from_numpy(inputs.spectra), 1
    )


@pytest.mark.thorough
def test_towers_are_the_official_ones_at_full_depth() -> None:
    net, inputs = fill_towers(ImageBind()), draw_inputs()
    views = torch.from_numpy(normalise_views(build_extractor(), inputs)[7:8])
    golden = OFFICIAL["outputs, full depth"]
    for name, last in (("vision, view 7 only", 31), ("audio, clip 0 only", 11)):
        assert f"after block {last} (length first)" in golden[name]
    check_towers(net, golden, views, torch.from_numpy(inputs.spectra[:1]), 31)


def test_a_square_needs_five_views_and_gives_the_numbers_of_fifteen() -> None:
    extractor = build_extractor()
    square = draw_inputs(96, 96)
    views, places = square.list_views()
    assert places.tolist() == [number for number in range(5) for _ in range(3)]
    assert len(draw_inputs(96, 120).list_views()[0]) == 15
    assert len(draw_inputs(120, 96).list_views()[0]) == 15
    # Two clips here; all crops of them in one batch, as in the official code.
    together = extractor._see([views[place] for place in places[:6]])
    alone = torch.cat([extractor._see([view]) for view in views[:2]])[places[:6]]
    assert float((together - alone).abs().max()) < 1e-6 * float(together.abs().max())
    assert float((alone[0] - alone[5]).abs().max()) > 1e-3


def test_rows_hold_all_columns_and_the_cosine_of_the_means() -> None:
    _, row = score_square()
    columns = view_columns.select_columns(imagebind.Extractor.FEATURES, {"views": 0})
    assert set(row) == {feature.name for feature in columns}
    shapes = {name: value.shape for name, value in row.items() if name != "cosine"}
    assert shapes == {
        "video": (15, 1280), "video_embedding": (15, 1024),
        "audio": (3, 768), "audio_embedding": (3, 1024),
    }  # fmt: skip
    means = [row[f"{name}_embedding"].astype(float).mean(0) for name in ("video", "audio")]
    lengths = [np.linalg.norm(mean) for mean in means]
    assert lengths == pytest.approx([1, 20], rel=0.1)
    assert row["cosine"] == pytest.approx(means[0] @ means[1] / np.prod(lengths), abs=1e-4)


def build_trained_network() -> trained_imagebind.Network:
    """The network that is trained from views, with the towers of the goldens."""
    with torch.device("meta"):
        network = trained_imagebind.Network(REDUCED_DEPTHS)
    network.network = build_reduced_net()
    network.norm = PixelNorm(*CLIP_STATISTICS, scale=255.0)
    return network


def test_the_trained_towers_give_the_embeddings_of_the_extractor_from_the_views() -> None:
    """Bit for bit from whole pixels, which are at most half a level from the resized pictures."""
    inputs = replace(draw_inputs(96, 96, seed=3), pairs=np.array([[0, 1]] * 4 + [[2, 3]]))
    (row,) = build_extractor(views=1).score([inputs])
    assert (row["clips"].shape, row["clips"].dtype) == ((15, 3, 2, 224, 224), np.uint8)
    assert (row["spectra"].shape, row["spectra"].dtype) == ((3, 128, 204, 4), np.uint8)
    levels = row["clips"].transpose(0, 2, 3, 4, 1).astype(np.float32)
    pictures, places = inputs.list_views()
    exact = np.stack(pictures)[places] * 255
    assert 0.1 < np.abs(levels - exact).max() <= 0.5 + 1e-4
    network = build_trained_network()
    views, spectra = torch.from_numpy(row["clips"])[None], torch.from_numpy(row["spectra"])[None]
    assert torch.equal(
        decode_bytes(spectra, torch.float32)[0], torch.from_numpy(inputs.spectra[:, 0])
    )
    extractor = build_extractor()
    with torch.inference_mode():
        seen, heard = network.embed_views(views)[0], network.embed_sound(spectra)[0]
        whole = torch.cat([extractor._see([levels[n] / 255]) for n in (0, 14)])[:, 1280:]
    assert torch.equal(seen, whole[[0] * 12 + [1] * 3])
    np.testing.assert_allclose(seen.numpy(), row["video_embedding"].astype(np.float32), atol=2e-3)
    np.testing.assert_allclose(heard.numpy(), row["audio_embedding"].astype(np.float32), atol=4e-3)


def read_inputs(folder: Path, sound: Any, rate: int = 16000, **form: int) -> PreparedInputs:
    return InputReader().prepare(make_sounding_video(folder, sound, rate, **form))


def test_shifted_sound_moves_the_spectra_to_the_sample(tmp_path: Path) -> None:
    song = draw_sound()[0]
    spectra = read_inputs(tmp_path / "song", song).spectra
    np.testing.assert_allclose(spectra, compute_spectra(draw_sound()), atol=1e-5)
    for shift in (1, 4000):
        late = np.concatenate([np.zeros(shift, np.float32), song[:-shift]])
        shifted = read_inputs(tmp_path / str(shift), late).spectra
        np.testing.assert_allclose(shifted, compute_spectra(np.stack([late, late])), atol=1e-5)
        assert np.abs(shifted - spectra).max() > 0.01


def test_other_forms_of_sound_follow_the_documented_rule(tmp_path: Path) -> None:
    """8 kHz: resampled. 5.1: the front left channel is heard, the mean of all six removed."""
    low = draw_song(0, 6, 8000) / np.float32(32768)
    raised = imagebind_inputs.resample_sound(low, 8000, 16000, "float32")
    spectra = read_inputs(tmp_path / "low", low, 8000).spectra
    np.testing.assert_allclose(spectra, compute_spectra(np.stack([raised, raised])), atol=1e-5)
    surround = np.stack(
        [draw_song(n, 6, 16000) / np.float32(40000 + 9000 * n) for n in range(6)], 1
    )
    surround = np.round(surround * 32768) / np.float32(32768)
    surround[:, 4] += 0.25
    spectra = read_inputs(tmp_path / "surround", surround).spectra
    heard = np.stack([surround[:, 0], surround.mean(axis=1)])
    np.testing.assert_allclose(spectra, compute_spectra(heard), atol=1e-4)
    for other in (surround[:, 1], heard[1]):
        assert np.abs(spectra - compute_spectra(np.stack([other, other]))).max() > 0.1


def test_a_video_of_one_second_is_one_clip_again_and_again(tmp_path: Path) -> None:
    inputs = read_inputs(tmp_path, draw_sound(0, 1)[0], frames=25)
    assert len(inputs.pictures) == 2
    assert inputs.pairs.tolist() == [[0, 1]] * 5
    assert len(inputs.list_views()[0]) == 1
    padding = inputs.spectra[:, 0, :, 98:]
    np.testing.assert_allclose(padding, 4.268 / 9.138, atol=1e-6)
    assert inputs.spectra[0, 0, :, :98].std() > 0.1


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (None, "silent: the video has no sound"),
        (np.zeros(16000, np.float32), "silent: the sound is silence"),
        (draw_sound(0, 1)[0][:300], "short: the sound is shorter than one window"),
    ],
)
def test_videos_without_a_row(tmp_path: Path, sound: Any, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        read_inputs(tmp_path, sound, frames=25)


def test_broken_and_empty_videos(tmp_path: Path) -> None:
    video = make_sounding_video(tmp_path, draw_sound(0, 1)[0], frames=25)
    for frames, reason in ((0, "broken: the video has 0 frames"), (99, "broken: not all 99")):
        wrong = Video("a", video.path, "0", 25.0, frames, audio_path=video.path)
        with pytest.raises(UnusableError, match=reason):
            InputReader().prepare(wrong)
    with pytest.raises(UnusableError, match="short: a clip of two seconds holds no frame"):
        select_frames(Video("a", Path(), "0", 0.2, 3))


def save_file(folder: Path, prefix: str = "") -> Weights:
    """Weights in a file with the keys of the official one, in half precision to be small."""
    state = {
        prefix + key: torch.full(shape, 0.5, dtype=torch.float16)
        for key, shape in expand_keys(REDUCED_DEPTHS).items()
    }
    others = ("preprocessors.text.cls_token", "trunks.imu.blocks.0.norm_1.bias",
              "heads.depth.0.weight", "postprocessors.thermal.1.log_logit_scale")  # fmt: skip
    state |= {f"{prefix}modality_{key}": torch.zeros(3) for key in others}
    path = folder / "imagebind_huge.pth"
    torch.save(state, path)
    return Weights("official", "0" * 64, path)


def test_the_file_is_read_without_the_other_modalities(tmp_path: Path) -> None:
    net = base.build_extractor("imagebind", {"blocks": "reduced"}, save_file(tmp_path), "cpu").net  # type: ignore[attr-defined]
    assert {float(parameter.flatten()[0]) for parameter in net.parameters()} == {0.5}
    assert float(net.log_logit_scale) == 0.5


def test_a_wrong_prefix_is_counted(tmp_path: Path) -> None:
    weights = save_file(tmp_path, "model.")
    with (
        mock.patch.object(imagebind_net, "ImageBind", return_value=build_reduced_net()),
        pytest.raises(UserError, match=r"0 of 69 keys match, 69 missing .*, 73 unexpected"),
    ):
        base.build_extractor("imagebind", {"blocks": "reduced"}, weights, "cpu")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path, with two blocks and drawn weights."""
    inputs, row = score_square()
    tensors = {name: row[name].astype(float)[:, ::97] for name in row if name != "cosine"}
    return {
        "version": imagebind.VERSION,
        "pixels": [float(f"{v:.5g}") for v in inputs.pictures[1, ::45, 101, 1]],
        "spectra": [float(f"{v:.5g}") for v in inputs.spectra[1, 0, ::17, 60]],
        "tensors": [float(f"{v:.5g}") for x in tensors.values() for v in x[2, :8]],
        "cosine": [float(f"{row['cosine']:.6g}")],
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("pixels", "spectra", "tensors", "cosine"):
        assert computed[part] == pytest.approx(expected[part], rel=2e-3, abs=1e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
