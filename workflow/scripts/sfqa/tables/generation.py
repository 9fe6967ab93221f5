"""The table of generation: videos as the methods made them."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, INTEGER, STATUS, STRING, Column, Table

VIDEOS = Table(
    "videos",
    "one generated or imported video",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("method", STRING, "label of the generation method"),
        Column("shard", INTEGER, "shard of the sample"),
        *STATUS,
        Column("path", STRING, "path of the video as the method made it", nullable=True),
        Column("sha256", STRING, "sha256 of the video", nullable=True),
        Column("size_bytes", INTEGER, "size of the video", "byte", nullable=True),
        Column(
            "clip_path", STRING, "driving clip, to compare length and sound with", nullable=True
        ),
        Column("clip_sha256", STRING, "sha256 of the driving clip", nullable=True),
        Column("prompt", STRING, "text prompt, where the method took one", nullable=True),
        Column("reproducible", BOOLEAN, "whether the method gives the same bytes again"),
        Column(
            "raw",
            STRING,
            "form of a raw video, a JSON object; sha256 then covers the form and both files",
            nullable=True,
            optional=True,
        ),
        Column(
            "raw_sha256", STRING, "sha256 of the raw video's file", nullable=True, optional=True
        ),
        Column("sound_path", STRING, "sound of a raw video", nullable=True, optional=True),
        Column(
            "sound_sha256", STRING, "sha256 of the raw video's sound", nullable=True, optional=True
        ),
    ),
    key=("sample_id",),
    path="generation/{method}/{shard}.parquet",
)
