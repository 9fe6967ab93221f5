"""Image masters: upright, square, round the face; bad files become rows with a reason."""

import struct
import zlib
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from pictures import SIDE, backdrop, prepare, row
from PIL import Image

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.faces import Box, find_portrait_faces
from sfqa.materials import images
from sfqa.materials.crop import Crop, choose_square, cuts_head


def test_a_good_picture_gives_a_whole_row(tmp_path, face):
    result, _ = prepare(tmp_path, face)
    master = Path(result["path"])
    assert master == tmp_path / "masters" / "a.png"
    assert (result["status"], result["detail"]) == ("ok", "")
    assert result["original_sha256"] == identity.sha256_file(tmp_path / "a.png")
    assert result["sha256"] == identity.sha256_file(master)
    assert result["size_bytes"] == master.stat().st_size
    assert (result["original_width"], result["original_height"]) == (SIDE, SIDE)
    assert (result["width"], result["height"]) == (128, 128)
    (box,) = find_portrait_faces(face)
    assert (result["face_x"], result["face_y"]) == (box.cx, box.cy)
    assert result["face_size"] == box.size
    assert (result["source"], result["category"], result["licence"]) == ("ai", "c", "CC0")
    assert result["prompt"] == "photo_01"


@pytest.mark.parametrize(("height", "width"), [(480, 601), (933, 500), (701, 777)])
def test_odd_sizes_are_cropped_round_the_face(tmp_path, face, height, width):
    picture = backdrop(height, width)
    top, left = height - SIDE - 90, width - SIDE - 90
    picture[top : top + SIDE, left : left + SIDE] = face
    result, master = prepare(tmp_path, picture)
    assert result["status"] == "ok"
    assert result["face_x"] == pytest.approx(left + SIDE / 2, abs=0.06 * SIDE)
    assert result["face_y"] == pytest.approx(top + SIDE / 2, abs=0.06 * SIDE)
    (box,) = find_portrait_faces(picture)
    crop = choose_square(width, height, box)
    square = picture[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    plain = Image.fromarray(square).resize((128, 128), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(master, np.asarray(plain))
    # Hair, chin and ears of the drawn head: the portrait's own frame is 0.5 +- 0.33 of its side.
    assert crop.left < left + 0.17 * SIDE < left + 0.83 * SIDE < crop.left + crop.side
    assert crop.top < top + 0.05 * SIDE < top + 0.75 * SIDE < crop.top + crop.side


def bomb(width, height):
    """The head of a PNG that claims many pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(12001, 10000), (50000, 50000)])
def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, width, height):
    (tmp_path / "x.png").write_bytes(bomb(width, height))
    (result,) = images.prepare_images([row(tmp_path / "x.png")], tmp_path / "m", 128)
    assert result["status"] == "failed"
    assert result["detail"].startswith("too_large: ")
    assert "shrink it" in result["detail"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "missing"),
        (b"", "broken"),
        (b"not a picture; really", "broken"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "broken"),
        ("cut", "broken"),
        ("half", "broken"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "broken"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "broken"),
    ],
)
def test_bad_files_are_rows_with_a_reason(tmp_path, face, content, word):
    path = tmp_path / "x.png"
    if content == "cut":
        Image.fromarray(face).save(path)
        content = path.read_bytes()[:20000]
    if content == "half":
        Image.fromarray(face).save(path, "JPEG")
        content = path.read_bytes()
        content = content[: len(content) // 2]
    if content is not None:
        path.write_bytes(content)
    (result,) = images.prepare_images([row(path)], tmp_path / "masters", 128)
    store.to_arrow(tables.IMAGES, [result])
    assert result["status"] == "failed"
    assert result["detail"].startswith(f"{word}: ")
    assert "; " not in result["detail"]
    assert "path" not in result
    assert ("original_sha256" in result) == (word == "broken")
    assert not (tmp_path / "masters").exists()
    words = {
        b"": "the file is empty",
        b"<svg": "drawings",
        b"\0\0\0\x18": "HEIC",
        b"%!PS": "format",
    }
    if isinstance(content, bytes):
        assert words.get(content[:4], "") in result["detail"]


def test_a_folder_in_place_of_a_file_is_missing(tmp_path):
    (result,) = images.prepare_images([row(tmp_path)], tmp_path / "masters", 128)
    assert result["detail"].startswith("missing: ")


def test_no_face_takes_the_middle(tmp_path):
    picture = backdrop(100, 300)
    picture[:, 100:200] = (200, 30, 30)
    result, master = prepare(tmp_path, picture, 100)
    assert (result["status"], result["detail"].split(":")[0]) == ("flawed", "no_face")
    assert "face_x" not in result
    np.testing.assert_array_equal(master, backdrop(100, 100, (200, 30, 30)))


def test_of_several_faces_the_largest_is_taken(tmp_path, face):
    picture = backdrop(SIDE, 480)
    small = np.asarray(Image.fromarray(face).resize((180, 180), Image.Resampling.LANCZOS))
    picture[30:210, 20:200] = small
    picture[:, SIDE:] = face
    result, _ = prepare(tmp_path, picture)
    assert result["status"] == "flawed"
    assert result["detail"].startswith("several_faces: 2 faces")
    assert result["face_x"] > SIDE


def test_a_far_smaller_second_face_is_no_defect(tmp_path, face):
    picture = backdrop(SIDE, 420)
    small = np.asarray(Image.fromarray(face).resize((90, 90), Image.Resampling.LANCZOS))
    picture[10:100, 20:110] = small
    picture[:, 180:] = face
    result, _ = prepare(tmp_path, picture)
    assert (result["status"], result["detail"]) == ("ok", "")


def test_a_small_face_in_a_large_picture_is_still_found(tmp_path, face):
    picture = backdrop(900, 900)
    picture[600:700, 700:800] = np.asarray(
        Image.fromarray(face).resize((100, 100), Image.Resampling.LANCZOS)
    )
    result, _ = prepare(tmp_path, picture)
    assert result["face_x"] == pytest.approx(750, abs=15)


def test_a_small_picture_says_how_small(tmp_path, face):
    result, _ = prepare(tmp_path, face, 1024)
    assert result["status"] == "flawed"
    assert result["detail"].startswith("small: the square cut out is 240 pixels wide")
    result, _ = prepare(tmp_path, face, 960)
    assert result["status"] == "ok"


def test_defects_are_joined(tmp_path):
    result, _ = prepare(tmp_path, backdrop(65, 65), 300)
    words = [part.split(":")[0] for part in result["detail"].split("; ")]
    assert words == ["no_face", "small"]


@pytest.mark.parametrize(("height", "width", "fails"), [(63, 500, True), (64, 64, False)])
def test_below_the_floor_a_picture_fails(tmp_path, height, width, fails):
    Image.fromarray(backdrop(height, width)).save(tmp_path / "a.png")
    (result,) = images.prepare_images([row(tmp_path / "a.png")], tmp_path / "m", 64)
    store.to_arrow(tables.IMAGES, [result])
    assert (result["status"] == "failed") == fails
    assert result["detail"].startswith("too_small: " if fails else "no_face: ")
    assert (result["original_width"], result["original_height"]) == (width, height)
    assert (tmp_path / "m").exists() != fails


def test_a_head_that_the_picture_cuts_is_marked(tmp_path, face):
    (box,) = find_portrait_faces(face)
    cut_off = face[round(box.y + 0.05 * box.h) :]
    result, _ = prepare(tmp_path, np.ascontiguousarray(cut_off))
    assert result["detail"].startswith("head_cut: ")
    assert not cuts_head(Crop(0, 0, SIDE), box)
    assert cuts_head(Crop(0, 0, 110), Box(5, 20, 100, 90))
    assert not cuts_head(Crop(0, 0, 125), Box(5, 20, 100, 90))


def test_a_photograph_keeps_the_whole_head(tmp_path):
    path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # 512 x 600
    (result,) = images.prepare_images([row(path)], tmp_path, 512)
    assert result["status"] == "ok"
    # By eye: cap and face from y 10 to 330, ears from x 140 to 390.
    crop = choose_square(512, 600, Box(*find_portrait_faces(images.load_picture(path))[0]))
    assert crop.top <= 10
    assert crop.top + crop.side > 330
    assert crop.left < 140 < 390 < crop.left + crop.side
    assert result["face_x"] == pytest.approx(270, abs=30)


def test_same_bytes_every_time_and_order_is_kept(tmp_path, face):
    for name in ("z", "a"):
        Image.fromarray(face).save(tmp_path / f"{name}.jpg", quality=90)
    rows = [row(tmp_path / "z.jpg", "z"), row(tmp_path / "a.jpg", "a")]
    first = images.prepare_images(rows, tmp_path / "one", 128)
    second = images.prepare_images(rows, tmp_path / "two", 128)
    assert [r["image_id"] for r in first] == ["z", "a"]
    assert [r["sha256"] for r in first] == [r["sha256"] for r in second]
    assert first[0]["sha256"] == first[1]["sha256"]


def test_an_empty_licence_is_an_empty_cell(tmp_path, face):
    Image.fromarray(face).save(tmp_path / "a.png")
    (result,) = images.prepare_images(
        [row(tmp_path / "a.png") | {"licence": ""}], tmp_path / "m", 64
    )
    assert result["licence"] is None


def test_a_name_used_twice_is_refused_by_the_table(tmp_path, face):
    Image.fromarray(face).save(tmp_path / "a.png")
    rows = images.prepare_images([row(tmp_path / "a.png")] * 2, tmp_path / "m", 64)
    with pytest.raises(UserError, match="twice"):
        store.to_arrow(tables.IMAGES, rows)


def test_too_small_masters_are_refused(tmp_path):
    with pytest.raises(ValueError, match="too small"):
        images.prepare_images([], tmp_path, 8)


def test_contact_sheet_shows_every_row(tmp_path, face):
    good, _ = prepare(tmp_path, face)
    plain, _ = prepare(tmp_path, backdrop(90, 90, (10, 20, 200)), name="b.png")
    bad = {"image_id": "bad", "status": "failed", "detail": "broken: x", "path": None}
    plain = dict(plain, path=str(tmp_path / "b.png"), image_id="a_name_far_too_long_for_its_tile")
    images.draw_contact_sheet([good, plain, bad], tmp_path / "sheet.png", columns=2, tile=100)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    gap, label = 5, 14
    assert sheet.shape == (2 * (100 + gap + label) + gap, 2 * (100 + gap) + gap, 3)
    assert tuple(sheet[gap + 50, 2 * gap + 100 + 50]) == (10, 20, 200)
    assert tuple(sheet[gap + 100, gap + 50]) == (60, 150, 80)
    assert tuple(sheet[gap + 100, 2 * gap + 150]) == (225, 160, 40)
    assert tuple(sheet[2 * gap + label + 200, gap + 50]) == (200, 60, 50)
    label_row = sheet[gap + 103 : gap + 100 + label, :, 0]
    assert label_row[:, gap : gap + 100].min() < 120
    assert np.all(label_row[:, 2 * (100 + gap) :] == 250)


def test_contact_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        images.draw_contact_sheet([], tmp_path / "sheet.png")


#: Face boxes by eye (x, y, side) and the top of the hair, in pixels of the files.
BY_EYE = {
    "st_art_14": (145, 208, 225, 10),
    "sonic_anime1": (150, 180, 185, 40),
    "hallo2_2": (170, 133, 183, 25),
    "st_full_body_2": (140, 160, 260, 25),
    "skyreels_12": (583, 116, 332, 0),
    "echomimic_a": (300, 400, 800, 40),
}


@pytest.mark.shared
def test_the_twenty_real_portraits(tmp_path, shared_data):
    paths = sorted((shared_data / "real" / "images").iterdir())
    rows = images.prepare_images([row(path, path.stem) for path in paths], tmp_path, 256)
    assert len(rows) == 20
    # The hat of one is cut by the painter.
    assert [r["image_id"] for r in rows if r["status"] != "ok"] == ["st_art_19"]
    for result in rows:
        size = result["face_size"]
        box = Box(result["face_x"] - size / 2, result["face_y"] - size / 2, size, size)
        crop = choose_square(result["original_width"], result["original_height"], box)
        assert crop.left <= box.x
        assert box.x + size <= crop.left + crop.side
        assert crop.top <= box.y
        assert box.y + size <= crop.top + crop.side
        if result["image_id"] in BY_EYE:
            x, y, side, hair = BY_EYE[result["image_id"]]
            assert box.cx == pytest.approx(x + side / 2, abs=0.1 * side)
            assert box.cy == pytest.approx(y + side / 2, abs=0.1 * side)
            assert size == pytest.approx(side, rel=0.12)
            assert crop.top <= hair


@pytest.mark.shared
@pytest.mark.parametrize("name", ["st_art_14.png", "hallo2_2.jpg", "st_full_body_2.png"])
def test_in_a_wider_picture_the_whole_head_is_kept(shared_data, name):
    """Big hair, a bun and a pony tail, with so much round them that the crop has to choose."""
    picture = images.load_picture(shared_data / "real" / "images" / name)
    height, width = picture.shape[:2]
    wide = cv2.copyMakeBorder(picture, height, height, width, width, cv2.BORDER_REPLICATE)
    crop = choose_square(3 * width, 3 * height, images.find_faces(wide)[0])
    assert crop.side < 1.4 * width
    # Hair and chin by eye, in shares of the file: left, right, top, bottom.
    head = {
        "st_art_14.png": (0.06, 0.87, 0.02, 0.92),
        "hallo2_2.jpg": (0.18, 0.84, 0.06, 0.70),
        "st_full_body_2.png": (0.30, 0.82, 0.03, 0.39),
    }[name]
    assert crop.left <= width * (1 + head[0])
    assert crop.left + crop.side >= width * (1 + head[1])
    assert crop.top <= height * (1 + head[2])
    assert crop.top + crop.side >= height * (1 + head[3])
