"""The rendered videos have the defects that their options say, measured on the pictures."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from sfqa import faces, identity, media
from sfqa.generation import adapters, render
from sfqa.generation.adapters import procedural
from sfqa.generation.registry import Method

SIZE, FPS = 160, 25.0


def make(
    method: Method, portrait: Path, clip: Path, folder: Path, name: str = "img__song"
) -> adapters.RenderJob:
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{method.label}.mp4"
    job = adapters.RenderJob(name, method.options, portrait, clip, output, folder, 11, SIZE, FPS)
    adapters.load(method.adapter).generate(job)
    return job


@pytest.fixture(scope="module")
def videos(methods, portrait, clip, tmp_path_factory) -> dict[str, Path]:
    """One video of each demo method, all of the same pair and seed."""
    folder = tmp_path_factory.mktemp("demo")
    return {label: make(m, portrait, clip, folder).output for label, m in methods.items()}


@pytest.fixture(scope="module")
def frames(videos) -> dict[str, np.ndarray]:
    return {label: media.read_frames(path) for label, path in videos.items()}


def opening(pictures: np.ndarray) -> np.ndarray:
    """Share of dark pixels about the mouth that OpenCV's face box expects in each frame."""
    box = faces.locate_mouth(faces.detect_faces(pictures[0])[0])
    top, bottom = round(box.y), round(box.y + 1.4 * box.h)
    left, right = round(box.x), round(box.x + box.w)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[top:bottom, left:right] for p in pictures]
    return np.array([(g < 70).mean() for g in grey])


def lag(lips: np.ndarray, sound: np.ndarray) -> int:
    """How many frames later than the sound the lips fit it best."""
    shifts = range(-12, 13)
    count = len(sound)
    fits = [
        np.corrcoef(lips[max(0, s) : count + min(0, s)], sound[max(0, -s) : count - max(0, s)])[
            0, 1
        ]
        for s in shifts
    ]
    return shifts[int(np.argmax(fits))]


def sharpness(pictures: np.ndarray) -> float:
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures[::10]]
    return float(np.median([cv2.Laplacian(g, cv2.CV_64F).var() for g in grey]))


def test_videos_have_size_rate_length_and_sound(videos):
    for label, path in videos.items():
        found = media.probe(path)
        assert (found.width, found.height, found.fps) == (SIZE, SIZE, FPS)
        assert found.has_audio
        expected = 3.2 if label == "choppy" else 4.0
        assert found.duration_sec == pytest.approx(expected, abs=0.021)
        assert found.audio_duration_sec == pytest.approx(expected, abs=0.05)


def test_lips_follow_the_loudness(frames, loudness):
    lips = opening(frames["sharp"])
    assert np.corrcoef(lips, loudness)[0, 1] > 0.7
    assert abs(lag(lips, loudness)) <= 1


def test_late_lips_are_six_frames_late(frames, loudness):
    lips = opening(frames["late"])
    assert abs(lag(lips, loudness) - 6) <= 1
    assert np.corrcoef(lips, loudness)[0, 1] < 0.5


def test_frozen_lips_stand_still(frames, loudness):
    moved = {k: np.abs(np.diff(opening(frames[k]))).sum() for k in ("sharp", "frozen")}
    assert moved["frozen"] < 0.5 * moved["sharp"]
    assert np.corrcoef(opening(frames["frozen"]), loudness)[0, 1] < 0.5


def test_blurry_pictures_are_less_sharp(frames):
    clear = sharpness(frames["sharp"])
    assert sharpness(frames["blurry"]) < 0.2 * clear
    assert sharpness(frames["late"]) == pytest.approx(clear, rel=0.2)


def test_colours_drift_and_are_noisy(frames):
    def cast(pictures: np.ndarray) -> float:
        mean = pictures.mean(axis=(1, 2))
        return float(np.std(mean[:, 0] / mean[:, 2]))

    assert cast(frames["drift"]) > 10 * cast(frames["sharp"])
    assert sharpness(frames["drift"]) > 2 * sharpness(frames["sharp"])


