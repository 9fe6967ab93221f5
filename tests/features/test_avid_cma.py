"""AVID-CMA against numbers of the official code, and rows of real files with any sound.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_avid_cma.py``.
"""

from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from golden_summaries import load_golden
from golden_tensors import record_outputs
from golden_weights import draw_song, draw_video, draw_weight, fill_weights
from official_code import check_array
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import avid_inputs, base
from sfqa.features.avid_inputs import ClipReader, PreparedClips, compute_decibels, select_clips
from sfqa.features.avid_net import AvidCma
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import avid_cma
from sfqa.features.weights import Weights
from sfqa.models.weights_files import load_weights_files
from sounding_videos import make_sounding_video

GOLDEN = Path(__file__).parent / "golden" / "avid_cma.json"
OFFICIAL = load_golden("avid_cma")
FRONT_END = OFFICIAL["front_end"]
OUTPUTS = OFFICIAL["outputs (audio = reflect padding)"]
(WITH_STATISTICS,) = (part for name, part in OFFICIAL.items() if name.startswith("with recipe"))
REFLECTED = "log power dB before standardisation, reflect padding, 1x200x257 (time, bin)"


@cache
def build_net() -> AvidCma:
    net = AvidCma()
    fill_weights(net, prefix="module.")
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """The network of :func:`build_net`, built once."""

    def load(self, *_: Any) -> torch.nn.Module:
        return build_net()


def build_extractor(**options: Any) -> Any:
    """The extractor with the golden's weights and statistics, which are not the official ones."""
    extractor: Any = base.build_extractor(
        "avid_cma", options, _SharedWeights("random", "random:0"), "cpu"
    )
    extractor.spectrum_mean, extractor.spectrum_std = draw_statistics()
    return extractor


def draw_statistics() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    mean, std = (draw_weight(f"norm_stats.{name}", (257,)).numpy() for name in ("mean", "std"))
    return -30 + 100 * mean, 15 + 50 * std


def draw_sound(seconds: float = 2.5) -> npt.NDArray[np.float32]:
    return draw_song(0, seconds, 24000) / np.float32(32767)


def normalise_frames(extractor: Any, frames: media.Pixels) -> torch.Tensor:
    """A clip as the network gets it, (1, 3, 8, 224, 224)."""
    x = torch.from_numpy(frames).permute(3, 0, 1, 2)
    return ((x / 255 - extractor.mean) / extractor.std)[None]


def test_frames_are_the_official_ones() -> None:
    video, extractor = draw_video(0, 8, 300, 360), build_extractor()
    names = list(FRONT_END)
    for name, resize in ((names[0], "short_side"), (names[1], "squash")):
        assert ("squashed" in name) == (resize == "squash")
        frames = ClipReader(resize).square.resize(video)
        check_array(normalise_frames(extractor, frames)[0], FRONT_END[name], 1e-6)
    five = select_clips(Video("a", Path(), "0", 16.0, 5))
    assert five.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]] * 10
    frames = ClipReader().square.resize(video)[five[0]]
    check_array(normalise_frames(extractor, frames)[0], FRONT_END[names[2]], 1e-6)


def test_spectra_are_the_official_ones() -> None:
    sound, extractor = draw_sound(), build_extractor()
    decibels = compute_decibels(sound, 2.0)
    check_array(decibels[None], FRONT_END[REFLECTED], 1e-4)
    name = "log-spectrogram, reflect padding 1x200x257"
    check_array(extractor.standardise(decibels)[None], WITH_STATISTICS[name], 1e-4)
    # Zeros at the ends change the first columns alone: the last one ends before the sound does.
    zeros = compute_decibels(sound, 2.0, "zeros")
    assert np.abs(zeros - decibels)[:3].max() > 1
    np.testing.assert_array_equal(zeros[3:-3], decibels[3:-3])
    # Without the official statistics their effect cancels: (a - m) / s at one place of two sounds.
    short = compute_decibels(sound[:30000], 2.0)
    assert short[:, 5].min() == pytest.approx(decibels.max() - 100, abs=20)


