"""The tables of the rating screen: what it reads (plan, media) and what it makes (details)."""

from __future__ import annotations

import pyarrow as pa

from sfqa.schema import Column, Table

ROLES = ("training", "test", "repeat", "gold", "trap")

_S, _F, _I = pa.string(), pa.float64(), pa.int64()

STUDY_MEDIA = Table(
    "study_media",
    "what raters see and hear of one sample",
    (
        Column("sample_id", _S, "name of the sample"),
        Column("video", _S, "path of the video, seen from the study's folder"),
        Column("image", _S, "path of the reference image, seen from there", nullable=True),
        Column("clip", _S, "path of the driving clip, seen from there", nullable=True),
        Column("title", _S, "title of the clip, shown to raters", nullable=True),
        Column("language", _S, "language of the clip (BCP 47)", nullable=True),
        Column("prompt", _S, "text prompt, shown to raters", nullable=True),
    ),
    key=("sample_id",),
)

#: Measured in the rater's browser: name, meaning, unit, lowest, highest, whole number.
MEASURED: tuple[tuple[str, str, str, float, float, bool], ...] = (
    ("play_sec", "wall time of the first whole play", "second", 0, 86400, False),
    ("plays", "times the video was played to its end", "", 0, 10000, True),
    ("stalls", "times the playing waited for data", "", 0, 100000, True),
    ("stall_sec", "time that the playing waited for data", "second", 0, 86400, False),
    ("dropped_frames", "frames that the browser did not show", "", 0, 10**7, True),
    ("total_frames", "frames that the browser was to show", "", 0, 10**7, True),
    ("answer_sec", "from the first end of the video to the answer", "second", 0, 864000, False),
    ("focus_losses", "times that the page was left for another", "", 0, 100000, True),
    ("clip_plays", "times the driving clip was played", "", 0, 10000, True),
    ("window_width", "width of the page", "CSS pixel", 0, 100000, True),
    ("window_height", "height of the page", "CSS pixel", 0, 100000, True),
    ("video_width", "width that the video was shown with", "CSS pixel", 0, 100000, True),
    ("pixel_ratio", "device pixels per CSS pixel", "", 0, 100, False),
)

SCORE_DETAILS = Table(
    "score_details",
    "one score as it was given on the rating screen, training and checks included",
    (
        Column("rater", _S, "name of the rater"),
        Column("session", _I, "number of the session"),
        Column("position", _I, "place inside the session"),
        Column("block", _I, "group between two breaks"),
        Column("role", _S, "training, test, repeat, gold or trap"),
        Column("sample_id", _S, "name of the sample"),
        Column("dimension", _S, "what was rated"),
        Column("score", _F, "the rating on its raw scale"),
        Column("video_sec", _F, "length of the video, as planned", "second"),
        Column("answered_at", _S, "when the server stored it (UTC, ISO 8601)"),
        Column("since_served_sec", _F, "from the video's first byte to the answer", "second"),
        *(
            Column(name, _I if whole else _F, meaning, unit, nullable=True)
            for name, meaning, unit, _, _, whole in MEASURED
        ),
        Column("comment", _S, "what the rater wrote", nullable=True),
    ),
    key=("rater", "session", "position", "dimension"),
)
