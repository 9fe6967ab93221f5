"""Bring one video to the common size, frame rate and sound, and list its flaws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ffmpeg

from sfqa import media, store, tables, timing
from sfqa.conform import damage, measures
from sfqa.conform.original import UnreadableError, measure_original
from sfqa.conform.source import open_source
from sfqa.identity import digest, sha256_file

VERSION = 4

#: Longer or narrower videos are not clips or have a broken header, and would fill the disk.
MAX_SEC = 3600.0
MAX_ASPECT = 8.0
#: A larger gap between the start of picture and sound comes from a broken time stamp.
MAX_START_GAP_SEC = 60.0
#: 8192 x 8192, more than an 8k frame; a header with a larger size is broken.
_MAX_PIXELS = 2**26
#: Time limit of ffmpeg: a base, plus this per second of video (4k at preset slow needs about 10).
_LIMIT_SEC, _LIMIT_PER_SEC, _MAX_LIMIT_SEC = 300.0, 20.0, 3600.0
#: Larger gaps in the time stamps of the sound are filled with silence. Time stamps of Matroska and
#: FLV are off by up to 1 ms; the shortest packet that can be missing lasts 2.5 ms.
_GAP_SEC = 0.01
#: Sample rate of the sound for listening, in hertz.
LISTENING_RATE = 48000
#: Browsers do not play lossless H.264: copies for viewing have this factor instead of 0.
_VIEWING_CRF = 12
#: BT.601, because readers that ignore the tags (OpenCV) assume it; other readers use the tags.
_COLOUR_TAGS = {
    "colorspace": "smpte170m", "color_primaries": "bt709", "color_trc": "bt709", "range": "tv",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The common form of the videos.

    ``short_side`` in pixels, ``fps`` in frames per second, ``sample_rate`` of the wave in hertz;
    ``crf`` and ``preset`` are those of x264. ``mode`` none keeps the bytes of the video. ``expect``
    lists what a video must have (sound, face, rate) to be free of flaws. ``viewing_short_side``
    adds a copy for viewing with that short side.
    """

    short_side: int
    fps: float
    sample_rate: int
    crf: int
    preset: str
    mode: Literal["encode", "none"] = "encode"
    expect: Sequence[str] = measures.EXPECT
    viewing_short_side: int | None = None

    @property
    def identity(self) -> str:
        """Digest of everything that changes the conformed bytes or rows."""
        versions = [VERSION, measures.VERSION, damage.VERSION]
        if self.mode == "none":
            versions.append(timing.VERSION)
        return digest({"version": versions, **asdict(self), "expect": sorted(self.expect)})


class OutputFiles(NamedTuple):
    """The output files of one video."""

    video: Path
    sound: Path
    viewing: Path


def list_files(folder: Path, sample_id: str) -> OutputFiles:
    """Return the output files of one video below the folder of a shard."""
    return OutputFiles(
        folder / "videos" / f"{sample_id}.mp4",
        folder / "videos" / f"{sample_id}.wav",
        folder / "viewing" / f"{sample_id}.mp4",
    )


def target_size(width: float, height: float, short_side: int) -> tuple[int, int]:
    """Return an even (width, height) with the given short side and the aspect of the picture.

    >>> target_size(1280, 720, 256)
    (456, 256)
    """
    scale = short_side / min(width, height)
    size = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    return size


