"""Bring one video to the common size, rate and sound, and name what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ffmpeg

from sfqa import media, store, tables
from sfqa.conform import damage, measures
from sfqa.identity import digest, sha256_file

VERSION = 3

#: Longer or narrower videos are broken headers or no clips, and would fill the disk.
MAX_SEC = 3600.0
MAX_ASPECT = 8.0
#: The gap is filled with a still or with silence; a greater one is a broken time stamp.
MAX_APART_SEC = 60.0
#: 8192 x 8192, more than an 8k frame; a header that says more is broken.
_MAX_PIXELS = 2**26
#: ffmpeg's time: this much, and so much per second of video (4k at preset slow needs about 10).
_LIMIT_SEC, _LIMIT_PER_SEC, _LIMIT_MOST_SEC = 300.0, 20.0, 3600.0
#: A gap in the sound's time stamps of more than this is filled with silence. The stamps of
#: Matroska and FLV are off by up to 1 ms; the shortest packet that can be missing lasts 2.5 ms.
_GAP_SEC = 0.01
#: The rate of the sound that people hear.
LISTENING_RATE = 48000
#: Browsers do not play lossless H.264, so a copy to be looked at has this factor instead of 0.
_VIEWING_CRF = 12
#: BT.601 because readers that ignore the tag (OpenCV) take it; the tags say so to the others.
_COLOURS = {
    "colorspace": "smpte170m", "color_primaries": "bt709", "color_trc": "bt709", "range": "tv",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The common form: short side in pixels, frames per second, wave rate in hertz, encoder.

    ``mode`` none keeps the bytes of the video; ``expect`` names what a video without counts as
    flawed for: sound, face, rate; ``viewing_short_side`` asks for a second copy of that short side.
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
        """Digest of all that changes the conformed bytes or rows."""
        versions = [VERSION, measures.VERSION, damage.VERSION]
        return digest({"version": versions, **asdict(self), "expect": sorted(self.expect)})


class Files(NamedTuple):
    """Where the results of one video go."""

    video: Path
    sound: Path
    viewing: Path


def files(folder: Path, sample_id: str) -> Files:
    """Return where the results of one video go below the folder of a shard."""
    return Files(
        folder / "videos" / f"{sample_id}.mp4",
        folder / "videos" / f"{sample_id}.wav",
        folder / "viewing" / f"{sample_id}.mp4",
    )


def target_size(width: float, height: float, short_side: int) -> tuple[int, int]:
    """Return even (width, height) with the given short side and the picture's aspect.

    >>> target_size(1280, 720, 256)
    (456, 256)
    """
    scale = short_side / min(width, height)
    even = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    return even


def conform(source: Path, shown: media.Presentation, out: Files, form: Form) -> tuple[bytes, bool]:
    """Write the files that the form asks for, of one decoding of the source.

    Each output frame k is the source frame on the screen in the middle of its own time, at
    (k + 1/2) / fps; the picture's length times fps, rounded half up, is their number. Time 0 is
    when the first of picture and sound begins; the other is preceded by its first frame or by
    silence. In mode none it is when the picture begins. Returns the small grey pictures that
    :mod:`sfqa.conform.damage` looks at, and whether something did not decode. Raises
    :class:`media.MediaError`.
    """
    encoded = form.mode == "encode"
    sides: list[tuple[Path, int, int]] = []
    if encoded:
        sides.append((out.video, form.short_side, form.crf))
    if form.viewing_short_side is not None:
        sides.append((out.viewing, form.viewing_short_side, form.crf or _VIEWING_CRF))
    start = shown.start_sec if encoded else shown.video_start_sec
    decoder = {} if shown.decoder is None else {"vcodec": shown.decoder}
    stream = ffmpeg.input(
        media.to_ffmpeg_path(source), itsoffset=-start, max_pixels=_MAX_PIXELS, **decoder
    )
    pictures = _picture(stream[str(shown.video)], shown, form).filter_multi_output(
        "split", len(sides) + 1
    )
    grey = pictures[0].filter("scale", damage.SIDE, damage.SIDE, flags="area", out_range="pc")
    outputs = [grey.filter("format", "gray").output("pipe:", format="rawvideo", t=MAX_SEC)]
    out.sound.unlink(missing_ok=True)
    with ExitStack() as stack:
        heard: list[Any] = []
        if shown.audio is not None:
            sound = stream[str(shown.audio)].filter(
                "aresample", first_pts=0, min_hard_comp=_GAP_SEC, rematrix_maxval=1, **{"async": 1}
            )
            splits = sound.filter_multi_output("asplit", len(sides) + 1)
            heard = [_listening(splits[i], shown) for i in range(len(sides))]
            wave = _resampled(splits[len(sides)], form.sample_rate, "s16", "mono")
            outputs.append(
                wave.output(
                    str(stack.enter_context(store.replacing(out.sound))), acodec="pcm_s16le",
                    t=MAX_SEC, fflags="+bitexact", map_metadata=-1, **{"flags:a": "+bitexact"},
                )
            )  # fmt: skip
        for number, (path, short_side, crf) in enumerate(sides):
            part = stack.enter_context(store.replacing(path))
            width, height = target_size(shown.width, shown.height, short_side)
            picture = _scaled(pictures[number + 1], width, height)
            encoding = media.get_encoding_options(crf, form.preset)
            outputs.append(
                ffmpeg.output(
                    picture, *heard[number : number + 1], str(part), t=MAX_SEC, **encoding
                )
            )
        graph = ffmpeg.merge_outputs(*outputs).global_args(
            "-copyts", "-filter_complex_threads", "1"
        )
        return media.pipe_ffmpeg(graph, source, _limit(media.probe(source).duration_sec))


def _limit(duration_sec: float) -> float:
    return min(_LIMIT_MOST_SEC, _LIMIT_SEC + _LIMIT_PER_SEC * max(0.0, duration_sec))


def _picture(stream: Any, shown: media.Presentation, form: Form) -> Any:
    """The picture as a player shows it, at a constant rate."""
    if shown.interlaced:
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    if shown.alpha:
        stream = stream.filter("format", "gbrap").filter("premultiply", inplace=1)
    return stream.filter("fps", fps=form.fps, start_time=0, round="near")


def _scaled(stream: Any, width: int, height: int) -> Any:
    stream = stream.filter(
        "scale", width, height, flags="lanczos+accurate_rnd+full_chroma_int+bitexact",
        out_color_matrix="smpte170m", out_range="tv",
    )  # fmt: skip
    stream = stream.filter("format", "yuv420p").filter("setsar", 1)
    return stream.filter("setparams", **_COLOURS)


def _listening(stream: Any, shown: media.Presentation) -> Any:
    if shown.channels == 1:  # ffmpeg would lower it by 3 dB; "<" keeps the level
        stream = stream.filter("pan", "stereo|c0<c0|c1<c0")
    return _resampled(stream, LISTENING_RATE, "fltp", "stereo")


def _resampled(stream: Any, rate: int, sample_fmt: str, layout: str) -> Any:
    # ffmpeg's own downmix into float is not scaled down and may clip
    stream = stream.filter("aresample", rate, rematrix_maxval=1)
    return stream.filter("aformat", sample_fmts=sample_fmt, channel_layouts=layout)


def conform_row(row: Mapping[str, Any], folder: Path, form: Form) -> dict[str, Any]:
    """Return the row of the conformed table for one row of the videos table.

    A video that cannot be conformed is a failed row with the reason in ``detail``.
    """
    result = {k: row[k] for k in ("sample_id", "method", "shard", "prompt")}
    result |= {"source_sha256": row["sha256"], "status": row["status"], "detail": row["detail"]}
    if row["status"] == tables.FAILED:
        return result
    source = Path(row["path"])
    out = files(folder, row["sample_id"])
    try:
        if not source.is_file():  # a pipe or a device may never end
            raise media.MediaError(f"{source}: is no file")
        if sha256_file(source) != row["sha256"]:
            raise media.MediaError(f"{source}: changed while the workflow ran; run it again")
        facts, shown = media.probe(source), media.read_presentation(source)
        _check(source, facts, shown)
        small, complained = conform(source, shown, out, form)
        if form.mode == "none":
            out = out._replace(video=source)
        clip = _clip(row)
        result |= measures.measure(facts, shown, out.video, out.sound, clip)
        result |= damage.measure(small, form.fps)
        if form.viewing_short_side is not None:
            viewing = {"viewing_path": str(out.viewing), "viewing_sha256": sha256_file(out.viewing)}
            result |= viewing
    except (media.MediaError, OSError) as error:
        for path in files(folder, row["sample_id"]):
            path.unlink(missing_ok=True)
        return result | {"status": "failed", "detail": tables.flaw("broken", str(error))}
    found = [row["detail"]] if row["detail"] else []
    if complained:
        found.append(tables.flaw("damaged", "parts of the file do not decode"))
    found += measures.flaws(result, facts, shown, form.expect)
    return result | {"status": "flawed" if found else "ok", "detail": "; ".join(found)}


def _check(source: Path, facts: media.Probe, shown: media.Presentation) -> None:
    if facts.duration_sec > MAX_SEC:
        raise media.MediaError(
            f"{source}: says it lasts {facts.duration_sec:.0f} s, more than {MAX_SEC:.0f}; cut it"
        )
    apart = abs(shown.audio_start_sec - shown.video_start_sec)
    if shown.audio is not None and apart > MAX_APART_SEC:
        raise media.MediaError(
            f"{source}: picture and sound begin {apart:.0f} s apart, more than "
            f"{MAX_APART_SEC:.0f}; cut or mux it again"
        )
    longer, shorter = max(shown.width, shown.height), min(shown.width, shown.height)
    if longer > MAX_ASPECT * shorter:
        raise media.MediaError(
            f"{source}: {shown.width:.0f}x{shown.height:.0f} is more than {MAX_ASPECT:.0f} times "
            "as long as wide; crop it"
        )


def _clip(row: Mapping[str, Any]) -> Path | None:
    given = row.get("clip_path")
    return Path(given) if given and Path(given).is_file() else None