def test_dropped_frames_repeat_the_one_before(methods, portrait, clip, tmp_path):
    options = {"drop_share": 0.5, "cut_end_sec": 0.0}
    job = adapters.RenderJob(
        "a", options, portrait, clip, tmp_path / "a.mp4", tmp_path, 1, SIZE, FPS
    )
    full = {n: options.get(n, o.default) for n, o in procedural.OPTIONS.items()}
    poses = render.plan_poses(np.linspace(0, 1, 41), job, full)
    image = render.read_image(portrait)
    pictures = list(render.render_frames(image, poses, job, full))
    same = sum(bool((a == b).all()) for a, b in itertools.pairwise(pictures))
    assert len(pictures) == 41
    assert same == 20


def test_noise_has_the_given_deviation(portrait, clip, tmp_path):
    sigma = 9.0
    job = adapters.RenderJob("a", {}, portrait, clip, tmp_path / "a", tmp_path, 1, SIZE, FPS)
    options = {n: o.default for n, o in procedural.OPTIONS.items()} | {"noise_sigma": sigma}
    grey = np.full((320, 320, 3), 128, np.uint8)
    poses = render.plan_poses(np.zeros(3), job, options)
    pictures = np.array(list(render.render_frames(grey, poses, job, options))).astype(float)
    assert pictures.std() == pytest.approx(sigma, rel=0.02)
    assert pictures.mean() == pytest.approx(128, abs=0.1)
    assert np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1] < 0.05


def test_the_same_job_gives_the_same_bytes_and_another_sample_others(
    methods, portrait, clip, tmp_path, videos
):
    again = make(methods["drift"], portrait, clip, tmp_path / "again").output
    assert identity.sha256_file(again) == identity.sha256_file(videos["drift"])
    other = make(methods["drift"], portrait, clip, tmp_path / "other", name="img2__song").output
    assert identity.sha256_file(other) != identity.sha256_file(videos["drift"])


def test_a_picture_that_is_none_is_told(methods, clip, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(media.MediaError, match=r"broken\.png: cannot be read as a picture"):
        make(methods["sharp"], broken, clip, tmp_path / "out")


#: Mean of each channel and deviation of six frames with every defect, by VERSION of the adapter.
GOLDEN: dict[int, list[list[float]]] = {
    1: [
        [156.59, 138.8, 98.78, 36.93],
        [166.84, 118.31, 109.05, 38.2],
        [161.08, 104.94, 126.91, 36.41],
        [139.2, 106.52, 144.91, 30.47],
        [119.25, 122.44, 146.7, 27.12],
        [111.19, 141.88, 135.78, 26.83],
    ]
}
#: How far the mouth is open in every ninth of them.
MOUTHS: dict[int, list[float]] = {
    1: [0.0, 0.8894, 0.6725, 0.8062, 0.7135, 0.8765, 0.6445, 0.3363, 0.8817]
}


def test_golden_frames(plain_face, clip, tmp_path):
    options = {
        "lip_delay_frames": 2.0, "lip_gain": 0.9, "lip_freeze_share": 0.3, "blur_sigma_px": 0.8,
        "scale": 0.7, "colour_drift": 0.4, "noise_sigma": 8.0, "drop_share": 0.3,
        "cut_end_sec": 0.5, "sway": 1.5, "blink": 0.8,
    }  # fmt: skip
    assert options.keys() == procedural.OPTIONS.keys()
    job = adapters.RenderJob("golden", options, clip, clip, clip, tmp_path, 3, SIZE, FPS)
    poses = render.plan_poses(np.abs(np.sin(np.arange(75) / 4)), job, options)
    pictures = list(render.render_frames(plain_face, poses, job, options))[::13]
    got = [[*np.round(p.mean(axis=(0, 1)), 2).tolist(), round(float(p.std()), 2)] for p in pictures]
    assert procedural.VERSION in GOLDEN, "write the new numbers down beside the old"
    np.testing.assert_allclose(got, GOLDEN[procedural.VERSION], atol=0.1, err_msg=str(got))
    mouths = [round(p.mouth, 4) for p in poses[::9]]
    np.testing.assert_allclose(mouths, MOUTHS[procedural.VERSION], atol=1e-3, err_msg=str(mouths))
