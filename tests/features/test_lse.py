"""LSE: the formulas, the extractor, and its numbers pinned in golden/lse.json.

After a change of the numbers raise VERSION, then remake the goldens from the repository's root:
``PYTHONPATH=workflow/scripts python tests/features/test_lse.py``
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfqa import faces, identity, media
from sfqa.errors import UserError
from sfqa.faces import Box
from sfqa.features import base, face_track, sync_distance, syncnet
from sfqa.features.extractors import lse
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "lse.json"
PORTRAIT = Path(__file__).parents[2] / "resources/demo/portrait01.webp"
REAL = Path(__file__).parents[3] / "shared" / "data" / "real"
RANDOM = Weights("random", "random:0", seed=0)
VIDEO = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, 44, Path("v.wav"), "1" * 64, 16000)
FACE = Box(14.0, 16.0, 60.0, 64.0)  # its crop reaches beyond the picture's lower edge


def picture(frame):
    """A face-like picture whose mouth opens and closes, drawn without any library's rounding."""
    y, x = np.mgrid[:96, :96]
    image = np.stack([x * 2, y * 2, 255 - x - y], axis=-1) % 256
    image[(x - 44) ** 2 + (y - 42) ** 2 < 26**2] = (200, 160, 140)
    opened = 2 + round(4 * (1 + np.sin(frame * 0.9)))
    image[(abs(x - 44) < 10) & (abs(y - 56) < opened)] = (60, 20, 30)
    return image.astype(np.uint8)


def sound(seconds, seed=0):
    rng = identity.random_generator("test_lse", "sound", seed)
    steps = np.repeat(rng.uniform(0.01, 0.3, int(seconds * 25) + 1), 640)
    return (steps * rng.normal(size=steps.size)).clip(-1, 1).astype(np.float32)


@pytest.fixture
def stub(monkeypatch):
    """Pictures, sound and detector from memory: numbers depend on no decoder and no cascade."""
    seen = []

    def each_frame(path, indices):
        for index in indices:
            seen.append(index)
            yield picture(index)

    monkeypatch.setattr(lse.media, "iterate_frames", each_frame)
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: sound(44 / 25))
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: [FACE])
    return seen


@pytest.fixture
def quick(monkeypatch):
    """Features from the mean brightness: for tests that are not about the network."""

    def lip(stream, windows, device):
        return torch.tensor(
            [[float(crop_faces[v : v + 5].mean())] * 4 for crop_faces, v in windows]
        )

    def audio(net, windows, device):
        assert all(w.shape == (1, 13, 20) for w in windows)
        return torch.tensor(np.stack([w[0, :4, 0] for w in windows]))

    monkeypatch.setattr(syncnet, "run_lip_network", lip)
    monkeypatch.setattr(syncnet, "run_audio_network", audio)


class Untrained:
    """The random weights of seed 0, drawn once."""

    @staticmethod
    @cache
    def load(build):
        return RANDOM.load(build)


def extractor_with(**options):
    return lse.Extractor(base.merge_options("lse", options), Untrained(), "cpu")


@pytest.fixture
def make():
    return extractor_with


# The formulas


def published_distances(lip, audio, shift):
    """The published definition, window by window."""
    padded = torch.nn.functional.pad(audio, (0, 0, shift, shift))
    rows = []
    for v in range(len(lip)):
        row = [
            torch.nn.functional.pairwise_distance(lip[v : v + 1], padded[v + k : v + k + 1])[0]
            for k in range(2 * shift + 1)
        ]
        rows.append(torch.stack(row))
    return torch.stack(rows)


@settings(max_examples=20, deadline=None)
@given(windows=st.integers(1, 20), shift=st.integers(1, 15), seed=st.integers(0, 99))
def test_distances_equal_the_published_loop(windows, shift, seed):
    rng = identity.random_generator("distances", seed)
    lip, audio = rng.normal(size=(2, windows, 32)).astype(np.float32)
    # In float64, since the loop is the definition here and not its rounding.
    wanted = published_distances(torch.tensor(lip).double(), torch.tensor(audio).double(), shift)
    found = sync_distance.compute_distances(lip, audio, shift)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-9)


def test_the_distance_of_equal_features_is_that_of_eps():
    lip = np.ones((3, 1024), np.float32)
    np.testing.assert_allclose(
        sync_distance.compute_distances(lip, lip, 1)[:, 1], 1e-6 * 32, rtol=1e-6
    )


