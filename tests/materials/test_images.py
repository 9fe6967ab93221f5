"""Image masters: upright, square, round the face; bad files become rows with a reason."""

import struct
import zlib
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.faces import Box, find_portrait
from sfqa.materials import images, portraits
from sfqa.materials.crop import LIFT, ROOM, Crop, cut, cuts_head, square_round
from sfqa.materials.portraits_traits import draw_traits

SIDE = 240


@pytest.fixture(scope="module")
def face():
    """A portrait (240, 240, 3) with one face."""
    traits = draw_traits("photo_man_young", 1, "portrait03", 2)
    return portraits.render(traits, 1, "portrait03", SIDE, SIDE)


def row(path, name="a"):
    return {
        "image_id": name,
        "path": str(path),
        "source": "ai",
        "category": "c",
        "licence": "CC0",
        "prompt": "photo_01",
    }


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
    (box,) = find_portrait(face)
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
    (box,) = find_portrait(picture)
    crop = square_round(width, height, box)
    square = picture[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    plain = Image.fromarray(square).resize((128, 128), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(master, np.asarray(plain))
    # Hair, chin and ears of the drawn head: the portrait's own frame is 0.5 +- 0.33 of its side.
    assert crop.left < left + 0.17 * SIDE < left + 0.83 * SIDE < crop.left + crop.side
    assert crop.top < top + 0.05 * SIDE < top + 0.75 * SIDE < crop.top + crop.side


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_is_applied(tmp_path, face, orientation):
    # How a camera stores an upright picture under each orientation (EXIF 2.3, tag 0x0112).
    stored = {
        1: face,
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


def ramp16():
    return np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)


@pytest.mark.parametrize("top", [65535, 200])
def test_sixteen_bits_become_eight(tmp_path, top):
    ramp = (ramp16().astype(float) * (top / 65535)).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = images.load(tmp_path / "deep.png")
    np.testing.assert_allclose(picture[..., 1], ramp / 257, atol=0.51)


@pytest.mark.parametrize(("factor", "top"), [(255, 1.0), (1, 200.0)])
def test_floating_point_pictures_keep_their_tones(tmp_path, factor, top):
    ramp = (ramp16() / 65535 * top).astype(np.float32)
    Image.fromarray(ramp).save(tmp_path / "f.tif")
    picture = images.load(tmp_path / "f.tif")
    np.testing.assert_allclose(picture[..., 0], ramp * factor, atol=0.51)


def test_grey_with_alpha_and_rgb_with_a_clear_colour(tmp_path):
    grey = np.dstack([np.full((8, 8), 100), np.full((8, 8), 51)]).astype(np.uint8)
    Image.fromarray(grey, "LA").save(tmp_path / "la.png")
    expected = 100 * 0.2 + 244 * 0.8
    np.testing.assert_allclose(images.load(tmp_path / "la.png"), expected, atol=1)
    flat = backdrop(8, 8, (9, 8, 7))
    flat[:4] = 33
    Image.fromarray(flat).save(tmp_path / "key.png", transparency=(9, 8, 7))
    picture = images.load(tmp_path / "key.png")
    assert np.all(picture[:4] == 33)
    assert np.all(picture[4:] == 244)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, name):
    first, second = (Image.new("RGB", (80, 70), c) for c in ((0, 128, 0), (250, 0, 0)))
    options = {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=[second], **options)
    with Image.open(tmp_path / name) as opened:
        assert opened.n_frames == 2
    assert np.all(images.load(tmp_path / name) == (0, 128, 0))


def s15(value):
    return struct.pack(">i", round(value * 65536))


def swapped_profile():
    """An RGB matrix profile (ICC.1:2010, 10.*) that is sRGB with red and green exchanged."""
    xyz = {  # sRGB primaries adapted to D50
        "r": (0.38515, 0.71687, 0.09708),
        "g": (0.43607, 0.22249, 0.01392),
        "b": (0.14307, 0.06061, 0.71410),
    }
    white = (0.9642, 1.0, 0.8249)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    blocks = {b"desc": text + bytes(-len(text) % 4), b"wtpt": None}
    blocks[b"wtpt"] = b"XYZ " + bytes(4) + b"".join(map(s15, white))
    for name, value in xyz.items():
        blocks[name.encode() + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(map(s15, value))
        blocks[name.encode() + b"TRC"] = curve
    place, directory, data = 128 + 4 + 12 * len(blocks), b"", b""
    for tag, block in blocks.items():
        directory += tag + struct.pack(">II", place + len(data), len(block))
        data += block
    header = struct.pack(
        ">I4sI4s4s4s", place + len(data), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(s15, white))
    header += bytes(128 - len(header))
    return header + struct.pack(">I", len(blocks)) + directory + data


@pytest.mark.parametrize("alpha", [False, True])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path, alpha):
    image = Image.new("RGBA" if alpha else "RGB", (80, 80), (230, 40, 90))
    image.save(tmp_path / "a.png", icc_profile=swapped_profile())
    linear = (np.array([40, 230, 90]) / 255) ** 2.2
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    np.testing.assert_allclose(images.load(tmp_path / "a.png")[5, 5], expected, atol=1)


def test_an_srgb_profile_changes_nothing_and_a_broken_one_counts_as_srgb(tmp_path, face):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("s.png", srgb), ("b.png", b"no profile"), ("g.png", srgb[:200])):
        Image.fromarray(face).save(tmp_path / name, icc_profile=profile)
        assert np.abs(images.load(tmp_path / name).astype(int) - face).max() <= 1
    Image.fromarray(face).convert("L").save(tmp_path / "l.png", icc_profile=srgb)
    grey = images.load(tmp_path / "l.png")  # a colour profile on a grey picture does not fit
    np.testing.assert_array_equal(grey[..., 0], np.asarray(Image.fromarray(face).convert("L")))


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
    (box,) = find_portrait(face)
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
    crop = square_round(512, 600, Box(*find_portrait(images.load(path))[0]))
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
    left, top, side = square_round(width, height, box)
    assert all(isinstance(v, int) for v in (left, top, side))
    assert left >= 0
    assert top >= 0
    assert left + side <= width
    assert top + side <= height
    assert left <= box.x + 1
    assert box.x + box.w <= left + side + 1
    assert top <= box.y + 1
    assert box.y + box.h <= top + side + 1
    assert side == min(width, height) or side == round(ROOM * box.size)
    assert side <= min(width, height)


