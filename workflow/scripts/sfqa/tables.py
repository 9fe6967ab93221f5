"""The schema of every table, in one place: names, types, units, meaning."""

from __future__ import annotations

import pyarrow as pa

from sfqa.correlation.schemas import CORRELATION, CORRELATION_BY_METHOD, SIGNIFICANCE
from sfqa.ratings.schemas import LABEL_DIFFERENCES, PLAN, RATER_REPORT, RELIABILITY
from sfqa.ratings.screen.schemas import SCORE_DETAILS, STUDY_MEDIA
from sfqa.regression.schemas import LEARNING
from sfqa.schema import FAILED, FLAWED, OK, STATUS, STATUSES, Column, Table, flaw

__all__ = [
    "CORRELATION", "CORRELATION_BY_METHOD", "FAILED", "FLAWED", "LABEL_DIFFERENCES", "LEARNING",
    "OK", "PLAN", "RATER_REPORT", "RELIABILITY", "SCORE_DETAILS", "SIGNIFICANCE", "STATUSES",
    "STUDY_MEDIA", "Column", "Table", "flaw",
]  # fmt: skip

_S, _F, _I, _B = pa.string(), pa.float64(), pa.int64(), pa.bool_()

_IDENTITY = (
    Column("image_id", _S, "name of the image", nullable=True),
    Column("clip_id", _S, "name of the driving audio clip", nullable=True),
)
_LABELS = (
    Column("image_source", _S, "real, ai or synthetic", nullable=True),
    Column("image_category", _S, "category of the image", nullable=True),
    Column("style", _S, "musical style of the clip", nullable=True),
    Column("language", _S, "language of the clip (BCP 47)", nullable=True),
)

IMAGES = Table(
    "images",
    "one image of the image sheet",
    (
        Column("image_id", _S, "name of the image"),
        Column("source", _S, "real, ai or synthetic"),
        Column("category", _S, "category from the sheet"),
        Column("licence", _S, "licence from the sheet", nullable=True),
        Column("prompt", _S, "prompt_id that an AI portrait was made from", nullable=True),
        *STATUS,
        Column("original", _S, "path of the user's file"),
        Column("original_sha256", _S, "sha256 of the user's file", nullable=True),
        Column("path", _S, "path of the master, a square PNG", nullable=True),
        Column("sha256", _S, "sha256 of the master", nullable=True),
        Column("width", _I, "width of the master", "pixel", nullable=True),
        Column("height", _I, "height of the master", "pixel", nullable=True),
        Column("original_width", _I, "width of the user's file", "pixel", nullable=True),
        Column("original_height", _I, "height of the user's file", "pixel", nullable=True),
        Column("face_x", _F, "centre of the face box in the original", "pixel", nullable=True),
        Column("face_y", _F, "centre of the face box in the original", "pixel", nullable=True),
        Column("face_size", _F, "side of the face box in the original", "pixel", nullable=True),
        Column("size_bytes", _I, "size of the master", "byte", nullable=True),
    ),
    key=("image_id",),
)

CLIPS = Table(
    "clips",
    "one driving clip of the clip sheet",
    (
        Column("clip_id", _S, "name of the clip"),
        Column("style", _S, "musical style from the sheet"),
        Column("language", _S, "language from the sheet (BCP 47)"),
        Column("origin", _S, "recorded, ai or synthetic"),
        Column("title", _S, "title shown to raters", nullable=True),
        *STATUS,
        Column("original", _S, "path of the user's file"),
        Column("original_sha256", _S, "sha256 of the user's file", nullable=True),
        Column("path", _S, "path of the master, mono PCM wave", nullable=True),
        Column("sha256", _S, "sha256 of the master", nullable=True),
        Column("stereo_path", _S, "path of the stereo master, for listening", nullable=True),
        Column("stereo_sha256", _S, "sha256 of the stereo master", nullable=True),
        Column("channels", _I, "channels of the user's file", nullable=True),
        Column("sample_rate", _I, "rate of the masters", "Hz", nullable=True),
        Column(
            "loudness_lufs",
            _F,
            "integrated loudness of the stereo master (EBU R128)",
            "LUFS",
            nullable=True,
        ),
        Column(
            "loudness_range_lu",
            _F,
            "loudness range of the stereo master (EBU Tech 3342)",
            "LU",
            nullable=True,
        ),
        Column(
            "true_peak_dbtp",
            _F,
            "true peak of the stereo master (ITU-R BS.1770)",
            "dBTP",
            nullable=True,
        ),
        Column("voiced_sec", _F, "voiced time inside the master", "second", nullable=True),
        Column("fade_sec", _F, "length of the fade at both ends", "second", nullable=True),
        Column("duration_sec", _F, "length of the master", "second", nullable=True),
        Column("original_duration_sec", _F, "length of the user's file", "second", nullable=True),
        Column(
            "cut_start_sec", _F, "where the master starts in the original", "second", nullable=True
        ),
        Column("cut_end_sec", _F, "where the master ends in the original", "second", nullable=True),
        Column("cut_reason", _S, "why the cut was made there", nullable=True),
        Column("size_bytes", _I, "size of the master", "byte", nullable=True),
    ),
    key=("clip_id",),
)

