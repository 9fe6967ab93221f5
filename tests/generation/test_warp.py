import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from sfqa.generation.adapters import procedural
from sfqa.generation.anatomy import Anatomy, Eye, locate_face
from sfqa.generation.warp import Pose, Puppet

# where the ellipses of `plain_face` are
FACE = Anatomy(
    0.5, 0.5, 0.47, 0.5, 165 / 256, 0.1, 0.0,
    (Eye(105 / 256, 108 / 256, 0.05, 0.025), Eye(151 / 256, 108 / 256, 0.05, 0.025)), True,
)  # fmt: skip

#: Mean grey level of 4 x 4 tiles of three poses of `plain_face`, by VERSION: who changes the
#: pictures raises the VERSION of the adapter and writes its new numbers down here.
GOLDEN: dict[int, list[list[float]]] = {
    1: [
        [
            143.94, 172.14, 172.14, 145.63, 162.74, 139.64, 140.96, 163.12,
            164.51, 173.58, 173.52, 166.2, 145.9, 148.44, 146.89, 147.59,
        ],
        [
            143.94, 172.14, 172.14, 145.63, 161.88, 146.52, 147.77, 162.33,
            164.51, 174.0, 174.0, 166.2, 144.94, 160.41, 159.64, 146.63,
        ],
        [
            150.72, 164.3, 159.81, 148.14, 165.51, 148.93, 148.96, 165.98,
            167.07, 171.21, 169.94, 165.71, 145.15, 156.38, 156.23, 145.49,
        ],
    ],
}  # fmt: skip


def test_the_still_pose_is_the_image(plain_face):
    np.testing.assert_array_equal(Puppet(plain_face, FACE).apply_pose(Pose()), plain_face)


def test_the_mouth_opens_more_and_more_and_moves_nothing_above_the_nose(plain_face):
    puppet = Puppet(plain_face, FACE)
    dark = [
        int(
            (cv2.cvtColor(puppet.apply_pose(Pose(mouth=m)), cv2.COLOR_RGB2GRAY)[160:190] < 60).sum()
        )
        for m in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert all(a < b for a, b in itertools.pairwise(dark))
    assert dark[-1] > 100
    wide = puppet.apply_pose(Pose(mouth=1.0))
    np.testing.assert_array_equal(wide[:135], plain_face[:135])
    # the chin goes down: its lower edge is skin where grey was
    chin = plain_face[:, 128, 0].astype(int)
    assert np.flatnonzero(chin > 160).max() + 4 < np.flatnonzero(wide[:, 128, 0] > 160).max()


def test_the_picture_is_symmetric_where_the_face_is(plain_face):
    posed = Puppet(plain_face, FACE).apply_pose(Pose(mouth=0.8)).astype(int)
    mirrored = posed[:, 1:][:, ::-1]
    assert np.abs(posed[:, 1:] - mirrored).max() <= 2


def test_lids_close_over_the_eyes_only(plain_face):
    shut = Puppet(plain_face, FACE).apply_pose(Pose(lids=1.0))
    pupils = [shut[108, x].astype(int).sum() for x in (105, 151)]
    assert min(pupils) > 3 * 110
    np.testing.assert_array_equal(shut[130:], plain_face[130:])
    np.testing.assert_array_equal(shut[:85], plain_face[:85])


def test_the_head_moves_by_what_the_pose_says(plain_face):
    moved = Puppet(plain_face, FACE).apply_pose(Pose(dx=10 / 256, dy=-6 / 256))
    np.testing.assert_array_equal(moved[20:200, 30:240], plain_face[26:206, 20:230])


@pytest.mark.parametrize("side", [32, 96])
def test_faces_at_the_border_and_tiny_pictures_do_not_fail(plain_face, side):
    small = cv2.resize(plain_face, (side, side))
    for place in (0.0, 0.5, 1.0):
        away = FACE._replace(cx=place, cy=place, mouth_x=place, mouth_y=place, tilt_rad=0.3)
        posed = Puppet(small, away).apply_pose(Pose(0.9, 0.9, 0.01, 0.01, 0.05, 1.05))
        assert posed.shape == small.shape


def test_locate_finds_a_drawn_face(portrait):
    with Image.open(portrait) as picture:
        image = np.asarray(picture.convert("RGB"))
    found = locate_face(image)
    assert found.detected
    assert 0.35 < found.cx < 0.65
    assert found.cy < found.mouth_y < 0.8
    left, right = found.eyes
    assert left.cx < found.mouth_x < right.cx
    assert max(left.cy, right.cy) < found.cy
    # the same shares at any size
    larger = locate_face(cv2.resize(image, (640, 640), interpolation=cv2.INTER_CUBIC))
    np.testing.assert_allclose(larger[:6], found[:6], atol=0.02)


def test_no_face_means_the_middle_and_no_eyes():
    found = locate_face(np.full((200, 200, 3), 90, np.uint8))
    assert not found.detected
    assert not found.eyes
    assert (found.cx, round(found.mouth_x, 6)) == (0.5, 0.5)


def test_golden_pictures(plain_face):
    puppet = Puppet(plain_face, FACE)
    poses = (Pose(mouth=0.6), Pose(lids=0.7), Pose(0.3, 0.2, 0.01, -0.005, 0.03, 1.02))
    tiles = [
        cv2.resize(
            cv2.cvtColor(puppet.apply_pose(p), cv2.COLOR_RGB2GRAY).astype(np.float64)[
                64:192, 64:192
            ],
            (4, 4),
            interpolation=cv2.INTER_AREA,
        )
        for p in poses
    ]
    got = [[round(float(v), 2) for v in tile.ravel()] for tile in tiles]
    assert procedural.VERSION in GOLDEN, "write the new numbers down beside the old"
    np.testing.assert_allclose(got, GOLDEN[procedural.VERSION], atol=0.25, err_msg=str(got))
