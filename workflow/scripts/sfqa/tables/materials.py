"""The tables of materials: images and clips."""

from __future__ import annotations

from sfqa.tables.schema import FLOAT, INTEGER, STATUS, STRING, Column, Table

IMAGES = Table(
    "images",
    "one image of the image sheet",
    (
        Column("image_id", STRING, "name of the image"),
        Column("source", STRING, "real, ai or synthetic"),
        Column("category", STRING, "category from the sheet"),
        Column("licence", STRING, "licence from the sheet", nullable=True),
        Column("prompt", STRING, "prompt_id that an AI portrait was made from", nullable=True),
        *STATUS,
        Column("original", STRING, "path of the user's file"),
        Column("original_sha256", STRING, "sha256 of the user's file", nullable=True),
        Column("path", STRING, "path of the master, a square PNG", nullable=True),
        Column("sha256", STRING, "sha256 of the master", nullable=True),
        Column("width", INTEGER, "width of the master", "pixel", nullable=True),
        Column("height", INTEGER, "height of the master", "pixel", nullable=True),
        Column("original_width", INTEGER, "width of the user's file", "pixel", nullable=True),
        Column("original_height", INTEGER, "height of the user's file", "pixel", nullable=True),
        Column("face_x", FLOAT, "centre of the face box in the original", "pixel", nullable=True),
        Column("face_y", FLOAT, "centre of the face box in the original", "pixel", nullable=True),
        Column("face_size", FLOAT, "side of the face box in the original", "pixel", nullable=True),
        Column("size_bytes", INTEGER, "size of the master", "byte", nullable=True),
    ),
    key=("image_id",),
    path="materials/images.parquet",
)

CLIPS = Table(
    "clips",
    "one driving clip of the clip sheet",
    (
        Column("clip_id", STRING, "name of the clip"),
        Column("style", STRING, "musical style from the sheet"),
        Column("language", STRING, "language from the sheet (BCP 47)"),
        Column("origin", STRING, "recorded, ai or synthetic"),
        Column("title", STRING, "title shown to raters", nullable=True),
        Column("licence", STRING, "licence from the sheet", nullable=True, optional=True),
        *STATUS,
        Column("original", STRING, "path of the user's file"),
        Column("original_sha256", STRING, "sha256 of the user's file", nullable=True),
        Column("path", STRING, "path of the master, mono PCM wave", nullable=True),
        Column("sha256", STRING, "sha256 of the master", nullable=True),
        Column("stereo_path", STRING, "path of the stereo master, for listening", nullable=True),
        Column("stereo_sha256", STRING, "sha256 of the stereo master", nullable=True),
        Column("channels", INTEGER, "channels of the user's file", nullable=True),
        Column("sample_rate", INTEGER, "rate of the masters", "Hz", nullable=True),
        Column(
            "loudness_lufs",
            FLOAT,
            "integrated loudness of the stereo master (EBU R128)",
            "LUFS",
            nullable=True,
        ),
        Column(
            "loudness_range_lu",
            FLOAT,
            "loudness range of the stereo master (EBU Tech 3342)",
            "LU",
            nullable=True,
        ),
        Column(
            "true_peak_dbtp",
            FLOAT,
            "true peak of the stereo master (ITU-R BS.1770)",
            "dBTP",
            nullable=True,
        ),
        Column("voiced_sec", FLOAT, "voiced time inside the master", "second", nullable=True),
        Column("fade_sec", FLOAT, "length of the fade at both ends", "second", nullable=True),
        Column("duration_sec", FLOAT, "length of the master", "second", nullable=True),
        Column(
            "original_duration_sec", FLOAT, "length of the user's file", "second", nullable=True
        ),
        Column(
            "cut_start_sec",
            FLOAT,
            "where the master starts in the original",
            "second",
            nullable=True,
        ),
        Column(
            "cut_end_sec", FLOAT, "where the master ends in the original", "second", nullable=True
        ),
        Column("cut_reason", STRING, "why the cut was made there", nullable=True),
        Column("size_bytes", INTEGER, "size of the master", "byte", nullable=True),
    ),
    key=("clip_id",),
    path="materials/clips.parquet",
)