def test_scores_equal_torch_on_random_distances():
    mean = identity.random_generator("scores").uniform(5, 15, 31)
    found = sync_distance.compute_scores(mean)
    least, place = torch.tensor(mean).min(0)
    assert found.lse_d == least.item()
    assert found.lse_c == pytest.approx(torch.tensor(mean).median().item() - least.item())
    assert found.offset == 15 - place.item()


@pytest.mark.parametrize("early", [-9, 0, 4])
def test_the_offset_is_positive_when_the_sound_comes_first(early):
    lip = identity.random_generator("offset").normal(size=(60, 64)).astype(np.float32)
    audio = np.roll(lip, -early, axis=0)  # what is seen at v + early is heard at v
    found = sync_distance.compute_scores(sync_distance.compute_distances(lip, audio).mean(axis=0))
    assert found.offset == early
    assert found.lse_c > 3


def test_wrong_shapes_are_errors():
    with pytest.raises(ValueError, match="shapes"):
        sync_distance.compute_distances(np.zeros((3, 4), np.float32), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="zero"):
        sync_distance.compute_scores(np.zeros(30))


@pytest.mark.parametrize(
    ("frames", "samples", "wanted"),
    [(100, 64000, 95), (100, 63999, 94), (50, 64000, 45), (5, 1, 0)],
)
def test_window_count(frames, samples, wanted):
    assert sync_distance.window_count(frames, samples) == wanted


@settings(deadline=None)
@given(
    frames=st.integers(1, 400), fps=st.sampled_from([10.0, 12.0, 23.976, 25.0, 29.97, 30.0, 60.0])
)
def test_frames_at_25_are_the_nearest_in_time(frames, fps):
    shown = sync_distance.frames_at_25(frames, fps)
    assert len(shown) == pytest.approx(frames / fps * 25, abs=0.51)
    for i, frame in enumerate(shown):
        off = abs(frame / fps - i / 25)
        assert off <= 0.5 / fps + 1e-9 or frame == frames - 1
    if fps == 25:
        assert shown == list(range(frames))


# The extractor


def test_a_row_is_complete(stub, quick, make):
    values = make().extract(VIDEO)
    detail = values.pop("detail")
    assert detail == ""
    row = {"sample_id": "s", "method": "m", "key": "k", "status": "ok", "detail": detail, **values}
    table = base.build_table(lse.Extractor.FEATURES, [row])
    assert all(table.column(f.name)[0].is_valid for f in lse.Extractor.FEATURES)
    shapes = {n: np.shape(v) for n, v in values.items() if np.shape(v)}
    assert shapes == {"mean_distance": (31,), "window_distance": (39,)}
    assert (values["track_frames"], values["face_share"], values["tracks"]) == (44, 1.0, 1)
    mean = values["mean_distance"]
    assert values["lse_d"] == pytest.approx(mean.min())
    assert values["lse_c"] == pytest.approx(np.median(mean) - mean.min(), rel=1e-4)
    assert values["window_distance"].mean() == pytest.approx(values["lse_d"])


def test_a_video_at_50_fps_is_seen_at_25(stub, quick, make):
    slow = make().extract(VIDEO)
    stub.clear()
    fast = make().extract(replace(VIDEO, fps=50.0, frames=88))
    assert set(stub) == set(range(0, 88, 2))
    assert fast["track_frames"] == slow["track_frames"]


def test_repeated_frames_are_searched_once(stub, quick, make, monkeypatch):
    calls = []
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: calls.append(1) or [FACE])
    values = make().extract(replace(VIDEO, fps=12.5, frames=22))
    assert len(calls) == 22
    assert values["track_frames"] == 44


def test_looking_at_every_fifth_frame_is_enough_for_a_still_face(stub, quick, make, monkeypatch):
    wanted = make().extract(VIDEO)
    calls = []
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: calls.append(1) or [FACE])
    found = make(detect_every=5).extract(VIDEO)
    assert len(calls) == 10
    assert found["lse_d"] == wanted["lse_d"]
    assert found["face_share"] == 1.0