def conform_video(
    source: Path, presentation: media.Presentation, out: OutputFiles, form: Form
) -> tuple[bytes, bool]:
    """Write the files that the form requires, decoding the source once.

    Output frame k is the source frame visible at (k + 1/2) / fps, the middle of output frame k;
    the number of frames is the duration of the picture times fps, rounded half up. Time 0 is the
    earlier start of picture and sound; the other is preceded by its first frame or by silence. In
    mode none, time 0 is the start of the picture. Returns the small grey pictures for
    :mod:`sfqa.conform.damage` and whether some part did not decode. Raises
    :class:`media.MediaError`.
    """
    encoded = form.mode == "encode"
    copies: list[tuple[Path, int, int]] = []
    if encoded:
        copies.append((out.video, form.short_side, form.crf))
    if form.viewing_short_side is not None:
        copies.append((out.viewing, form.viewing_short_side, form.crf or _VIEWING_CRF))
    start = presentation.start_sec if encoded else presentation.video_start_sec
    stream = _open_source(source, presentation, start)
    pictures = _play_picture(
        stream[str(presentation.video)], presentation, form, start
    ).filter_multi_output("split", len(copies) + 1)
    grey = pictures[0].filter("scale", damage.SIDE, damage.SIDE, flags="area", out_range="pc")
    outputs = [grey.filter("format", "gray").output("pipe:", format="rawvideo", t=MAX_SEC)]
    out.sound.unlink(missing_ok=True)
    with ExitStack() as stack:
        listening_sounds: list[Any] = []
        has_sound_errors = False
        if presentation.audio is not None:
            sound = stream[str(presentation.audio)]
            if presentation.needs_assembled_sound:
                assembled = stack.enter_context(_removing(out.sound))
                sound, has_sound_errors = _assemble_sound(source, presentation, start, assembled)
            sound = sound.filter(
                "aresample", first_pts=0, min_hard_comp=_GAP_SEC, rematrix_maxval=1, **{"async": 1}
            )
            splits = sound.filter_multi_output("asplit", len(copies) + 1)
            listening_sounds = [
                _make_listening_sound(splits[i], presentation) for i in range(len(copies))
            ]
            wave = _resample_sound(splits[len(copies)], form.sample_rate, "s16", "mono")
            outputs.append(
                wave.output(
                    str(stack.enter_context(store.replacing(out.sound))), acodec="pcm_s16le",
                    t=MAX_SEC, fflags="+bitexact", map_metadata=-1, **{"flags:a": "+bitexact"},
                )
            )  # fmt: skip
        for index, (path, short_side, crf) in enumerate(copies):
            temporary = stack.enter_context(store.replacing(path))
            width, height = target_size(presentation.width, presentation.height, short_side)
            picture = _scale_picture(pictures[index + 1], width, height, presentation.is_resized)
            encoding = media.get_encoding_options(crf, form.preset)
            outputs.append(
                ffmpeg.output(
                    picture,
                    *listening_sounds[index : index + 1],
                    str(temporary),
                    t=MAX_SEC,
                    **encoding,
                )
            )
        graph = ffmpeg.merge_outputs(*outputs).global_args("-filter_complex_threads", "1")
        if not presentation.is_rejoined:  # else ffmpeg puts the recordings one after the other
            graph = graph.global_args("-copyts")
        grey_bytes, has_errors = media.pipe_ffmpeg(
            graph, source, _time_limit_sec(presentation.video_sec)
        )
        return grey_bytes, has_errors or has_sound_errors


def _time_limit_sec(duration_sec: float) -> float:
    return min(_MAX_LIMIT_SEC, _LIMIT_SEC + _LIMIT_PER_SEC * max(0.0, duration_sec))


def _open_source(source: Path, presentation: media.Presentation, start_sec: float) -> Any:
    """Return ffmpeg's input with time 0 at ``start_sec``."""
    options: dict[str, Any] = {}
    if presentation.decoder is not None:
        options["vcodec"] = presentation.decoder
    if len(presentation.picture_changes) > 1:  # filters with a state would begin again
        options["reinit_filter:v"] = 0
    path = media.to_ffmpeg_path(source)
    return ffmpeg.input(path, itsoffset=-start_sec, max_pixels=_MAX_PIXELS, **options)


def _assemble_sound(
    source: Path, presentation: media.Presentation, start_sec: float, out: Path
) -> tuple[Any, bool]:
    """Write the sound to ``out`` in one piece; return its stream and whether it has errors."""
    assert presentation.audio is not None
    rate = max(change.form.rate for change in presentation.sound_changes)
    has_errors = media.assemble_sound(
        source, presentation.audio, rate, out, presentation.sound_shifts,
        delay_sec=presentation.audio_start_sec - start_sec,
    )  # fmt: skip
    return media.input_assembled_sound(out, rate), has_errors


