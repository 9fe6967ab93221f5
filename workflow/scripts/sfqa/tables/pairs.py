"""The tables of pairs and samples."""

from __future__ import annotations

from sfqa.tables.schema import INTEGER, STRING, Column, Table

_IDENTITY = (
    Column("image_id", STRING, "name of the image", nullable=True),
    Column("clip_id", STRING, "name of the driving audio clip", nullable=True),
)

_LABELS = (
    Column("image_source", STRING, "real, ai or synthetic", nullable=True),
    Column("image_category", STRING, "category of the image", nullable=True),
    Column("style", STRING, "musical style of the clip", nullable=True),
    Column("language", STRING, "language of the clip (BCP 47)", nullable=True),
)

PAIRS = Table(
    "pairs",
    "one image/clip pair",
    (
        Column("pair_id", STRING, "name of the pair, image_id__clip_id"),
        Column("image_id", STRING, "name of the image"),
        Column("clip_id", STRING, "name of the clip"),
        *_LABELS,
        Column("split", STRING, "train or val; no image and no clip is on both sides"),
    ),
    key=("pair_id",),
    path="pairs.parquet",
)

SAMPLES = Table(
    "samples",
    "one sample: a pair animated by a method, or an imported video or feature row",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("method", STRING, "label of the generation method"),
        Column("pair_id", STRING, "name of the pair", nullable=True),
        *_IDENTITY,
        *_LABELS,
        Column("prompt", STRING, "text prompt, where the method took one", nullable=True),
        Column("split", STRING, "train or val where the dataset fixes it", nullable=True),
        Column("shard", INTEGER, "hash(sample_id) mod shards"),
        Column("image_path", STRING, "path of the image master", nullable=True),
        Column("image_sha256", STRING, "sha256 of the image master", nullable=True),
        Column("clip_path", STRING, "path of the clip master", nullable=True),
        Column("clip_sha256", STRING, "sha256 of the clip master", nullable=True),
        Column("source_path", STRING, "path of the ready video (import)", nullable=True),
        Column(
            "keys",
            STRING,
            "further fields of the sample (import.keys), a JSON object",
            nullable=True,
            optional=True,
        ),
        Column(
            "raw",
            STRING,
            "size, rate, pixel format and sound of a raw video (import.raw), a JSON object",
            nullable=True,
            optional=True,
        ),
    ),
    key=("sample_id",),
    path="samples.parquet",
)
