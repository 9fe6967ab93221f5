"""The file that knows ffmpeg, decord and PyAV (with decoding.py): probe, read, write media."""

from __future__ import annotations

import re
import shutil
import subprocess
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from sfqa import store
from sfqa.decoding import MediaError, Pixels, each_frame, frame_times, named, read_frames
from sfqa.decoding import short as _short

Sound = npt.NDArray[np.float32]

__all__ = ["MediaError", "Pixels", "each_frame", "frame_times", "named", "read_frames"]

# Frame-threaded encoders give other bytes for other thread counts: one thread, always.
_EXACT: dict[str, Any] = {
    "threads": 1, "fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact",
    "map_metadata": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """What a container says of its first video and first audio stream."""

    has_video: bool
    has_audio: bool
    width: int = 0
    height: int = 0
    fps: float = 0.0
    frames: int = 0
    duration_sec: float = 0.0
    rotation: int = 0
    pix_fmt: str = ""
    codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    audio_duration_sec: float = 0.0


@dataclass(frozen=True)
class Shown:
    """How a file is meant to be shown: what a player makes of its streams and tags.

    Sizes in square pixels after rotation, times in seconds on the container's clock, ``video`` and
    ``audio`` stream numbers. ``decoder`` is the one that sees a hidden alpha channel.
    """

    video: int
    audio: int | None
    width: float
    height: float
    start_sec: float
    video_start_sec: float
    audio_start_sec: float = 0.0
    channels: int = 0
    interlaced: bool = False
    alpha: bool = False
    hdr: bool = False
    decoder: str | None = None


@cache
def ffmpeg_exe() -> str:
    """Return the ffmpeg on the PATH, else the one that the package imageio-ffmpeg carries."""
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def probe(path: Path | str) -> Probe:
    """Return what a media file holds: sizes in pixels, times in seconds, rates in hertz.

    Durations come from the stream, else from the container. Raises :class:`MediaError` for a file
    that is missing, empty or no media.
    """
    try:
        with av.open(named(path)) as container:
            video, audio = _first(container.streams.video), _first(container.streams.audio)
            whole = (container.duration or 0) / av.time_base
            fields: dict[str, Any] = {"has_video": bool(video), "has_audio": bool(audio)}
            if video is not None:
                rate = video.average_rate or video.guessed_rate or Fraction(0)
                fields |= {
                    "width": video.codec_context.width,
                    "height": video.codec_context.height,
                    "fps": float(rate),
                    "duration_sec": _duration(video, whole),
                    "pix_fmt": video.codec_context.pix_fmt or "",
                    "codec": video.codec_context.name,
                }
                fields["frames"] = video.frames or round(fields["duration_sec"] * float(rate))
                fields["rotation"] = _rotation(container, video)
            if audio is not None:
                fields |= {
                    "sample_rate": audio.codec_context.sample_rate,
                    "channels": audio.codec_context.channels,
                    "audio_duration_sec": _duration(audio, whole),
                }
            return Probe(**fields)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a media file ({_short(error)})") from error


def shown(path: Path | str) -> Shown:
    """Return how a video is meant to be shown: its first picture and first sound that decode.

    A picture attached to a song (cover art) is no video. ``start_sec`` is when the first of picture
    and sound begins. Raises :class:`MediaError` where there is no moving picture or none decodes.
    """
    try:
        with av.open(named(path)) as container:
            video, heard = _first(container.streams.video), _first(container.streams.audio)
            if video is None:
                raise MediaError(f"{path}: holds no moving picture")
            picture, sound = _first_frames(container, video, heard)
            pixel = float(video.sample_aspect_ratio or 1)
            width = picture.width * (pixel if 0.1 <= pixel <= 10 else 1.0)
            height = float(picture.height)
            hidden = video.codec_context.name == "vp9" and video.metadata.get("alpha_mode") == "1"
            starts = [_seconds(frame) for frame in (picture, sound) if frame is not None]
            turned = picture.rotation % 180 != 0
            return Shown(
                video=video.index,
                audio=heard.index if sound is not None else None,
                width=height if turned else width,
                height=width if turned else height,
                start_sec=min(starts),
                video_start_sec=starts[0],
                audio_start_sec=starts[-1],
                channels=sound.layout.nb_channels if sound is not None else 0,
                interlaced=bool(picture.interlaced_frame),
                alpha=hidden or any(part.is_alpha for part in picture.format.components),
                # PQ and HLG (ITU-T H.273); in 8 bits the tag is a mistake
                hdr=picture.color_trc in (16, 18) and picture.format.components[0].bits > 8,
                decoder="libvpx-vp9" if hidden else None,
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a media file ({_short(error)})") from error


def _first(streams: Any) -> Any:
    """The first stream of a known codec that is no picture attached to a song, or None."""
    cover = av.stream.Disposition.attached_pic
    return next((s for s in streams if s.codec_context and cover not in s.disposition), None)


def _first_frames(container: Any, video: Any, heard: Any) -> tuple[Any, Any]:
    """The first frame of picture and of sound (None where there is none)."""
    wanted = [video] if heard is None else [video, heard]
    found: dict[int, Any] = {}
    for packet in container.demux(wanted):
        index = packet.stream_index
        if index in found:
            continue
        try:
            frame = next(iter(packet.decode()), None)
        except av.error.FFmpegError:
            continue
        if frame is not None:
            found[index] = frame
        if len(found) == len(wanted):
            break
    if video.index not in found:
        raise MediaError(f"{container.name}: no frame decodes")
    return found[video.index], found.get(wanted[-1].index if len(wanted) > 1 else -1)


def _seconds(frame: Any) -> float:
    return 0.0 if frame.pts is None else float(frame.pts * frame.time_base)


def _duration(stream: Any, whole: float) -> float:
    known = stream.duration is not None and stream.time_base is not None
    return float(stream.duration * stream.time_base) if known else whole


def _rotation(container: Any, video: Any) -> int:
    frame = next(iter(container.decode(video)), None)
    return 0 if frame is None else int(frame.rotation)


def read_audio(
    path: Path | str,
    sample_rate: int,
    channels: int = 1,
    start: int = 0,
    count: int | None = None,
) -> Sound:
    """Return a file's first audio stream as float32 in -1..1, from time 0 of the file.

    Shape (samples,) for one channel, (samples, channels) otherwise. ``start`` and ``count`` choose
    samples at ``sample_rate`` without holding the others. Sound that begins after the file does is
    preceded by silence. Mono becomes equal channels of the same level; more channels than wanted
    are mixed by ffmpeg's standard matrix, scaled so that it cannot clip. Raises
    :class:`MediaError` where there is no sound or it cannot be decoded.
    """
    # Into float, ffmpeg's own downmix raises equal channels by 3 dB, which may clip.
    how = {"rematrix_maxval": 1.0, "first_pts": 0}
    sound = ffmpeg.input(named(path), vn=None).audio.filter("aresample", sample_rate, **how)
    heard = channels
    if channels > 1 and probe(path).channels == 1:
        heard = 1  # ffmpeg would lower it by 3 dB
    layout = {1: {"channel_layouts": "mono"}, 2: {"channel_layouts": "stereo"}}.get(heard, {})
    sound = sound.filter("aformat", sample_fmts="flt", **layout)
    if start or count is not None:
        end = {} if count is None else {"end_sample": start + count}
        sound = sound.filter("atrim", start_sample=start, **end)
    stream = sound.output("pipe:", format="f32le", acodec="pcm_f32le", ac=heard, ar=sample_rate)
    samples = np.frombuffer(_run(stream, path), dtype="<f4").astype(np.float32)
    if samples.size == 0:
        raise MediaError(f"{path}: holds no sound")
    if channels == 1:
        return samples
    samples = samples.reshape(-1, heard)
    return samples if heard == channels else np.repeat(samples, channels, axis=1)


def loudness_summary(path: Path | str) -> dict[str, float]:
    """Return what ffmpeg's filter ebur128 says of a whole file, as it says it.

    Keys: ``I`` (LUFS; -70 where nothing passes the gate), ``LRA`` (LU), ``Peak`` (true peak in
    dBTP, ``-inf`` for digital silence); to one decimal. Raises :class:`MediaError` for a file that
    cannot be decoded or an ffmpeg that says nothing. :mod:`sfqa.loudness` gives it a meaning.
    """
    sound = ffmpeg.input(named(path), vn=None).audio
    sound = sound.filter("ebur128", peak="true", framelog="verbose")
    stream = sound.output("pipe:", format="null").global_args("-hide_banner", "-nostats")
    message = _call(stream, path, "info").stderr.decode(errors="replace")
    _, found, text = message.rpartition("Summary:")
    values = dict(re.findall(r"^\s*(I|LRA|Peak):\s*(\S+)\s*(?:LUFS|LU|dBFS)\s*$", text, re.M))
    if not found or len(values) != 3:
        raise MediaError(f"{path}: ffmpeg's filter ebur128 gave no summary")
    return {name: float(value) for name, value in values.items()}


def write_wave(path: Path | str, samples: Sound, sample_rate: int) -> None:
    """Write float32 samples in -1..1 as a 16-bit PCM wave file, by rename.

    Shape (samples,) for mono, (samples, channels) otherwise.
    """
    sound = np.asarray(samples)
    whole = np.clip(np.round(sound * 32767.0), -32768, 32767).astype("<i2")
    with store.replacing(path) as temporary, wave.open(str(temporary), "wb") as out:
        out.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(whole.tobytes())


def write_video(
    path: Path | str,
    frames: Iterable[Pixels],
    fps: float,
    audio: Path | None = None,
    crf: int = 16,
    preset: str = "veryfast",
) -> None:
    """Write uint8 RGB frames (height, width, 3) as H.264 yuv420p with AAC sound, by rename.

    Height and width must be even. The sound is not cut to the picture. Raises
    :class:`MediaError` with ffmpeg's last line where encoding fails.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise MediaError(f"{path}: no frames to write")
    height, width = first.shape[:2]
    picture = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=fps
    )
    inputs = [picture.video]
    if audio is not None:
        inputs.append(ffmpeg.input(named(audio)).audio)
    with store.replacing(path) as temporary:
        command = ffmpeg.output(
            *inputs, str(temporary), **encoding(crf, preset), r=fps
        ).overwrite_output()
        process = subprocess.Popen(
            command.compile(cmd=ffmpeg_exe()),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(np.ascontiguousarray(first).tobytes())
            for frame in iterator:
                process.stdin.write(np.ascontiguousarray(frame).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg's own message, read below, says why it stopped
        message = process.stderr.read().decode(errors="replace")
        if process.wait() != 0:
            raise MediaError(f"{path}: ffmpeg failed ({_last_line(message)})")


def encoding(crf: int, preset: str) -> dict[str, Any]:
    """Return the ffmpeg output options of every video that the workflow writes."""
    return {
        "vcodec": "libx264", "pix_fmt": "yuv420p", "crf": crf, "preset": preset,
        "acodec": "aac", "b:a": "192k", "movflags": "+faststart", "loglevel": "error", **_EXACT,
    }  # fmt: skip


def run_ffmpeg(stream: Any, path: Path | str) -> None:
    """Run an ffmpeg-python graph; ``path`` is the file that the error sentence names."""
    _run(stream.overwrite_output(), path)


def pipe_ffmpeg(stream: Any, path: Path | str, limit_sec: float) -> tuple[bytes, bool]:
    """Run an ffmpeg-python graph; return what it wrote to its pipe, and whether it complained.

    A complaint is a message of level error of a run that ends well: something did not decode.
    Raises :class:`MediaError` where ffmpeg fails or needs more than ``limit_sec``.
    """
    try:
        done = _call(stream.overwrite_output(), path, "error", limit_sec)
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{path}: ffmpeg was not done after {limit_sec:.0f} s") from error
    return done.stdout, bool(done.stderr.strip())


def _run(stream: Any, path: Path | str) -> bytes:
    return _call(stream, path, "error").stdout


def _call(
    stream: Any, path: Path | str, level: str, limit_sec: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = stream.global_args("-loglevel", level, "-nostdin").compile(cmd=ffmpeg_exe())
    done = subprocess.run(command, capture_output=True, check=False, timeout=limit_sec)
    if done.returncode != 0:
        message = _last_line(done.stderr.decode(errors="replace"))
        raise MediaError(f"{path}: ffmpeg failed ({message})")
    return done


def _last_line(message: str) -> str:
    # Addresses such as [h264 @ 0x55d1] differ from run to run.
    bare = (re.sub(r"^(\[[^]]*\]\s*)+", "", line.strip()) for line in message.splitlines())
    lines = [line for line in bare if line]
    return lines[-1][:300] if lines else "no message"