@given(pictures_with_a_face(), st.integers(0, 500), st.integers(0, 500))
def test_far_from_the_edges_the_crop_moves_with_the_face(case, du, dv):
    _, _, box = case
    wide, high = 3 * 3000 + 4000, 3 * 3000 + 4000
    still = Box(box.x + 4000, box.y + 4000, box.w, box.h)
    moved = still._replace(x=still.x + du, y=still.y + dv)
    a, b = square_round(wide, high, still), square_round(wide, high, moved)
    assert a.side == b.side
    assert abs(b.left - a.left - du) <= 1
    assert abs(b.top - a.top - dv) <= 1
    assert abs(a.left + a.side / 2 - still.cx) <= 1
    assert abs(a.top + a.side / 2 - (still.cy - LIFT * still.size)) <= 1


@given(pictures_with_a_face(), st.floats(1, 3))
def test_a_larger_face_never_gives_a_smaller_crop(case, grow):
    width, height, box = case
    larger = Box(box.x, box.y, box.w * grow, box.h * grow)
    assert square_round(width, height, box).side <= square_round(width, height, larger).side


@given(pictures_with_a_face())
def test_the_crop_is_mirrored_with_the_picture(case):
    width, height, box = case
    mirrored = square_round(width, height, box._replace(x=width - box.x - box.w))
    crop = square_round(width, height, box)
    assert abs(width - crop.left - crop.side - mirrored.left) <= 1
    assert mirrored[1:] == crop[1:]


@pytest.mark.parametrize("crop", [Crop(0, 0, 50), Crop(7, 3, 40), Crop(10, 0, 50)])
@pytest.mark.parametrize("size", [16, 50, 111])
def test_cut_is_pillows_lanczos_of_the_square(crop, size):
    picture = np.random.default_rng(3).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    plain = Image.fromarray(picture).crop(box).resize((size, size), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(cut(picture, crop, size)), np.asarray(plain))


@pytest.mark.parametrize("period", [2, 3, 5])
def test_shrinking_does_not_alias(period):
    """Stripes far finer than the master's pixels become their mean, not moiré."""
    stripes = (np.arange(1800) % period < period / 2) * 255.0
    picture = np.repeat(np.tile(stripes, (1800, 1))[..., None], 3, axis=2).astype(np.uint8)
    inner = np.asarray(cut(picture, Crop(0, 0, 1800), 150))[5:-5, 5:-5]
    np.testing.assert_allclose(inner, stripes.mean(), atol=3)


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_without_a_face_the_crop_is_the_middle(width, height):
    left, top, side = square_round(width, height, None)
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
        crop = square_round(result["original_width"], result["original_height"], box)
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
    picture = images.load(shared_data / "real" / "images" / name)
    height, width = picture.shape[:2]
    wide = cv2.copyMakeBorder(picture, height, height, width, width, cv2.BORDER_REPLICATE)
    crop = square_round(3 * width, 3 * height, images.find_faces(wide)[0])
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
