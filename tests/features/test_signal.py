"""The extractor `signal`: its rows, what it says of odd videos, and its numbers pinned.

After a change of the numbers raise VERSION, then remake the golden from the repository's root:
``PYTHONPATH=workflow/scripts python tests/features/test_signal.py``
"""

import json
import pickle
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfqa import faces, identity, media
from sfqa.errors import UserError
from sfqa.faces import Box
from sfqa.features import base, picture_signal
from sfqa.features.extractors import signal
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "signal.json"
NONE = Weights("none", "none")
VIDEO = base.Video("s", Path("v.mp4"), "0" * 64, 25.0, 60, Path("v.wav"), "1" * 64, 16000)
FACE = Box(14.0, 16.0, 60.0, 64.0)
LIPS = ("lip_loudness_correlation", "lip_loudness_offset_frames", "lip_loudness_zero_lag")
COURSES = [f.name for f in signal.Extractor.FEATURES if f.axes]


def level(frame):
    """Loudness and mouth of a frame: syllables of four frames."""
    return (0.05, 0.4, 0.1, 0.25, 0.5, 0.02, 0.3)[(frame // 4) % 7]


def picture(frame):
    """A face-like picture whose mouth opens with the loudness, free of any library's rounding."""
    y, x = np.mgrid[:96, :96]
    image = np.stack([x * 2, y * 2, 255 - x - y], axis=-1) % 256
    image[(x - 44) ** 2 + (y - 42) ** 2 < 26**2] = (200, 160, 140)
    image[(abs(x - 44) < 10) & (abs(y - 68) < 16 * level(frame))] = (60, 20, 30)
    return np.roll(image, frame % 3, axis=1).astype(np.uint8)


def sound(frames=60):
    loud = np.repeat([level(n) for n in range(frames)], 640)
    return (loud * np.sin(np.arange(loud.size) / 7)).astype(np.float32)


@pytest.fixture
def stub(monkeypatch):
    """Pictures, sound and detector from memory: numbers depend on no decoder and no cascade."""
    source = {"picture": picture, "sound": sound(), "faces": lambda image: [FACE], "seen": []}

    def each_frame(path, indices):
        for index in indices:
            source["seen"].append(index)
            yield source["picture"](index)

    monkeypatch.setattr(signal.media, "iterate_frames", each_frame)
    monkeypatch.setattr(signal.media, "read_audio", lambda path, rate: source["sound"])
    monkeypatch.setitem(signal.DETECTORS, "haar", lambda image: source["faces"](image))
    return source


def extract(video=VIDEO, **options):
    values = base.build_extractor("signal", options, NONE, "cpu").extract(video)
    head = {"sample_id": "s", "method": "m", "key": "k", "status": "ok"}
    base.build_table(signal.Extractor.FEATURES, [head | values])  # what is not finite raises here
    assert values.keys() - {"detail"} == {f.name for f in signal.Extractor.FEATURES}
    return values


def si_of(image):
    return picture_signal.measure_picture(image, signal.siti.compute_luma(image)).si


def empty(values):
    return {name for name, value in values.items() if value is None}


def test_a_row_is_complete(stub):
    values = extract()
    assert values["detail"] == ""
    assert empty(values) == set()
    assert {np.shape(values[name]) for name in COURSES} == {(3,)}
    assert values["lip_loudness_offset_frames"] == 0
    assert values["lip_loudness_correlation"] > 0.9
    assert (values["face_share"], values["lip_frames"]) == (1.0, 60)
    assert values["si_max"] >= values["si_mean"] > 0
    assert values["ti_max"] >= values["ti_mean"] > 0


@pytest.mark.parametrize("late", [-7, 3, 12])
def test_late_lips_are_found(stub, late):
    stub["picture"] = lambda n: picture(n - late)
    stub["sound"] = sound()
    # The pattern of seven syllables repeats after 28 frames: shifts below half of it are unique.
    assert extract()["lip_loudness_offset_frames"] == late


def test_courses_are_the_means_of_their_seconds(stub):
    values = extract(replace(VIDEO, frames=55))
    bright = [signal.siti.compute_luma(picture(n)).mean() for n in range(55)]
    wanted = [np.mean(bright[a:b]) for a, b in ((0, 25), (25, 50), (50, 55))]
    np.testing.assert_allclose(values["brightness_per_second"], wanted, rtol=1e-6)
    whole = np.average(values["si_per_second"], weights=[25, 25, 5])
    assert whole == pytest.approx(values["si_mean"], rel=1e-6)
    si = [si_of(picture(n)) for n in range(55)]
    assert values["si_max"] == pytest.approx(max(si))


def test_every_frame_is_decoded_once(stub):
    extract()
    assert stub["seen"] == list(range(60))


def test_every_thins_out_the_pictures_and_nothing_else(stub):
    all_, some = extract(), extract(every=3)
    thinned = {name for name, value in all_.items() if not np.array_equal(some[name], value)}
    assert "si_mean" in thinned
    assert not thinned & {
        "ti_mean",
        "flicker",
        "motion_smoothness",
        "frozen_share",
        "ti_max",
        *LIPS,
    }
    si = [si_of(picture(n)) for n in range(0, 60, 3)]
    assert some["si_mean"] == pytest.approx(np.mean(si))
    assert {np.shape(some[name]) for name in COURSES} == {(3,)}


def test_the_matrix_is_an_option(stub):
    assert extract(matrix="bt709")["brightness"] != extract()["brightness"]


# Odd videos


def test_without_a_face_the_rest_is_there(stub):
    stub["faces"] = lambda image: []
    values = extract()
    assert values["detail"] == "no_face: no face in 4 frames looked at"
    assert empty(values) == {"lip_motion_range", *LIPS}
    assert (values["face_share"], values["lip_frames"]) == (0.0, 0)


def test_without_sound_the_rest_is_there(stub):
    values = extract(replace(VIDEO, audio_path=None))
    assert values["detail"] == "silent: the video has no sound"
    assert empty(values) == set(LIPS)
    assert values["lip_motion_range"] > 0


@pytest.mark.parametrize(
    ("heard", "word"),
    [
        (np.zeros(60 * 640, "f4"), "silent"), (sound()[: 52 * 640], "short"),
        (np.tile([0.5, -0.5], 60 * 320).astype("f4"), "steady"),
    ],
)  # fmt: skip
def test_sound_that_tells_nothing_is_named(stub, heard, word):
    stub["sound"] = heard
    values = extract()
    assert values["detail"].startswith(f"{word}: ")
    assert empty(values) == set(LIPS)


def test_sound_shorter_than_the_picture_is_enough_if_long_enough(stub):
    stub["sound"] = sound()[: 53 * 640]
    assert extract()["detail"] == ""


def test_torn_sound_is_a_flaw(stub, monkeypatch):
    def torn(path, rate):
        raise media.MediaError("v.wav: does not decode")

    monkeypatch.setattr(signal.media, "read_audio", torn)
    assert extract()["detail"] == "silent: its sound cannot be read, v.wav: does not decode"


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_are_defined(stub, frames):
    values = extract(replace(VIDEO, frames=frames))
    words = [part.split(":")[0] for part in values["detail"].split("; ")]
    untold = {"flicker", "motion_smoothness", "motion_irregularity"}
    if frames == 1:
        untold |= {"ti_mean", "ti_max", "motion"}
    assert words == (["short"] if frames == 3 else ["short", "short"])
    assert empty(values) == set(LIPS) | (untold if frames < 3 else set())
    assert values["frozen_share"] == 0.0
    assert {np.shape(values[name]) for name in COURSES} == {(1,)}


def test_a_constant_video_is_defined(stub):
    stub["picture"] = lambda n: np.full((96, 96, 3), 16, np.uint8)
    values = extract()
    zero = ("si_mean", "si_max", "ti_max", "sharpness", "tenengrad", "contrast", "noise", "flicker",
            "colourfulness", "motion", "motion_irregularity")  # fmt: skip
    assert {values[name] for name in zero} == {0.0}
    one = ("blockiness", "motion_smoothness", "frozen_share", "black_share")
    assert {values[name] for name in one} == {1.0}
    assert values["brightness"] == 16
    assert values["detail"].startswith("steady: ")
    assert values["lip_motion_range"] == pytest.approx(0, abs=1e-6)


def test_several_faces_and_lost_ones_are_flaws(stub):
    stub["faces"] = lambda image: [FACE, Box(70.0, 60.0, 20.0, 20.0)]
    assert extract()["detail"].startswith("several_faces: ")
    answers = iter([[FACE]] * 10 + [[]] * 40)
    stub["faces"] = lambda image: next(answers)
    values = extract(detect_every=3)
    assert values["detail"].startswith("face_lost: the face was followed in 28 of 60 frames; short")
    assert values["face_share"] == 10 / 21


def failure(video):
    with pytest.raises(base.UnusableError) as caught:
        extract(video)
    return str(caught.value)


def test_videos_that_cannot_be_measured_say_why(stub):
    assert failure(replace(VIDEO, frames=0)).startswith("short: ")
    stub["picture"] = lambda n: np.zeros((15, 40, 3), np.uint8)
    assert failure(VIDEO) == "small: the picture is 40x15, 16x16 is the least"


def test_a_torn_video_is_broken(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video")
    assert failure(replace(VIDEO, path=tmp_path / "v.mp4")).startswith("broken: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("every", 0), ("every", 1.5), ("every", True), ("detect_every", 0), ("max_shift", 0),
        ("matrix", "bt2020"), ("detector", "s3fd"),
    ],
)  # fmt: skip
def test_impossible_options_are_named(name, value):
    with pytest.raises(UserError, match=f"features.signal.options.{name}"):
        base.build_extractor("signal", {name: value}, NONE, "cpu")


@pytest.mark.parametrize("kind", ["random", "official"])
def test_weights_are_refused(kind):
    with pytest.raises(UserError, match="say 'none'"):
        base.build_extractor("signal", {}, Weights(kind, "x"), "cpu")


# The numbers


CASES = {"default": {}, "thinned": {"every": 4, "matrix": "bt709", "max_shift": 5}}


def numbers(case):
    values = extract(**CASES[case])
    return {k: np.asarray(v).tolist() for k, v in values.items() if k != "detail"}


def same(found, wanted):
    return found.keys() == wanted.keys() and all(
        np.allclose(found[name], wanted[name], rtol=1e-6, atol=1e-7) for name in wanted
    )


def touched(frame):
    image = picture(frame)
    if frame == 30:
        image[9, 9, 1] ^= 16
    return image


def test_golden(stub):
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == signal.VERSION, "VERSION was raised: remake the golden"
    assert golden["faces_version"] == faces.VERSION, "the detector changed: raise VERSION"
    for case in CASES:
        unchanged = same(numbers(case), golden["values"][case])
        assert unchanged, f"{case}: the numbers changed: raise VERSION and remake the golden"
    # The guard is sharp: one pixel in one frame, 16 levels in green.
    stub["picture"] = touched
    assert not same(numbers("default"), golden["values"]["default"])


# Whole files


def test_a_file_is_measured_like_its_pictures(tmp_path):
    rng = identity.random_generator("test_signal", "file")
    frames = [np.repeat(np.repeat(rng.integers(0, 255, (12, 16, 3), np.uint8), 8, 0), 8, 1)] * 30
    media.write_video(tmp_path / "v.mp4", frames, 25.0)
    video = base.Video("v", tmp_path / "v.mp4", "0" * 64, 25.0, 30)
    values = extract(video)
    assert values["si_mean"] == pytest.approx(si_of(frames[0]), rel=0.02)
    assert values["frozen_share"] == 1.0
    again = extract(video)
    for name, value in values.items():
        np.testing.assert_array_equal(again[name], value)


def test_si_and_ti_are_those_of_ffmpeg(tmp_path):
    """Its filter siti stretches the limited range too; its luma is the coded plane itself."""
    y, x = np.mgrid[:96, :128]
    shift = np.arange(20)[:, None, None]
    grey = (128 + 70 * np.sin((x + 3 * shift) / 5) * np.cos((y - shift) / 7)).astype(np.uint8)
    media.write_video(tmp_path / "v.mp4", np.repeat(grey[..., None], 3, axis=-1), 25.0)
    values = extract(base.Video("v", tmp_path / "v.mp4", "0" * 64, 25.0, 20))
    command = [media.ffmpeg_exe(), "-i", str(tmp_path / "v.mp4"), "-vf", "siti=print_summary=1"]
    done = subprocess.run(
        [*command, "-f", "null", "-"], capture_output=True, text=True, check=False
    )
    if "No such filter" in done.stderr:
        pytest.skip("this ffmpeg has no filter siti")
    si, ti = done.stderr.rsplit("Spatial Information", 1)[1].split("Temporal Information")
    for name, text in (("si", si), ("ti", ti)):
        mean, largest, _ = (float(v) for v in re.findall(r": ([\d.]+)", text)[:3])
        # ffmpeg counts a TI of 0 for the first frame.
        mean *= 1 if name == "si" else 20 / 19
        assert values[f"{name}_mean"] == pytest.approx(mean, rel=0.01)
        assert values[f"{name}_max"] == pytest.approx(largest, rel=0.01)


def test_it_can_be_sent_to_a_worker():
    sent = pickle.loads(pickle.dumps(base.build_extractor("signal", {"every": 3}, NONE, "cpu")))
    assert sent.every == 3


@pytest.mark.shared
@pytest.mark.parametrize("name", ["sadtalker_art_10_poem1", "sadtalker_art_11_news"])
def test_real_lips_fit_their_sound(shared_data, tmp_path, name):
    path = shared_data / "real" / "videos" / f"{name}.mp4"
    frames, fps = media.frame_times(path)
    media.write_wave(tmp_path / "v.wav", media.read_audio(path, 16000), 16000)
    values = extract(base.Video(name, path, "0" * 64, fps, frames, tmp_path / "v.wav", "1" * 64))
    assert values["detail"] == ""
    assert values["lip_frames"] == frames
    assert abs(values["lip_loudness_offset_frames"]) <= 1
    assert values["lip_loudness_correlation"] > 0.3


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        stub.__wrapped__(patch)
        made = {"version": signal.VERSION, "faces_version": faces.VERSION, "values": {}}
        made["values"] = {case: numbers(case) for case in CASES}
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