PAIRS = Table(
    "pairs",
    "one image/clip pair",
    (
        Column("pair_id", _S, "name of the pair, image_id__clip_id"),
        Column("image_id", _S, "name of the image"),
        Column("clip_id", _S, "name of the clip"),
        *_LABELS,
        Column("split", _S, "train or val; no image and no clip is on both sides"),
    ),
    key=("pair_id",),
)

SAMPLES = Table(
    "samples",
    "one sample: a pair animated by a method, or an imported video or feature row",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("method", _S, "label of the generation method"),
        Column("pair_id", _S, "name of the pair", nullable=True),
        *_IDENTITY,
        *_LABELS,
        Column("prompt", _S, "text prompt, where the method took one", nullable=True),
        Column("split", _S, "train or val where the dataset fixes it", nullable=True),
        Column("shard", _I, "hash(sample_id) mod shards"),
        Column("image_path", _S, "path of the image master", nullable=True),
        Column("image_sha256", _S, "sha256 of the image master", nullable=True),
        Column("clip_path", _S, "path of the clip master", nullable=True),
        Column("clip_sha256", _S, "sha256 of the clip master", nullable=True),
        Column("source_path", _S, "path of the ready video (import)", nullable=True),
    ),
    key=("sample_id",),
)

VIDEOS = Table(
    "videos",
    "one generated or imported video",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("method", _S, "label of the generation method"),
        Column("shard", _I, "shard of the sample"),
        *STATUS,
        Column("path", _S, "path of the video as the method made it", nullable=True),
        Column("sha256", _S, "sha256 of the video", nullable=True),
        Column("size_bytes", _I, "size of the video", "byte", nullable=True),
        Column("clip_path", _S, "driving clip, to compare length and sound with", nullable=True),
        Column("clip_sha256", _S, "sha256 of the driving clip", nullable=True),
        Column("prompt", _S, "text prompt, where the method took one", nullable=True),
        Column("reproducible", _B, "whether the method gives the same bytes again"),
    ),
    key=("sample_id",),
)

CONFORMED = Table(
    "conformed",
    "one video brought to the common size, rate and audio form",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("method", _S, "label of the generation method"),
        Column("shard", _I, "shard of the sample"),
        *STATUS,
        Column("source_sha256", _S, "sha256 of the video before", nullable=True),
        Column("path", _S, "path of the conformed video", nullable=True),
        Column("sha256", _S, "sha256 of the conformed video", nullable=True),
        Column("audio_path", _S, "path of its sound, 16-bit mono wave", nullable=True),
        Column("audio_sha256", _S, "sha256 of its sound", nullable=True),
        Column("fps", _F, "frame rate", "1/second", nullable=True),
        Column("frames", _I, "number of frames", nullable=True),
        Column("width", _I, "width", "pixel", nullable=True),
        Column("height", _I, "height", "pixel", nullable=True),
        Column("duration_sec", _F, "length of the picture", "second", nullable=True),
        Column("sample_rate", _I, "rate of the wave", "Hz", nullable=True),
        Column("source_fps", _F, "frame rate before", "1/second", nullable=True),
        Column("source_width", _I, "width before", "pixel", nullable=True),
        Column("source_height", _I, "height before", "pixel", nullable=True),
        Column("source_duration_sec", _F, "length before", "second", nullable=True),
        Column("clip_duration_sec", _F, "length of the driving clip", "second", nullable=True),
        Column(
            "face_share", _F, "share of the looked-at frames with a face", "0..1", nullable=True
        ),
        Column(
            "duration_difference_sec",
            _F,
            "length of the picture minus the driving clip's",
            "second",
            nullable=True,
        ),
        Column(
            "audio_match",
            _F,
            "peak of the correlation of the sound with the driving clip",
            "0..1",
            nullable=True,
        ),
        Column(
            "audio_offset_sec",
            _F,
            "the sound later (above 0) than the driving clip",
            "second",
            nullable=True,
        ),
        Column(
            "lost_tail_sec",
            _F,
            "end of the driving clip that is missing from the sound",
            "second",
            nullable=True,
        ),
        Column(
            "frozen_longest_sec",
            _F,
            "longest time in which the picture stands still",
            "second",
            nullable=True,
        ),
        Column(
            "frozen_total_sec",
            _F,
            "time in which the picture stands still",
            "second",
            nullable=True,
        ),
        Column(
            "black_total_sec", _F, "time in which the picture is black", "second", nullable=True
        ),
        Column(
            "loudness_lufs",
            _F,
            "integrated loudness of the sound (EBU R128)",
            "LUFS",
            nullable=True,
        ),
        Column(
            "true_peak_dbtp", _F, "true peak of the sound (ITU-R BS.1770)", "dBTP", nullable=True
        ),
        Column("viewing_path", _S, "path of the copy for raters", nullable=True),
        Column("viewing_sha256", _S, "sha256 of the copy for raters", nullable=True),
        Column("prompt", _S, "text prompt, where the method took one", nullable=True),
    ),
    key=("sample_id",),
)

