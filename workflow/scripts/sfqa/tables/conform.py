"""The table of conform: videos in one form."""

from __future__ import annotations

from sfqa.tables.schema import FLOAT, INTEGER, STATUS, STRING, Column, Table

CONFORMED = Table(
    "conformed",
    "one video brought to the common size, rate and audio form",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("method", STRING, "label of the generation method"),
        Column("shard", INTEGER, "shard of the sample"),
        *STATUS,
        Column("source_sha256", STRING, "sha256 of the video before", nullable=True),
        Column("path", STRING, "path of the conformed video", nullable=True),
        Column("sha256", STRING, "sha256 of the conformed video", nullable=True),
        Column("audio_path", STRING, "path of its sound, 16-bit mono wave", nullable=True),
        Column("audio_sha256", STRING, "sha256 of its sound", nullable=True),
        Column("fps", FLOAT, "frame rate", "1/second", nullable=True),
        Column("frames", INTEGER, "number of frames", nullable=True),
        Column("width", INTEGER, "width", "pixel", nullable=True),
        Column("height", INTEGER, "height", "pixel", nullable=True),
        Column("duration_sec", FLOAT, "length of the picture", "second", nullable=True),
        Column("sample_rate", INTEGER, "rate of the wave", "Hz", nullable=True),
        Column("source_fps", FLOAT, "frame rate before", "1/second", nullable=True),
        Column("source_width", INTEGER, "width before", "pixel", nullable=True),
        Column("source_height", INTEGER, "height before", "pixel", nullable=True),
        Column("source_duration_sec", FLOAT, "length before", "second", nullable=True),
        Column("clip_duration_sec", FLOAT, "length of the driving clip", "second", nullable=True),
        Column(
            "face_share", FLOAT, "share of the looked-at frames with a face", "0..1", nullable=True
        ),
        Column(
            "duration_difference_sec",
            FLOAT,
            "length of the picture minus the driving clip's",
            "second",
            nullable=True,
        ),
        Column(
            "audio_match",
            FLOAT,
            "peak of the correlation of the sound with the driving clip",
            "0..1",
            nullable=True,
        ),
        Column(
            "audio_offset_sec",
            FLOAT,
            "the sound later (above 0) than the driving clip",
            "second",
            nullable=True,
        ),
        Column(
            "lost_tail_sec",
            FLOAT,
            "end of the driving clip that is missing from the sound",
            "second",
            nullable=True,
        ),
        Column(
            "frozen_longest_sec",
            FLOAT,
            "longest time in which the picture stands still",
            "second",
            nullable=True,
        ),
        Column(
            "frozen_total_sec",
            FLOAT,
            "time in which the picture stands still",
            "second",
            nullable=True,
        ),
        Column(
            "black_total_sec", FLOAT, "time in which the picture is black", "second", nullable=True
        ),
        Column(
            "loudness_lufs",
            FLOAT,
            "integrated loudness of the sound (EBU R128)",
            "LUFS",
            nullable=True,
        ),
        Column(
            "true_peak_dbtp", FLOAT, "true peak of the sound (ITU-R BS.1770)", "dBTP", nullable=True
        ),
        Column("viewing_path", STRING, "path of the copy for raters", nullable=True),
        Column("viewing_sha256", STRING, "sha256 of the copy for raters", nullable=True),
        Column("prompt", STRING, "text prompt, where the method took one", nullable=True),
    ),
    key=("sample_id",),
    path="conform/{method}/{shard}.parquet",
    merged_path="conform/videos.parquet",
)