def test_spectra_of_other_paddings_and_lengths_are_the_official_ones() -> None:
    """The official numbers of these are standardised by statistics that are not ours to copy.

    At each place, mean and deviation follow from those of missing sound, which is -100 dB
    everywhere, and of the song, whose decibels are known.
    """
    names = [n for n in FRONT_END if n.startswith("log-spectrogram")]
    song, zeros, short, missing = (
        np.array(FRONT_END[next(n for n in names if word in n)]["values"])
        for word in ("reflect padding (", "zero padding", "short audio", "missing audio")
    )
    silence = compute_decibels(np.zeros(48000, np.float32), 2.0)
    np.testing.assert_array_equal(silence, np.full((200, 257), -100, np.float32))
    decibels = np.array(FRONT_END[REFLECTED]["values"])
    std = (decibels + 100) / (song - missing)
    mean = decibels - std * song
    assert ((std > 3) & (std < 40)).all()
    sound, step = draw_sound(), FRONT_END[REFLECTED]["step"]
    for standardised, computed in (
        (zeros, compute_decibels(sound, 2.0, "zeros")),
        (short, compute_decibels(sound[:30000], 2.0)),
    ):
        places = computed.ravel()[::step][: len(mean)]
        np.testing.assert_allclose(places, mean + std * standardised, rtol=0, atol=1e-4)
        assert np.abs(places - decibels).max() > 1


def test_clips_are_the_official_ones() -> None:
    starts = next(v for name, v in OFFICIAL.items() if name.startswith("dense clip starts"))
    assert list(starts.values()) == [
        avid_inputs.list_starts(96, 8).tolist(), avid_inputs.list_starts(600, 200).tolist()
    ]  # fmt: skip
    clips = select_clips(Video("a", Path(), "0", 25.0, 150))
    times = (np.array(next(iter(starts.values())))[:, None] + np.arange(8)) / 16
    assert clips.tolist() == np.floor(times * 25).astype(int).tolist()


def test_keys_are_those_of_the_checkpoint() -> None:
    expected = {}
    for text, form in OFFICIAL["keys"].items():
        key, _, numbers = text.partition(" [i=")
        first, _, last = numbers.rstrip("]").partition("..")
        for number in range(int(first or 0), int(last or first or 0) + 1):
            shape = [int(n) for n in form.split(" ")[1].split("x") if n]
            expected[key.replace("{i}", str(number))] = shape
    state = {
        f"module.{key}": list(tensor.shape) for key, tensor in build_net().state_dict().items()
    }
    assert state == expected
    assert sum(parameter.numel() for parameter in build_net().parameters()) == 21_286_784


def test_networks_are_the_official_ones() -> None:
    extractor, net = build_extractor(), build_net()
    frames = normalise_frames(extractor, ClipReader().square.resize(draw_video(0, 8, 300, 360)))
    spectrum = torch.from_numpy(extractor.standardise(compute_decibels(draw_sound(), 2.0)))
    stages = ("conv1", "conv2x", "conv3x", "conv4x", "conv5x")
    modules = {f"video {name}": getattr(net.video_model, name) for name in stages}
    with torch.no_grad(), record_outputs(modules, lambda _, output: output) as outputs:
        vectors, embeddings = net.embed_frames(frames)
        sound_vectors, sound_embeddings = net.embed_sound(spectrum[None, None])
    for name, output in outputs.items():
        check_array(output, OUTPUTS[name], 1e-5)
    check_array(vectors, OUTPUTS["video pool"], 1e-5)
    check_array(vectors, WITH_STATISTICS["video pool 512"], 1e-5)
    check_array(embeddings, OUTPUTS["video embedding 128 (video_proj)"], 1e-5)
    check_array(sound_vectors, WITH_STATISTICS["audio pool 512"], 1e-5)
    check_array(sound_embeddings, WITH_STATISTICS["audio embedding 128"], 1e-5)


def read_clips(folder: Path, sound: Any, rate: int = 24000, **form: int) -> PreparedClips:
    return ClipReader().prepare(make_sounding_video(folder, sound, rate, **form))


