"""The tables of features: the columns that every feature table starts with, and the costs."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, FLOAT, STATUS, STRING, Column, Table

#: The first columns of every feature table; those of its extractor follow.
FEATURES = Table(
    "features",
    "the features of one sample by one extractor",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("method", STRING, "label of the generation method"),
        Column(
            "key", STRING, "cache key: content, extractor, VERSION, options, weights", nullable=True
        ),
        *STATUS,
    ),
    key=("sample_id",),
    path="features/{extractor}/{method}/{shard}.parquet",
)

IMPORTED_COLUMNS = Table(
    "imported_columns",
    "one column of an imported table of features: what it is used for, or why it is left out",
    (
        Column("column", STRING, "name of the column in the user's table"),
        Column("use", STRING, "id, mos and its dimension, image, clip, ..., feature, or none"),
        *STATUS,
    ),
    key=("column",),
    path="features/imported_columns.parquet",
)

COSTS = Table(
    "costs",
    "what one row of a feature table cost to compute",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("method", STRING, "label of the generation method"),
        Column("extractor", STRING, "name of the extractor"),
        Column("prepare_sec", FLOAT, "time to decode and prepare, in one process", "second"),
        Column("device_sec", FLOAT, "time to score, shared among videos scored together", "second"),
        Column(
            "peak_memory_mb",
            FLOAT,
            "peak resident memory of the process that read the video, plus "
            "the job's own where that is another",
            "MiB",
        ),
        Column("peak_device_mb", FLOAT, "peak memory on the GPU, if one", "MiB", nullable=True),
        Column("device", STRING, "GPU or processor that scored it"),
        Column(
            "device_kind",
            STRING,
            "cpu or gpu: their numbers differ in the last digits",
            nullable=True,
            optional=True,
        ),
        Column("computed", BOOLEAN, "true: by this run; false: earlier, the row is from the cache"),
    ),
    key=("sample_id",),
    path="features/{extractor}/costs/{method}/{shard}.parquet",
)