#: What every feature table starts with; the extractor's own columns follow.
FEATURE_HEAD = (
    Column("sample_id", _S, "name of the sample"),
    Column("method", _S, "label of the generation method"),
    Column("key", _S, "cache key: content, extractor, VERSION, options, weights", nullable=True),
    *STATUS,
)

COSTS = Table(
    "costs",
    "what one row of a feature table cost to compute",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("method", _S, "label of the generation method"),
        Column("extractor", _S, "name of the extractor"),
        Column("prepare_sec", _F, "time to decode and prepare, in one process", "second"),
        Column("device_sec", _F, "time to score, shared among videos scored together", "second"),
        Column(
            "peak_memory_mb",
            _F,
            "peak resident memory of the process that read the video, plus "
            "the job's own where that is another",
            "MiB",
        ),
        Column("peak_device_mb", _F, "peak memory on the GPU, if one", "MiB", nullable=True),
        Column("device", _S, "GPU or processor that scored it"),
        Column("computed", _B, "true: by this run; false: earlier, the row is from the cache"),
    ),
    key=("sample_id",),
)

SCORES = Table(
    "scores",
    "one raw rating",
    (
        Column("rater", _S, "name of the rater"),
        Column("sample_id", _S, "name of the sample"),
        Column("dimension", _S, "what was rated"),
        Column("score", _F, "the rating on its raw scale"),
        Column("synthetic", _B, "true: a simulated rater, not a person"),
    ),
    key=("rater", "sample_id", "dimension"),
)

RATERS = Table(
    "raters",
    "one rater in one dimension, after screening",
    (
        Column("dimension", _S, "what was rated"),
        Column("rater", _S, "name of the rater"),
        Column("n", _I, "number of ratings"),
        Column("mean", _F, "mean raw rating", nullable=True),
        Column("sd", _F, "standard deviation of the raw ratings (ddof 1)", nullable=True),
        Column("p", _I, "ratings at or above the upper bound (BT.500)"),
        Column("q", _I, "ratings at or below the lower bound (BT.500)"),
        Column("rejected", _B, "true: left out of the MOS"),
        *STATUS,
    ),
    key=("dimension", "rater"),
)

MOS = Table(
    "mos",
    "one sample in one dimension",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("dimension", _S, "what was rated"),
        Column("mos", _F, "mean opinion score after screening", "0..100 or as imported", True),
        Column("n", _I, "number of ratings behind it", nullable=True),
        Column("sd", _F, "standard deviation over raters (ddof 1)", nullable=True),
        Column("ci95_low", _F, "lower end of the 95 % t-interval", nullable=True),
        Column("ci95_high", _F, "upper end of the 95 % t-interval", nullable=True),
        Column("synthetic", _B, "true: from simulated raters"),
        *STATUS,
    ),
    key=("sample_id", "dimension"),
)

MOS_BY_LABEL = Table(
    "mos_by_label",
    "the samples that share a label, in one dimension",
    (
        Column("label_kind", _S, "what the label is: method, image_category, style, language, ..."),
        Column("label", _S, "the label"),
        Column("dimension", _S, "what was rated"),
        Column("n", _I, "number of samples with a MOS"),
        Column("mean", _F, "mean MOS"),
        Column("sd", _F, "standard deviation over samples (ddof 1)", nullable=True),
        Column("ci95_low", _F, "lower end of the 95 % t-interval", nullable=True),
        Column("ci95_high", _F, "upper end of the 95 % t-interval", nullable=True),
    ),
    key=("label_kind", "label", "dimension"),
)

PREDICTIONS = Table(
    "predictions",
    "one metric's score of one sample in one dimension, under one protocol and trial",
    (
        Column("metric", _S, "name of the metric"),
        Column("dimension", _S, "what is predicted"),
        Column("protocol", _S, "how train and test were split"),
        Column("trial", _I, "number of the split"),
        Column("sample_id", _S, "name of the sample"),
        Column("part", _S, "train, validation or test"),
        Column("prediction", _F, "the metric's score", nullable=True),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "trial", "sample_id"),
)

REJECTS = Table(
    "rejects",
    "one row of any stage that is not ok",
    (
        Column("stage", _S, "stage that found it"),
        Column("item", _S, "image, clip, sample or rater"),
        Column("method", _S, "label of the generation method", nullable=True),
        *STATUS,
    ),
    key=("stage", "item", "detail"),
)

TABLES = {
    t.name: t
    for t in (
        IMAGES, CLIPS, PAIRS, SAMPLES, VIDEOS, CONFORMED, COSTS, PLAN, STUDY_MEDIA, SCORE_DETAILS,
        SCORES, RATERS, RATER_REPORT, RELIABILITY, MOS, MOS_BY_LABEL, LABEL_DIFFERENCES,
        PREDICTIONS, LEARNING, CORRELATION, CORRELATION_BY_METHOD, SIGNIFICANCE, REJECTS,
    )
}  # fmt: skip
