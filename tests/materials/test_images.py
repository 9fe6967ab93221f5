"""Image masters: upright, square, round the face; bad files become rows with a reason."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.faces import Box, detect
from sfqa.materials import images, portraits
from sfqa.materials.portraits_traits import draw_traits

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real" / "images"
SIDE = 240


@pytest.fixture(scope="module")
def face():
    """A portrait (240, 240, 3) with one face."""
    traits = draw_traits("photo_man_young", 1, "portrait03", 2)
    return portraits.render(traits, 1, "portrait03", SIDE, SIDE)


def row(path, name="a"):
    return {"image_id": name, "path": str(path), "source": "ai", "category": "c", "licence": "CC0"}


def prepare(tmp_path, picture, size=128, name="a.png", **options):
    """Save a picture, prepare it, check the row against the schema, return row and master."""
    path = tmp_path / name
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    (result,) = images.prepare_images([row(path)], tmp_path / "masters", size)
    store.to_arrow(tables.IMAGES, [result])
    with Image.open(result["path"]) as master:
        assert (master.format, master.mode, master.size) == ("PNG", "RGB", (size, size))
        return result, np.asarray(master)


def backdrop(height, width, colour=(90, 140, 120)):
    return np.tile(np.array(colour, np.uint8), (height, width, 1))


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
    (box,) = detect(face)
    assert (result["face_x"], result["face_y"]) == (box.cx, box.cy)
    assert result["face_size"] == box.size
    assert (result["source"], result["category"], result["licence"]) == ("ai", "c", "CC0")


@pytest.mark.parametrize(("height", "width"), [(240, 601), (533, 240), (401, 777)])
def test_odd_sizes_are_cropped_round_the_face(tmp_path, face, height, width):
    picture = backdrop(height, width)
    top, left = height - SIDE, width - SIDE
    picture[top:, left:] = face
    result, master = prepare(tmp_path, picture)
    assert result["status"] == "ok"
    assert result["face_x"] == pytest.approx(left + SIDE / 2, abs=0.06 * SIDE)
    assert result["face_y"] == pytest.approx(top + SIDE / 2, abs=0.06 * SIDE)
    (box,) = detect(master)
    assert box.cx / 128 == pytest.approx(0.5, abs=0.06)
    assert box.size / 128 == pytest.approx(1 / images.ROOM, abs=0.08)


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_is_applied(tmp_path, face, orientation):
    # How a camera stores an upright picture under each orientation (EXIF 2.3, tag 0x0112).
    stored = {
        2: face[:, ::-1],
        3: face[::-1, ::-1],
        4: face[::-1],
        5: face.transpose(1, 0, 2),
        6: np.rot90(face, 1),
        7: np.rot90(face.transpose(1, 0, 2), 2),
        8: np.rot90(face, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright, master = prepare(tmp_path, face)
    turned, other = prepare(
        tmp_path, Image.fromarray(np.ascontiguousarray(stored)), name="b.png", exif=exif
    )
    np.testing.assert_array_equal(master, other)
    assert turned["face_x"] == upright["face_x"]


def test_sizes_are_those_of_the_upright_picture(tmp_path, face):
    picture = backdrop(SIDE, 300)
    picture[:, :SIDE] = face
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(picture, 1)))
    result, _ = prepare(tmp_path, stored, exif=exif)
    assert (result["original_width"], result["original_height"]) == (300, SIDE)


def test_transparency_becomes_light_grey(tmp_path, face):
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[:20] = 0
    alpha[20:40] = 128
    result, master = prepare(tmp_path, np.concatenate([face, alpha], axis=2), SIDE)
    assert result["status"] == "ok"
    whole = images.load(tmp_path / "a.png")
    assert np.all(whole[:20] == 244)
    np.testing.assert_allclose(
        whole[20:40], face[20:40] * (128 / 255) + 244 * (127 / 255), atol=1.01
    )
    np.testing.assert_array_equal(whole[40:], face[40:])
    assert master.shape == (SIDE, SIDE, 3)


def test_palette_transparency_grey_and_cmyk_are_read(tmp_path, face):
    image = Image.fromarray(face)
    palette = image.quantize(32)
    index = palette.getpixel((0, 0))
    palette.save(tmp_path / "p.png", transparency=index)
    assert tuple(images.load(tmp_path / "p.png")[0, 0]) == (244, 244, 244)
    image.convert("L").save(tmp_path / "l.png")
    grey = images.load(tmp_path / "l.png")
    assert grey.shape == (SIDE, SIDE, 3)
    assert np.all(grey[..., 0] == grey[..., 2])
    image.convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert np.abs(images.load(tmp_path / "c.jpg").astype(int) - face).mean() < 8


def test_sixteen_bits_become_eight(tmp_path):
    ramp = np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = images.load(tmp_path / "deep.png")
    np.testing.assert_allclose(picture[..., 1], ramp / 257, atol=0.51)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "missing"),
        (b"", "broken"),
        (b"not a picture; really", "broken"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "broken"),
        ("cut", "broken"),
    ],
)
def test_bad_files_are_rows_with_a_reason(tmp_path, face, content, word):
    path = tmp_path / "x.png"
    if content == "cut":
        Image.fromarray(face).save(path)
        content = path.read_bytes()[:20000]
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
    result, _ = prepare(tmp_path, backdrop(5, 5), 64)
    words = [part.split(":")[0] for part in result["detail"].split("; ")]
    assert words == ["no_face", "small"]


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


@st.composite
def pictures_with_a_face(draw):
    width, height = draw(st.integers(8, 3000)), draw(st.integers(8, 3000))
    size = draw(st.floats(4, min(width, height)))
    x = draw(st.floats(0, 1)) * (width - size)
    y = draw(st.floats(0, 1)) * (height - size)
    return width, height, Box(x, y, size, size)


@given(pictures_with_a_face())
def test_the_crop_is_a_square_in_the_picture_that_holds_the_face(case):
    width, height, box = case
    left, top, side = images.square_round(width, height, box)
    assert all(isinstance(v, int) for v in (left, top, side))
    assert left >= 0
    assert top >= 0
    assert left + side <= width
    assert top + side <= height
    assert left <= box.x + 1
    assert box.x + box.w <= left + side + 1
    assert top <= box.y + 1
    assert box.y + box.h <= top + side + 1
    assert side == min(width, height) or side >= 2.2 * box.size - 0.5
    assert side <= min(width, height)


@given(pictures_with_a_face(), st.integers(0, 500), st.integers(0, 500))
def test_far_from_the_edges_the_crop_moves_with_the_face(case, du, dv):
    _, _, box = case
    wide, high = 3 * 3000 + 4000, 3 * 3000 + 4000
    still = Box(box.x + 4000, box.y + 4000, box.w, box.h)
    moved = still._replace(x=still.x + du, y=still.y + dv)
    a, b = images.square_round(wide, high, still), images.square_round(wide, high, moved)
    assert a.side == b.side
    assert abs(b.left - a.left - du) <= 1
    assert abs(b.top - a.top - dv) <= 1
    assert abs(a.left + a.side / 2 - still.cx) <= 1


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_without_a_face_the_crop_is_the_middle(width, height):
    left, top, side = images.square_round(width, height, None)
    assert side == min(width, height)
    assert abs(2 * left + side - width) <= 1
    assert abs(2 * top + side - height) <= 1


def test_contact_sheet_shows_every_row(tmp_path, face):
    good, _ = prepare(tmp_path, face)
    plain, _ = prepare(tmp_path, backdrop(90, 90, (10, 20, 200)), name="b.png")
    bad = {"image_id": "bad", "status": "failed", "detail": "broken: x", "path": None}
    plain = dict(plain, path=str(tmp_path / "b.png"), image_id="a_name_far_too_long_for_its_tile")
    images.contact_sheet([good, plain, bad], tmp_path / "sheet.png", columns=2, tile=100)
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
        images.contact_sheet([], tmp_path / "sheet.png")


@pytest.mark.shared
def test_real_portraits_all_have_a_master(tmp_path):
    if not REAL.is_dir():
        pytest.skip("the real data beside the checkout is absent")
    names = ["st_art_10.png", "st_full_body_2.png", "skyreels_12.png", "hallo3_0018.jpg"]
    rows = [row(REAL / name, Path(name).stem) for name in names]
    for result in images.prepare_images(rows, tmp_path, 256):
        assert (result["status"], result["detail"]) == ("ok", "")