def quantise(sound: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Samples of 16 bits divided by 32767."""
    return np.rint(sound * 32768).astype(np.float32) / np.float32(32767)


class _FrameMeans(torch.nn.Module):
    """In place of both networks: that of sound, and the mean pixel of each frame and channel."""

    def embed_frames(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = clips.mean((3, 4)).flatten(1)
        return means.repeat(1, 22)[:, :512], means.repeat(1, 6)[:, :128]

    def embed_sound(self, spectra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return build_net().embed_sound(spectra)


def test_rows_of_a_real_file(tmp_path: Path) -> None:
    """Each clip of frames and of sound, one by one, gives its place in the row."""
    extractor = build_extractor()
    extractor.net = _FrameMeans()
    song = draw_song(0, 3, 24000) / np.float32(32768)
    video = make_sounding_video(tmp_path / "a", song, 24000, frames=75)
    row = extractor.extract(video)
    assert set(row) == {feature.name for feature in avid_cma.Extractor.FEATURES}
    frames, decibels = media.read_frames(video.path), compute_decibels(quantise(song), 3.0)
    starts = np.linspace(0, 40, 10).astype(int), np.linspace(0, 100, 10).astype(int)
    for clip in (0, 3, 9):
        numbers = [int((starts[0][clip] + step) / 16 * 25) for step in range(8)]
        clip_frames = ClipReader().square.resize(frames[numbers])
        spectrum = extractor.standardise(decibels[starts[1][clip] :][:200])
        with torch.no_grad():
            seen = extractor.net.embed_frames(normalise_frames(extractor, clip_frames))
            heard = extractor.net.embed_sound(torch.from_numpy(spectrum)[None, None])
        for name, pair in (("video", seen), ("audio", heard)):
            for column, expected in zip((name, f"{name}_embedding"), pair, strict=True):
                np.testing.assert_allclose(row[column][clip], expected[0], atol=2e-3)
    means = [row[f"{name}_embedding"].astype(float).mean(0) for name in ("video", "audio")]
    cosine = means[0] @ means[1] / np.prod([np.linalg.norm(mean) for mean in means])
    assert row["cosine"] == pytest.approx(cosine, abs=1e-3)


def test_shifted_sound_moves_the_spectra_to_the_sample(tmp_path: Path) -> None:
    song = draw_song(0, 2, 24000) / np.float32(32768)
    usual = read_clips(tmp_path / "a", song, frames=50)
    np.testing.assert_allclose(usual.decibels, compute_decibels(quantise(song), 2.0), atol=1e-4)
    late = np.concatenate([np.zeros(2400, np.float32), song[:-2400]])
    shifted = read_clips(tmp_path / "b", late, frames=50)
    # A tenth of a second is ten columns; windows at the ends see other samples.
    np.testing.assert_allclose(shifted.decibels[14:-4], usual.decibels[4:-14], atol=1e-3)
    np.testing.assert_array_equal(shifted.frames, usual.frames)


def test_other_forms_of_sound_follow_the_documented_rule(tmp_path: Path) -> None:
    """8 kHz and 5.1 are mixed to one channel of 24 kHz by FFmpeg; the range is that of the mix."""
    low = draw_song(0, 2, 8000) / np.float32(32768)
    clips = read_clips(tmp_path / "low", low, 8000, frames=50)
    # Nothing is above 4 kHz, the middle of the 257 bins being 6 kHz; but for the filter's edge.
    loudness = clips.decibels.mean(axis=0)
    assert loudness[:80].mean() > loudness[100:].max() + 20
    surround = np.stack([draw_song(n, 2, 24000) / np.float32(80000) for n in range(6)], axis=1)
    video = make_sounding_video(tmp_path / "surround", surround, 24000, frames=50)
    mixed = media.read_audio(video.path, 24000)
    expected = compute_decibels(quantise(mixed), 2.0)
    np.testing.assert_allclose(ClipReader().prepare(video).decibels, expected, atol=1e-4)
    assert np.abs(mixed - surround[:, 0]).max() > 0.05


def test_a_video_of_one_second_has_one_short_spectrum(tmp_path: Path) -> None:
    video = make_sounding_video(tmp_path, draw_song(0, 1, 24000) / np.float32(32768), 24000, 25)
    clips = ClipReader().prepare(video)
    assert clips.decibels.shape == (100, 257)
    assert clips.starts.tolist() == [0] * 10
    assert avid_inputs.list_starts(16, 8).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert len(clips.list_spectra()[0]) == 1
    extractor = build_extractor()
    extractor.net = _FrameMeans()
    row = extractor.extract(video)
    assert row["audio"].shape == (10, 512)
    np.testing.assert_array_equal(row["audio"][0], row["audio"][9])
    assert not np.array_equal(row["video"][0], row["video"][9])


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (None, "silent: the video has no sound"),
        (np.zeros(24000, np.float32), "silent: the sound is silence"),
    ],
)
def test_videos_without_a_row(tmp_path: Path, sound: Any, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        read_clips(tmp_path, sound, frames=25)


def test_broken_and_short_videos(tmp_path: Path) -> None:
    video = make_sounding_video(tmp_path, draw_sound(1), 24000, frames=25)
    for frames, reason in (
        (0, "broken: the video has 0 frames"), (99, "broken: not all 99"), (1, "short: .* 1/16 s")
    ):  # fmt: skip
        wrong = Video("a", video.path, "0", 25.0, frames, audio_path=video.path)
        with pytest.raises(UnusableError, match=reason):
            ClipReader().prepare(wrong)


def save_files(folder: Path, **statistics: npt.NDArray[Any]) -> Weights:
    """Weights in files as the official ones, with the rules of the registry."""
    entries = load_weights_files(Path(__file__).parents[2] / "config/weights.yaml")
    entry, path = entries["avid_cma_audioset"], folder / entries["avid_cma_audioset"].file
    state = {f"module.{key}": tensor for key, tensor in build_net().state_dict().items()}
    bank = {"view1_mem": torch.zeros(4, 128)}
    torch.save({"epoch": 39, "model": state, "optimizer": {}, "train_criterion": bank}, path)
    np.savez(folder / "statistics.npz", **statistics)
    part = Weights("official", "1" * 64, folder / "statistics.npz")
    return Weights("official", "0" * 64, path, keys=entry.keys, parts={"statistics": part})


def test_the_checkpoint_and_the_statistics_are_read(tmp_path: Path) -> None:
    mean, std = draw_statistics()
    extractor: Any = base.build_extractor(
        "avid_cma", {}, save_files(tmp_path, mean=mean, std=std), "cpu"
    )
    for key, tensor in build_net().state_dict().items():
        assert torch.equal(extractor.net.state_dict()[key], tensor), key
    np.testing.assert_array_equal(extractor.spectrum_mean, mean)
    np.testing.assert_array_equal(extractor.spectrum_std, std)


@pytest.mark.parametrize(
    ("statistics", "sentence"),
    [
        ({"mean": np.zeros(257)}, "cannot be read as statistics"),
        ({"mean": np.zeros(129), "std": np.ones(129)}, r"holds mean \(129,\)"),
        ({"mean": np.zeros(257), "std": np.zeros(257)}, "positive deviations"),
        ({"mean": np.array([{}], object), "std": np.ones(257)}, "cannot be read as statistics"),
    ],
)
def test_wrong_statistics_are_a_sentence(tmp_path: Path, statistics: Any, sentence: str) -> None:
    np.savez(tmp_path / "statistics.npz", **statistics)
    with pytest.raises(UserError, match=sentence):
        avid_cma.read_statistics(tmp_path / "statistics.npz")


def write_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(257))


def write_cut_archive(path: Path) -> None:
    """An archive whose list of members is there and whose first member is overwritten."""
    np.savez_compressed(path, mean=np.arange(257.0), std=np.ones(257))
    content = bytearray(path.read_bytes())
    content[60:200] = b"x" * 140
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("<html>not found</html>"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(pickle.dumps({"mean": 0})),
        lambda path: torch.save({"mean": torch.zeros(257)}, path),
        write_array,
        write_cut_archive,
    ],
    ids=["page", "empty", "pickle", "checkpoint", "array", "cut"],
)
def test_other_files_are_no_file_of_statistics(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "statistics.npz")
    with pytest.raises(UserError, match="cannot be read as statistics") as raised:
        avid_cma.read_statistics(tmp_path / "statistics.npz")
    assert "unsafe" not in str(raised.value)


@cache
def pinned() -> dict[str, Any]:
    """Some numbers of the whole path, with drawn weights."""
    reader = ClipReader()
    frames = reader.square.resize(draw_video(3, 16, 200, 240))
    clips = np.arange(10)[:, None] * 8 // 9 % 9 + np.arange(8)
    decibels = compute_decibels(draw_sound(), 2.3)
    starts = avid_inputs.list_starts(len(decibels), 200)
    (row,) = build_extractor().score(
        [PreparedClips(frames, clips[::9].repeat(5, 0), decibels, starts)]
    )
    tensors = {name: row[name].astype(float)[:, ::31] for name in row if name != "cosine"}
    return {
        "version": avid_cma.VERSION,
        "pixels": frames[3, ::45, 101, 1].tolist(),
        "decibels": [float(f"{v:.5g}") for v in decibels[60, ::17]],
        "tensors": [float(f"{v:.5g}") for x in tensors.values() for v in x[9, :8]],
        "cosine": [float(f"{row['cosine']:.6g}")],
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("pixels", "decibels", "tensors", "cosine"):
        assert computed[part] == pytest.approx(expected[part], rel=2e-3, abs=1e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
