import pytest

from sfqa.generation.check import problem


def test_a_whole_video_has_no_problem(tmp_path, video_maker):
    assert problem(video_maker(tmp_path / "a.mp4", 25), clip_sec=1.0) == ""


def test_a_shorter_one_is_for_the_raters_to_judge(tmp_path, video_maker):
    assert problem(video_maker(tmp_path / "a.mp4", 25), clip_sec=9.0) == ""


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "no_video: the file"), (b"not a video at all" * 50, "broken: ")],
)
def test_files_that_are_no_video(tmp_path, content, word):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert problem(path).startswith(word)


def test_a_video_cut_in_the_middle_is_broken(tmp_path, video_maker):
    whole = video_maker(tmp_path / "a.mp4", 50).read_bytes()
    path = tmp_path / "b.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert problem(path).split(":")[0] == "broken"


def test_no_sound_no_picture(tmp_path, video_maker):
    silent = video_maker(tmp_path / "a.mp4", 25, sound=False)
    assert problem(silent).startswith("no_audio: ")
    assert problem(silent, audio=False) == ""
    assert problem(silent.with_suffix(".wav")).startswith("no_picture: ")


def test_lengths(tmp_path, video_maker):
    assert problem(video_maker(tmp_path / "a.mp4", 5)).startswith("too_short: ")
    long = video_maker(tmp_path / "b.mp4", 60)
    assert problem(long, clip_sec=1.5) == ""
    assert problem(long, clip_sec=1.3).startswith("too_long: ")
    assert "; " not in problem(long, clip_sec=1.0)
