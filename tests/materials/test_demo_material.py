"""The demo's material: valid sheets, every row ok, and faces and phrases where they truly are."""

import os

import numpy as np
import pytest

import demo_material
from sfqa import faces, sheets
from sfqa.materials.clips import prepare_clips
from sfqa.materials.images import prepare_images
from sfqa.reference import ROOT

#: Variants of a portrait: none of them moves the face, except the mirror image.
VARIANTS = {
    "as drawn": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "dark and warm": lambda picture: (picture * np.array([0.7, 0.6, 0.5])).astype(np.uint8),
}


def test_the_files_are_small_and_all_of_them_are_in_a_sheet():
    files = [path for path in demo_material.FOLDER.iterdir() if path.is_file()]
    named = {row["path"] for kind in ("images", "clips") for row in demo_material.read_rows(kind)}
    sheet_names = {"images.csv", "clips.csv", "pairs.csv", "other_pairs.csv"}
    assert {path.name for path in files} == named | sheet_names | {"README.md"}
    assert max(path.stat().st_size for path in files) <= 400_000
    assert sum(path.stat().st_size for path in files) <= 3_000_000


def test_every_portrait_is_ok_from_its_sheet(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = sheets.read_sheet(
        "resources/demo/images.csv", sheets.IMAGE_COLUMNS, sheets.IMAGE_CHOICES
    )
    prepared = prepare_images(rows, tmp_path, 1024)
    assert [(row["status"], row["detail"]) for row in prepared] == [("ok", "")] * 8
    assert {row["source"] for row in prepared} == {"synthetic"}
    looks = {row["category"].split("_")[0] for row in prepared}
    assert looks == {"photo", "illustrated"}


@pytest.mark.thorough
def test_every_clip_is_ok_from_its_sheet_and_cut_outside_its_phrases(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = sheets.read_sheet("resources/demo/clips.csv", sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES)
    prepared = prepare_clips(rows, tmp_path, 48000)
    assert [(row["status"], row["detail"]) for row in prepared] == [("ok", "")] * 6
    assert {row["origin"] for row in prepared} == {"synthetic"}
    assert {row["language"] for row in prepared} == {"zh", "en"}
    for row in prepared:
        for start, end in demo_material.PHRASES[row["clip_id"]]:
            assert not start < row["cut_start_sec"] < end
            assert not start < row["cut_end_sec"] < end


def _check_face(picture: np.ndarray, face: demo_material.Face, scale: float) -> None:
    """One face, its nose and mouth where they were drawn; ``scale``: pixels per pixel of FACES."""
    detected = faces.detect_faces(picture)
    assert len(detected) == 1
    (box,) = detected
    assert abs(box.cx - face.nose[0] * scale) < 0.10 * box.w
    assert abs(box.cy - face.nose[1] * scale) < 0.15 * box.h
    mouth = faces.locate_mouth(box)
    assert abs(mouth.cx - face.mouth[0] * scale) < mouth.w / 4
    assert abs(mouth.cy - face.mouth[1] * scale) < mouth.h / 2


def _mirrored(face: demo_material.Face) -> demo_material.Face:
    side = demo_material.SIDE
    left, top, right, bottom = face.lips
    return demo_material.Face(
        (side - face.nose[0], face.nose[1]), (side - face.mouth[0], face.mouth[1]),
        (side - right, top, side - left, bottom),
    )  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", demo_material.FACES)
def test_each_has_one_face_in_its_place_and_the_mouth_below(number, variant):
    face = demo_material.FACES[number]
    face = _mirrored(face) if variant == "mirrored" else face
    # Full size takes a second a picture.
    sides = (320, 256, 1024) if os.environ.get("SFQA_TESTS") == "all" else (320, 256)
    for side in sides:
        picture = VARIANTS[variant](demo_material.load_portrait(number, side))
        _check_face(np.ascontiguousarray(picture), face, side / demo_material.SIDE)
