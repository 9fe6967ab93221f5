"""The tables of a rating study: its plan, its media, and what the rating screen exports."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STRING, Column, Table

PLAN = Table(
    "plan",
    "one presentation of one sample to one rater",
    (
        Column("rater", STRING, "name of the rater"),
        Column("session", INTEGER, "number of the session, from 1"),
        Column("position", INTEGER, "place inside the session, from 1"),
        Column("sample_id", STRING, "name of the sample"),
        Column("role", STRING, "training, test, repeat, gold or trap"),
        Column("block", INTEGER, "part of the session between two breaks, from 1"),
        Column("seconds", FLOAT, "length of the video", "second"),
    ),
    key=("rater", "session", "position"),
    path="ratings/study/plan.parquet",
    command="sfqa plan",
)

ROLES = ("training", "test", "repeat", "gold", "trap")

STUDY_MEDIA = Table(
    "study_media",
    "what raters see and hear of one sample",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("video", STRING, "path of the video, seen from the study's folder"),
        Column("image", STRING, "path of the reference image, seen from there", nullable=True),
        Column("clip", STRING, "path of the driving clip, seen from there", nullable=True),
        Column("title", STRING, "title of the clip, shown to raters", nullable=True),
        Column("language", STRING, "language of the clip (BCP 47)", nullable=True),
        Column("prompt", STRING, "text prompt, shown to raters", nullable=True),
        Column("style", STRING, "style of the clip, shown to raters", nullable=True, optional=True),
    ),
    key=("sample_id",),
    path="ratings/study/media.parquet",
    command="sfqa plan",
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
    ("native_width", "width of the video itself", "pixel", 0, 100000, True),
    ("full_screen", "1 if the page was shown in full screen, else 0", "", 0, 1, True),
)
#: Measurements that earlier versions did not store.
_ADDED_LATER = ("native_width", "full_screen")

SCORE_DETAILS = Table(
    "score_details",
    "one score as it was given on the rating screen, training and checks included",
    (
        Column("rater", STRING, "name of the rater"),
        Column("session", INTEGER, "number of the session"),
        Column("position", INTEGER, "place inside the session"),
        Column("block", INTEGER, "group between two breaks"),
        Column("role", STRING, "training, test, repeat, gold or trap"),
        Column("sample_id", STRING, "name of the sample"),
        Column("dimension", STRING, "what was rated"),
        Column("score", FLOAT, "the rating on its raw scale"),
        Column("video_sec", FLOAT, "length of the video, as planned", "second"),
        Column("answered_at", STRING, "when the server stored it (UTC, ISO 8601)"),
        Column("since_served_sec", FLOAT, "from the video's first byte to the answer", "second"),
        *(
            Column(name, INTEGER if whole else FLOAT, meaning, unit, True, name in _ADDED_LATER)
            for name, meaning, unit, _, _, whole in MEASURED
        ),
        Column("comment", STRING, "what the rater wrote", nullable=True),
    ),
    key=("rater", "session", "position", "dimension"),
    path="ratings/study/score_details.parquet",
    command="sfqa rate export",
)

#: A study adds columns: ``id_<parameter>`` for each parameter of the address that was stored, and
#: ``profile_<question>`` for each question of study.yaml.
STUDY_RATERS = Table(
    "study_raters",
    "one rater of a study: progress, profile, consent, checks, durations",
    (
        Column("rater", STRING, "name of the rater"),
        Column("place", STRING, "rater of the plan whose videos the rater was given"),
        Column("state", STRING, "not_started, started, finished or dropped_out"),
        Column("planned", INTEGER, "presentations, including training and control clips"),
        Column("answered", INTEGER, "of these, answered"),
        Column("language", STRING, "language of the page", nullable=True),
        Column("theme", STRING, "theme that the rater chose", nullable=True),
        Column("enrolled_at", STRING, "when the crowd link gave the place (UTC)", nullable=True),
        Column("consented_at", STRING, "when the rater gave consent (UTC)", nullable=True),
        Column("first_answer_at", STRING, "when the first answer was stored (UTC)", nullable=True),
        Column("last_answer_at", STRING, "when the last answer was stored (UTC)", nullable=True),
        Column("dropped_out_at", STRING, "when the place was given away (UTC)", nullable=True),
        Column("total_sec", FLOAT, "from the consent to the last answer", "second", True),
        Column("session_sec", FLOAT, "time in sessions, without the time between", "second", True),
        Column("video_sec_median", FLOAT, "median of play and answer time", "second", True),
        Column("remarks", INTEGER, "videos with a remark"),
        Column("gold", INTEGER, "gold clips with an expected answer, over dimensions", "", True),
        Column("gold_passed", INTEGER, "of these, answered as expected", nullable=True),
        Column("traps", INTEGER, "trap clips with an expected answer, over dimensions", "", True),
        Column("traps_passed", INTEGER, "of these, answered as expected", nullable=True),
        Column("headphones_tasks", INTEGER, "tasks of the headphone check", nullable=True),
        Column("headphones_correct", INTEGER, "of these, correct", nullable=True),
        Column("headphones_passed", BOOLEAN, "true: at least 5 of 6 correct", nullable=True),
        Column("colour_vision_tasks", INTEGER, "tasks of the colour vision check", nullable=True),
        Column("colour_vision_correct", INTEGER, "of these, correct", nullable=True),
        Column("colour_vision_passed", BOOLEAN, "true: at least 5 of 6 correct", nullable=True),
        Column("screen_width", INTEGER, "width of the screen", "CSS pixel", True),
        Column("screen_height", INTEGER, "height of the screen", "CSS pixel", True),
        Column("pixel_ratio", FLOAT, "device pixels per CSS pixel", nullable=True),
        Column("touch", INTEGER, "1 if the screen can be touched, else 0", nullable=True),
        Column("completion_code", STRING, "code shown at the end, if finished", nullable=True),
    ),
    key=("rater",),
    path="ratings/study/raters.parquet",
    command="sfqa rate export",
)

#: Sent by the page with the consent: name, lowest, highest, whole number.
SCREEN_MEASURED: tuple[tuple[str, float, float, bool], ...] = (
    ("screen_width", 0, 100000, True),
    ("screen_height", 0, 100000, True),
    ("pixel_ratio", 0, 100, False),
    ("touch", 0, 1, True),
)