@pytest.mark.parametrize("every", [1, 5])
def test_pictures_too_large_to_keep_are_decoded_again(stub, quick, make, monkeypatch, every):
    wanted = make(detect_every=every).extract(VIDEO)
    assert len(stub) == 44
    stub.clear()
    monkeypatch.setattr(lse, "_MAX_KEPT_BYTES", 1000)
    found = make(detect_every=every).extract(VIDEO)
    assert len(stub) == {1: 1 + 43, 5: 1 + 9}[every] + 43  # the first is seen before it shows
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_the_sound_is_cut_to_the_track(stub, quick, make, monkeypatch):
    """The first 10 frames show no face: their sound must not be heard, their pictures not seen."""
    hits = iter([[]] * 10 + [[FACE]] * 50)
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: next(hits))
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: sound(60 / 25))
    cut = make(min_track=30).extract(replace(VIDEO, frames=60))
    assert (cut["track_frames"], cut["face_share"]) == (50, pytest.approx(50 / 60))
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: [FACE])
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: sound(60 / 25)[6400:])
    later = media_from(10, lse.media.iterate_frames)
    monkeypatch.setattr(lse.media, "iterate_frames", later)
    single = make().extract(replace(VIDEO, frames=50))
    np.testing.assert_array_equal(cut["mean_distance"], single["mean_distance"])


def media_from(first, read):
    return lambda path, indices: read(path, [first + i for i in indices])


def test_a_second_long_track_is_a_flaw(stub, quick, make, monkeypatch):
    other = Box(70.0, 60.0, 20.0, 20.0)
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: [FACE, other])
    values = make().extract(VIDEO)
    assert values["tracks"] == 2
    assert values["detail"].startswith("several_faces: ")


def test_a_short_track_is_a_flaw(stub, quick, make, monkeypatch):
    hits = iter([[FACE]] * 60 + [[]] * 70)
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: next(hits))
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: sound(130 / 25))
    values = make().extract(replace(VIDEO, frames=130))
    assert values["detail"] == "face_lost: the face was followed in 60 of 130 frames"


def failure(extractor, video=VIDEO):
    with pytest.raises(base.UnusableError) as caught:
        extractor.extract(video)
    word, sentence = str(caught.value).split(": ", 1)
    assert sentence
    return word


def test_videos_that_cannot_be_scored_say_why(stub, quick, make, monkeypatch):
    extractor = make()
    assert failure(extractor, replace(VIDEO, audio_path=None)) == "silent"
    assert failure(extractor, replace(VIDEO, frames=35)) == "short"
    extractor.extract(replace(VIDEO, frames=36))
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: [])
    assert failure(extractor) == "no_face"
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: [FACE])
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: np.full(28160, 1e-4, "f4"))
    assert failure(extractor) == "silent"
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: sound(1)[:22000])
    assert failure(extractor) == "short"


def test_a_short_track_in_a_long_video_is_too_short(stub, quick, make, monkeypatch):
    extractor = make(min_track=10)
    hits = iter([[FACE]] * 20 + [[]] * 24)
    monkeypatch.setitem(lse.DETECTORS, "haar", lambda image: next(hits))
    assert failure(extractor) == "short"


def test_files_that_do_not_decode_are_broken(make, tmp_path):
    media.write_wave(tmp_path / "v.wav", sound(44 / 25), 16000)
    (tmp_path / "v.mp4").write_bytes(b"no video")
    torn = replace(VIDEO, path=tmp_path / "v.mp4", audio_path=tmp_path / "v.wav")
    assert failure(make(), torn) == "broken"
    assert failure(make(), replace(torn, audio_path=tmp_path / "v.mp4")) == "broken"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("detector", "mtcnn"), ("precision", "fp16"), ("max_shift", 0), ("detect_every", 0),
        ("min_track", -1), ("min_track", 2.5), ("detect_every", True), ("batch", 0),
    ],
)  # fmt: skip
def test_impossible_options_are_named(name, value):
    with pytest.raises(UserError, match=f"features.lse.options.{name}"):
        base.build_extractor("lse", {name: value}, RANDOM, "cpu")


# The numbers


# Name, frames and options; few frames and shifts where the network's rounding is all that differs.
CASES = {
    "default": (36, {}),
    "bf16": (16, {"max_shift": 5, "precision": "bf16"}),
    "short": (16, {"max_shift": 5}),
}


def numbers(case):
    """Scores of the stub video with untrained weights."""
    frames, options = CASES[case]
    values = extractor_with(**options).extract(replace(VIDEO, frames=frames))
    names = ("lse_c", "lse_d", "offset", "mean_distance", "window_distance")
    return {name: np.asarray(values[name], np.float64).tolist() for name in names}