@contextmanager
def _removing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` and remove the file."""
    temporary = path.with_name(f".{path.name}.assembled")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _play_picture(
    stream: Any, presentation: media.Presentation, form: Form, start_sec: float
) -> Any:
    """Return the picture stream as a player shows it, at a constant frame rate."""
    if presentation.is_rejoined:
        delay_sec = presentation.video_start_sec - start_sec
        delays = "".join(
            f"+gte(T-STARTT,{begin_sec - 0.001:.6f})*{later_sec:.6f}"
            for begin_sec, later_sec in presentation.picture_delays
        )
        stream = stream.filter("setpts", f"PTS-STARTPTS+({delay_sec:.6f}{delays})/TB")
    if len(presentation.picture_changes) > 1 and (presentation.interlaced or presentation.alpha):
        # bwdif and premultiply take frames of one form only
        largest = max((c.form for c in presentation.picture_changes), key=lambda f: f[0] * f[1])
        stream = stream.filter("scale", largest.width, largest.height, interl=-1)
        pixel_format = "gbrap" if presentation.alpha else largest.pixel_format
        stream = stream.filter("format", pixel_format)
    if presentation.interlaced:
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    if presentation.alpha:
        stream = stream.filter("format", "gbrap").filter("premultiply", inplace=1)
    return stream.filter("fps", fps=form.fps, start_time=0, round="near")


def _scale_picture(stream: Any, width: int, height: int, is_resized: bool) -> Any:
    """Return the picture at a size; with black bars where a later size has another aspect."""
    size: dict[str, Any] = {"w": width, "h": height}
    if is_resized:
        is_wider = f"gt(dar,{width}/{height})"
        size = {
            "w": f"if({is_wider},{width},2*round({height}*dar/2))",
            "h": f"if({is_wider},2*round({width}/dar/2),{height})",
            "eval": "frame",
        }
    stream = stream.filter(
        "scale", **size, flags="lanczos+accurate_rnd+full_chroma_int+bitexact",
        out_color_matrix="smpte170m", out_range="tv",
    )  # fmt: skip
    if is_resized:
        stream = stream.filter("setsar", 1).filter("pad", width, height, -1, -1, eval="frame")
    stream = stream.filter("format", "yuv420p").filter("setsar", 1)
    return stream.filter("setparams", **_COLOUR_TAGS)


def _make_listening_sound(stream: Any, presentation: media.Presentation) -> Any:
    if presentation.channels == 1:  # ffmpeg would lower the level by 3 dB; "<" keeps it
        stream = stream.filter("pan", "stereo|c0<c0|c1<c0")
    return _resample_sound(stream, LISTENING_RATE, "fltp", "stereo")


def _resample_sound(stream: Any, rate: int, sample_fmt: str, layout: str) -> Any:
    # without rematrix_maxval ffmpeg's downmix to float may clip
    stream = stream.filter("aresample", rate, rematrix_maxval=1)
    return stream.filter("aformat", sample_fmts=sample_fmt, channel_layouts=layout)


def conform_row(row: Mapping[str, Any], folder: Path, form: Form) -> dict[str, Any]:
    """Conform one row of the videos table; return its row of the conformed table.

    A video that cannot be conformed gives a failed row with the reason in ``detail``.
    """
    result = {k: row[k] for k in ("sample_id", "method", "shard", "prompt")}
    result |= {"source_sha256": row["sha256"], "status": row["status"], "detail": row["detail"]}
    if row["status"] == tables.FAILED:
        return result
    out = list_files(folder, row["sample_id"])
    try:
        with open_source(row, out.video) as source:
            presentation = media.read_presentation(source)
            probed = _correct_durations(media.probe(source), presentation, bool(row.get("raw")))
            _check_plausible(source, probed, presentation)
            grey_bytes, has_errors = conform_video(source, presentation, out, form)
            measure = measures.measure_video
            if form.mode == "none":
                out, measure = out._replace(video=source), measure_original
            clip = _find_clip(row)
            result |= measure(probed, presentation, out.video, out.sound, clip)
        result |= damage.measure_damage(grey_bytes, form.fps)
        if form.viewing_short_side is not None:
            viewing = {"viewing_path": str(out.viewing), "viewing_sha256": sha256_file(out.viewing)}
            result |= viewing
    except (media.MediaError, OSError) as error:
        for path in list_files(folder, row["sample_id"]):
            path.unlink(missing_ok=True)
        word = "unreadable" if isinstance(error, UnreadableError) else "broken"
        return result | {"status": "failed", "detail": tables.flaw(word, str(error))}
    flaws = [row["detail"]] if row["detail"] else []
    if has_errors:
        flaws.append(tables.flaw("damaged", "parts of the file do not decode"))
    if form.mode == "none" and presentation.interlaced:
        flaws.append(
            tables.flaw("interlaced", "each frame shows two moments, conform it to see them apart")
        )
    flaws += measures.list_flaws(result, probed, presentation, form.expect)
    return result | {"status": "flawed" if flaws else "ok", "detail": "; ".join(flaws)}


def _correct_durations(
    probed: media.Probe, presentation: media.Presentation, is_raw: bool
) -> media.Probe:
    """Return the probe with the durations of all recordings that are put one after the other.

    Also those of raw videos, because the file that they are joined in (NUT) states no durations.
    """
    if not presentation.is_rejoined and not is_raw:
        return probed
    return replace(
        probed, duration_sec=presentation.video_sec, audio_duration_sec=presentation.audio_sec
    )


def _check_plausible(source: Path, probed: media.Probe, presentation: media.Presentation) -> None:
    if probed.duration_sec > MAX_SEC:
        raise media.MediaError(
            f"{source}: says it lasts {probed.duration_sec:.0f} s, more than {MAX_SEC:.0f}; cut it"
        )
    start_gap = abs(presentation.audio_start_sec - presentation.video_start_sec)
    if presentation.audio is not None and start_gap > MAX_START_GAP_SEC:
        raise media.MediaError(
            f"{source}: picture and sound begin {start_gap:.0f} s apart, more than "
            f"{MAX_START_GAP_SEC:.0f}; cut or mux it again"
        )
    width, height = presentation.width, presentation.height
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise media.MediaError(
            f"{source}: {width:.0f}x{height:.0f} is more than {MAX_ASPECT:.0f} times "
            "as long as wide; crop it"
        )


def _find_clip(row: Mapping[str, Any]) -> Path | None:
    clip_path = row.get("clip_path")
    return Path(clip_path) if clip_path and Path(clip_path).is_file() else None
