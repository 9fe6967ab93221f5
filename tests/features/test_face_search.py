"""A face that is followed has the box that a search of the whole picture gives it."""

import cv2
import numpy as np
import pytest

from demo_material import load_portrait
from sfqa import faces, media
from sfqa.faces import Box
from sfqa.features.face_track import FaceSearch

FACE, OTHER = Box(10, 10, 40, 40), Box(100, 10, 30, 30)


@pytest.fixture(scope="module")
def portrait():
    return load_portrait(3, 256)


def shifted(image, pixels):
    matrix = np.array([[1.0, 0.0, pixels], [0.0, 1.0, pixels / 2]])
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("pixels", [0, 1, 3, 8])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_followed_face_has_the_detectors_box(portrait, pixels, factor):
    first = np.repeat(np.repeat(portrait, factor, 0), factor, 1)
    then = shifted(first, pixels * factor)
    (last,), (wanted,) = faces.detect_faces(first), faces.detect_faces(then)
    assert faces.follow_face(then, last) == wanted


def test_no_face_is_followed_to_another_place_or_size(portrait):
    (face,) = faces.detect_faces(portrait)
    assert faces.follow_face(portrait, face) == face
    assert faces.follow_face(portrait, face._replace(x=face.x + face.w)) is None
    assert faces.follow_face(portrait, face._replace(w=face.w / 3, h=face.h / 3)) is None
    assert faces.follow_face(portrait, face._replace(w=face.w * 3, h=face.h * 3)) is None
    assert faces.follow_face(np.zeros_like(portrait), face) is None


def test_two_faces_in_reach_are_not_followed(portrait):
    both = np.concatenate([portrait, portrait], axis=1)
    found = faces.detect_faces(both)
    assert len(found) == 2
    assert faces.follow_face(both, found[0]) is None


class Eyes:
    """A detector and a follower that write down what they are asked."""

    def __init__(self, found, sure=True):
        self.found, self.sure, self.asked = found, sure, []

    def detect(self, image):
        self.asked.append("all")
        return self.found

    def follow(self, image, last):
        self.asked.append(last)
        return last if self.sure else None


@pytest.mark.parametrize(
    ("found", "sure", "wanted"),
    [
        ([FACE], True, ["all", *[FACE] * 24, "all", FACE]),
        ([FACE], False, ["all", *[FACE, "all"] * 26]),
        ([FACE, OTHER], True, ["all"] * 27),
        ([], True, ["all"] * 27),
    ],
)
def test_only_a_face_alone_is_followed_and_never_for_a_second(found, sure, wanted):
    eyes = Eyes(found, sure)
    search = FaceSearch(eyes.detect, eyes.follow)
    assert [search.find_faces(n, np.zeros((8, 8, 3), np.uint8)) for n in range(27)] == [found] * 27
    assert eyes.asked == wanted


def test_frames_far_apart_are_each_searched_whole():
    eyes = Eyes([FACE])
    search = FaceSearch(eyes.detect, eyes.follow)
    for frame in (0, 25, 50, 52, 75):
        search.find_faces(frame, np.zeros((8, 8, 3), np.uint8))
    assert eyes.asked == ["all", "all", "all", FACE, "all"]


def test_a_detector_that_cannot_follow_searches_every_picture():
    eyes = Eyes([FACE])
    search = FaceSearch(eyes.detect)
    for frame in range(3):
        search.find_faces(frame, np.zeros((8, 8, 3), np.uint8))
    assert eyes.asked == ["all"] * 3


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["fantasy_30", "float_hallo2img1_escale1", "sadtalker_art_7_poem2"]
)
def test_on_real_videos_the_boxes_are_the_same(shared_data, name):
    frames = media.read_frames(shared_data / "real" / "videos" / f"{name}.mp4", list(range(15)))
    follow = []

    def followed(image, last):
        follow.append(faces.follow_face(image, last))
        return follow[-1]

    search = FaceSearch(faces.detect_faces, followed)
    assert [search.find_faces(n, f) for n, f in enumerate(frames)] == [
        faces.detect_faces(f) for f in frames
    ]
    assert sum(box is not None for box in follow) >= 10