def matches(found, wanted, tolerance):
    """Whether scores agree, as a share of the distances: LSE-C is a difference of two of them."""
    scale = wanted["lse_d"]
    return all(
        np.allclose(found[name], wanted[name], rtol=0, atol=tolerance * scale) for name in wanted
    )


def test_golden(stub, monkeypatch):
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == lse.VERSION, "VERSION was raised: remake the goldens"
    assert golden["faces_version"] == faces.VERSION, "the detector changed: raise VERSION"
    for case in CASES:
        same = matches(numbers(case), golden["values"][case], 5e-3 if case == "bf16" else 1e-5)
        assert same, f"{case}: the numbers changed: raise VERSION and remake the goldens"
    # The guard is sharp: grey one step darker around the picture, or sound a sample later.
    with monkeypatch.context() as patch:
        patch.setattr(face_track, "_GREY", 109)
        assert not matches(numbers("short"), golden["values"]["short"], 1e-5)
    heard = sound(44 / 25)
    monkeypatch.setattr(lse.media, "read_audio", lambda path, rate: heard[1:])
    assert not matches(numbers("short"), golden["values"]["short"], 1e-5)


@pytest.mark.parametrize("batch", [2, 7])
def test_rows_do_not_depend_on_the_pass_they_share(batch):
    rng = identity.random_generator("test_lse", "mixed")
    talks = [
        lse.FaceClip(
            rng.integers(0, 256, (n + 4, 224, 224, 3), dtype=np.uint8),
            rng.normal(size=(4 * n + 16, 13)),
            n,
            {"track_frames": n},
        )
        for n in (9, 3, 5)
    ]
    single = extractor_with(max_shift=2).score(talks)
    wanted = {row["track_frames"]: row for row in single}
    mixed = list(extractor_with(max_shift=2, batch=batch).score(talks[i] for i in (2, 0, 1)))
    assert [row["track_frames"] for row in mixed] == [5, 9, 3]
    for row in mixed:
        own = wanted[row["track_frames"]]
        assert row["offset"] == own["offset"]
        for name in ("mean_distance", "window_distance", "lse_d"):
            np.testing.assert_allclose(row[name], own[name], rtol=1e-6)


# Whole videos


def conformed(folder, frames, fps=25.0, seconds=None):
    media.write_wave(folder / "v.wav", sound(seconds or len(frames) / fps), 16000)
    media.write_video(folder / "v.mp4", frames, fps)
    return base.Video(
        "v", folder / "v.mp4", "0" * 64, fps, len(frames), folder / "v.wav", "1" * 64, 16000
    )


def test_a_drawn_portrait_is_found_and_scored(make, tmp_path):
    with Image.open(PORTRAIT) as picture:
        image = np.asarray(picture.convert("RGB").resize((256, 256)))
    assert faces.detect_faces(image), "the portrait's face is not found"
    frames = [np.roll(image, round(3 * np.sin(i / 4)), axis=1) for i in range(40)]
    values = make(detect_every=8).extract(conformed(tmp_path, frames))
    assert values["detail"] == ""
    assert (values["track_frames"], values["face_share"]) == (40, 1.0)
    assert np.isfinite(values["mean_distance"]).all()


@pytest.mark.shared
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real data beside the checkout")
@pytest.mark.parametrize("name", ["sadtalker_art_10_poem1", "aniportrait_kara"])
def test_real_videos_give_a_whole_row(name, make, tmp_path):
    path = REAL / "videos" / f"{name}.mp4"
    _, fps = media.frame_times(path)
    media.write_wave(tmp_path / "v.wav", media.read_audio(path, 16000), 16000)
    video = base.Video(
        name, path, "0" * 64, fps, round(fps * 1.8), tmp_path / "v.wav", "1" * 64, 16000
    )
    values = make(detect_every=9).extract(video)
    assert values["detail"] == ""
    assert values["face_share"] == 1.0
    assert values["track_frames"] == 45
    assert -15 <= values["offset"] <= 15
    assert all(np.isfinite(values[f.name]).all() for f in lse.Extractor.FEATURES)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        stub.__wrapped__(patch)
        made = {"version": lse.VERSION, "faces_version": faces.VERSION, "values": {}}
        made["values"] = {case: numbers(case) for case in CASES}
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
