"""Pictures of every kind that is read: turned, transparent, deep, animated, with a profile."""

import struct

import numpy as np
import pytest
from pictures import SIDE, backdrop, prepare
from PIL import Image, ImageCms

from sfqa.materials import images


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
    whole = images.load_picture(tmp_path / "a.png")
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
    assert tuple(images.load_picture(tmp_path / "p.png")[0, 0]) == (244, 244, 244)
    image.convert("L").save(tmp_path / "l.png")
    grey = images.load_picture(tmp_path / "l.png")
    assert grey.shape == (SIDE, SIDE, 3)
    assert np.all(grey[..., 0] == grey[..., 2])
    image.convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert np.abs(images.load_picture(tmp_path / "c.jpg").astype(int) - face).mean() < 8


def ramp16():
    return np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)


@pytest.mark.parametrize("top", [65535, 200])
def test_sixteen_bits_become_eight(tmp_path, top):
    ramp = (ramp16().astype(float) * (top / 65535)).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = images.load_picture(tmp_path / "deep.png")
    np.testing.assert_allclose(picture[..., 1], ramp / 257, atol=0.51)


@pytest.mark.parametrize(("factor", "top"), [(255, 1.0), (1, 200.0)])
def test_floating_point_pictures_keep_their_tones(tmp_path, factor, top):
    ramp = (ramp16() / 65535 * top).astype(np.float32)
    Image.fromarray(ramp).save(tmp_path / "f.tif")
    picture = images.load_picture(tmp_path / "f.tif")
    np.testing.assert_allclose(picture[..., 0], ramp * factor, atol=0.51)


def test_grey_with_alpha_and_rgb_with_a_clear_colour(tmp_path):
    grey = np.dstack([np.full((8, 8), 100), np.full((8, 8), 51)]).astype(np.uint8)
    Image.fromarray(grey, "LA").save(tmp_path / "la.png")
    expected = 100 * 0.2 + 244 * 0.8
    np.testing.assert_allclose(images.load_picture(tmp_path / "la.png"), expected, atol=1)
    flat = backdrop(8, 8, (9, 8, 7))
    flat[:4] = 33
    Image.fromarray(flat).save(tmp_path / "key.png", transparency=(9, 8, 7))
    picture = images.load_picture(tmp_path / "key.png")
    assert np.all(picture[:4] == 33)
    assert np.all(picture[4:] == 244)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, name):
    first, second = (Image.new("RGB", (80, 70), c) for c in ((0, 128, 0), (250, 0, 0)))
    options = {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=[second], **options)
    with Image.open(tmp_path / name) as opened:
        assert opened.n_frames == 2
    assert np.all(images.load_picture(tmp_path / name) == (0, 128, 0))


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
    np.testing.assert_allclose(images.load_picture(tmp_path / "a.png")[5, 5], expected, atol=1)


def test_an_srgb_profile_changes_nothing_and_a_broken_one_counts_as_srgb(tmp_path, face):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("s.png", srgb), ("b.png", b"no profile"), ("g.png", srgb[:200])):
        Image.fromarray(face).save(tmp_path / name, icc_profile=profile)
        assert np.abs(images.load_picture(tmp_path / name).astype(int) - face).max() <= 1
    Image.fromarray(face).convert("L").save(tmp_path / "l.png", icc_profile=srgb)
    grey = images.load_picture(
        tmp_path / "l.png"
    )  # a colour profile on a grey picture does not fit
    np.testing.assert_array_equal(grey[..., 0], np.asarray(Image.fromarray(face).convert("L")))
