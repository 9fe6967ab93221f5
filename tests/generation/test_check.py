import dataclasses

import numpy as np
import pytest

from sfqa import media
from sfqa.generation.check import find_problem
from videos import make_video


def test_a_whole_video_has_no_problem(tmp_path):
    assert find_problem(make_video(tmp_path / "a.mp4", frames=25), clip_sec=1.0) == ""


def test_a_shorter_one_is_for_the_raters_to_judge(tmp_path):
    assert find_problem(make_video(tmp_path / "a.mp4", frames=25), clip_sec=9.0) == ""


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "no_video: the file"), (b"not a video at all" * 50, "broken: ")],
)
def test_files_that_are_no_video(tmp_path, content, word):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert find_problem(path).startswith(word)


def test_a_video_cut_in_the_middle_is_broken(tmp_path):
    whole = make_video(tmp_path / "a.mp4", frames=50).read_bytes()
    path = tmp_path / "b.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert find_problem(path).split(":")[0] == "broken"


def test_no_sound_no_picture(tmp_path):
    silent = make_video(tmp_path / "a.mp4", frames=25, sound=False)
    assert find_problem(silent).startswith("no_audio: ")
    assert find_problem(silent, audio=False) == ""
    media.write_wave(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    assert find_problem(tmp_path / "a.wav").startswith("no_picture: ")


def test_lengths(tmp_path):
    assert find_problem(make_video(tmp_path / "a.mp4", frames=5)).startswith("too_short: ")
    long = make_video(tmp_path / "b.mp4", frames=60)
    assert find_problem(long, clip_sec=1.5) == ""
    assert find_problem(long, clip_sec=1.3).startswith("too_long: ")
    assert "; " not in find_problem(long, clip_sec=1.0)


SIDE = 96


def film(path, pictures, sound=True, fps=25.0, **coding):
    """A video of the given pictures, with a tone as long as they last."""
    wave = path.with_suffix(".wav")
    seconds = np.arange(round(16000 * len(pictures) / fps)) / 16000
    media.write_wave(wave, (0.2 * np.sin(1400 * seconds)).astype(np.float32), 16000)
    media.write_video(path, pictures, fps, wave if sound else None, **coding)
    return path


def textured(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 220, (SIDE, SIDE, 3), dtype=np.uint8)


def rolling(count: int) -> list[np.ndarray]:
    return [np.roll(textured(), n, axis=1) for n in range(count)]


def mouth(count: int, depth: int = 30) -> list[np.ndarray]:
    """A still picture in which a mouth of a hundredth of its area changes its brightness."""
    pictures = [textured() for _ in range(count)]
    for number, picture in enumerate(pictures):
        picture[60:70, 43:53] = 90 + (depth if number % 8 < 4 else 0)
    return pictures


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_video_whose_head_is_whole_is_broken(tmp_path, share):
    whole = film(tmp_path / "a.mp4", rolling(50)).read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    path = tmp_path / "b.mp4"
    path.write_bytes(whole[: int(share * len(whole))])
    assert find_problem(path).startswith("broken: ")


def test_fewer_frames_than_declared_are_broken(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", rolling(40))
    told = media.probe(path)
    assert told.frames == 40
    for declared, word in ((42, ""), (43, "broken")):
        lying = dataclasses.replace(told, frames=declared)
        monkeypatch.setattr(media, "probe", lambda _, lying=lying: lying)
        assert find_problem(path).split(":")[0] == word
    other = path.rename(tmp_path / "a.mkv")
    assert find_problem(other) == ""


@pytest.mark.parametrize(
    ("expected", "tolerance", "word"),
    [(2.0, 1.0, ""), (1.0, 1.0, ""), (3.0, 1.0, ""), (0.95, 1.0, "too_long"),
     (3.05, 1.0, "too_short"), (2.2, 0.1, "too_short"), (2.2, 0.25, "")],
)  # fmt: skip
def test_the_expected_length_holds_on_both_sides(tmp_path, expected, tolerance, word):
    path = make_video(tmp_path / "a.mp4", frames=50)
    found = find_problem(path, expected_sec=expected, tolerance_sec=tolerance)
    assert found.split(":")[0] == word


@pytest.mark.parametrize("crf", [16, 23, 32, 40])
def test_a_still_picture_is_frozen_and_a_mouth_moves(tmp_path, crf):
    still = film(tmp_path / "still.mp4", [textured()] * 50, crf=crf)
    assert find_problem(still) == ""
    assert find_problem(still, moving=True).startswith("frozen: nothing moves in ")
    assert find_problem(film(tmp_path / "moves.mp4", mouth(50), crf=crf), moving=True) == ""


def test_black_videos(tmp_path):
    pictures = rolling(50)
    black = np.zeros_like(pictures[0])
    dim = [np.full_like(black, 2 + n % 5) for n in range(50)]
    assert find_problem(film(tmp_path / "a.mp4", dim), moving=True).startswith("black: 9 of 9 ")
    half = film(tmp_path / "b.mp4", pictures[:20] + [black] * 30)
    assert find_problem(half, moving=True).startswith("black: 5 of 9 ")
    assert find_problem(half) == ""
    fade = film(tmp_path / "c.mp4", [black] * 5 + pictures[5:])
    assert find_problem(fade, moving=True) == ""


def test_a_dark_portrait_is_not_black(tmp_path):
    pictures = [(picture // 8).astype(np.uint8) for picture in rolling(50)]
    pictures = [np.where(np.arange(SIDE)[:, None, None] < 48, p, p // 4 + 60) for p in pictures]
    path = film(tmp_path / "a.mp4", [p.astype(np.uint8) for p in pictures])
    assert find_problem(path, moving=True) == ""


def test_a_picture_too_small_for_a_face(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=25, side=32)
    assert find_problem(path) == ""
    assert find_problem(path, moving=True) == (
        f"too_small: {path} is 32x32, 64 pixels a side are needed"
    )


@pytest.mark.shared
def test_published_results_move_and_are_whole(shared_data):
    paths = sorted((shared_data / "real" / "videos").glob("*.mp4"))
    assert len(paths) > 10
    assert {
        path.name: find_problem(path, audio=False, moving=True) for path in paths
    } == dict.fromkeys((path.name for path in paths), "")
