"""Probe, read and write media files; with decoding.py the only module that knows FFmpeg."""

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
from sfqa.decoding import (
    MediaError,
    Pixels,
    frame_times,
    iterate_frames,
    read_frame_times,
    read_frames,
    to_ffmpeg_path,
)
from sfqa.decoding import shorten_message as shorten_message

Sound = npt.NDArray[np.float32]

__all__ = [
    "MediaError", "Pixels", "frame_times", "iterate_frames", "read_frame_times", "read_frames",
    "to_ffmpeg_path",
]  # fmt: skip

# The output of frame-threaded encoders depends on the number of threads, so use one thread.
_REPRODUCIBLE: dict[str, Any] = {
    "threads": 1, "fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact",
    "map_metadata": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """Properties of the first video and the first audio stream, as the container states them."""

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
class Presentation:
    """How a player presents a file, from its streams and tags.

    Sizes in square pixels after rotation; times in seconds on the container's clock; ``video`` and
    ``audio`` are stream indices. ``decoder`` names the decoder needed for a hidden alpha channel.
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
    """Return the path of ffmpeg: the one on PATH, else the binary of the package imageio-ffmpeg."""
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def probe(path: Path | str) -> Probe:
    """Return the properties of a media file: sizes in pixels, times in seconds, rates in hertz.

    Durations come from the stream, else from the container. Raises :class:`MediaError` if the file
    is missing, empty or not a media file.
    """
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            video, audio = (
                _select_stream(container.streams.video),
                _select_stream(container.streams.audio),
            )
            container_duration = (container.duration or 0) / av.time_base
            fields: dict[str, Any] = {"has_video": bool(video), "has_audio": bool(audio)}
            if video is not None:
                rate = video.average_rate or video.guessed_rate or Fraction(0)
                fields |= {
                    "width": video.codec_context.width,
                    "height": video.codec_context.height,
                    "fps": float(rate),
                    "duration_sec": _stream_duration(video, container_duration),
                    "pix_fmt": video.codec_context.pix_fmt or "",
                    "codec": video.codec_context.name,
                }
                fields["frames"] = video.frames or round(fields["duration_sec"] * float(rate))
                fields["rotation"] = _read_rotation(container, video)
            if audio is not None:
                fields |= {
                    "sample_rate": audio.codec_context.sample_rate,
                    "channels": audio.codec_context.channels,
                    "audio_duration_sec": _stream_duration(audio, container_duration),
                }
            return Probe(**fields)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot be read as a media file ({shorten_message(error)})"
        ) from error


def read_presentation(path: Path | str) -> Presentation:
    """Return how a video is presented, from the first picture and the first sound that decode.

    A picture attached to a song (cover art) does not count as video. ``start_sec`` is the earlier
    start of picture and sound. Raises :class:`MediaError` if there is no moving picture or no frame
    decodes.
    """
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            video, audio = (
                _select_stream(container.streams.video),
                _select_stream(container.streams.audio),
            )
            if video is None:
                raise MediaError(f"{path}: holds no moving picture")
            picture, sound = _decode_first_frames(container, video, audio)
            pixel_aspect = float(video.sample_aspect_ratio or 1)
            width = picture.width * (pixel_aspect if 0.1 <= pixel_aspect <= 10 else 1.0)
            height = float(picture.height)
            has_hidden_alpha = (
                video.codec_context.name == "vp9" and video.metadata.get("alpha_mode") == "1"
            )
            start_times = [_frame_time(frame) for frame in (picture, sound) if frame is not None]
            is_turned = picture.rotation % 180 != 0
            return Presentation(
                video=video.index,
                audio=audio.index if sound is not None else None,
                width=height if is_turned else width,
                height=width if is_turned else height,
                start_sec=min(start_times),
                video_start_sec=start_times[0],
                audio_start_sec=start_times[-1],
                channels=sound.layout.nb_channels if sound is not None else 0,
                interlaced=bool(picture.interlaced_frame),
                alpha=has_hidden_alpha or any(part.is_alpha for part in picture.format.components),
                # PQ and HLG (ITU-T H.273); 8-bit video with this tag is mislabelled
                hdr=picture.color_trc in (16, 18) and picture.format.components[0].bits > 8,
                decoder="libvpx-vp9" if has_hidden_alpha else None,
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot be read as a media file ({shorten_message(error)})"
        ) from error


def _select_stream(streams: Any) -> Any:
    """Return the first stream with a known codec that is not cover art, or None."""
    cover = av.stream.Disposition.attached_pic
    return next((s for s in streams if s.codec_context and cover not in s.disposition), None)


def _decode_first_frames(container: Any, video: Any, audio: Any) -> tuple[Any, Any]:
    """Decode the first frame of picture and of sound (None if there is no sound)."""
    streams = [video] if audio is None else [video, audio]
    first_frames: dict[int, Any] = {}
    for packet in container.demux(streams):
        index = packet.stream_index
        if index in first_frames:
            continue
        try:
            frame = next(iter(packet.decode()), None)
        except av.error.FFmpegError:
            continue
        if frame is not None:
            first_frames[index] = frame
        if len(first_frames) == len(streams):
            break
    if video.index not in first_frames:
        raise MediaError(f"{container.name}: no frame decodes")
    return first_frames[video.index], first_frames.get(
        streams[-1].index if len(streams) > 1 else -1
    )


def _frame_time(frame: Any) -> float:
    return 0.0 if frame.pts is None else float(frame.pts * frame.time_base)


def _stream_duration(stream: Any, container_duration: float) -> float:
    has_duration = stream.duration is not None and stream.time_base is not None
    return float(stream.duration * stream.time_base) if has_duration else container_duration


def _read_rotation(container: Any, video: Any) -> int:
    frame = next(iter(container.decode(video)), None)
    return 0 if frame is None else int(frame.rotation)


def read_audio(
    path: Path | str,
    sample_rate: int,
    channels: int = 1,
    start: int = 0,
    count: int | None = None,
) -> Sound:
    """Decode the first audio stream of a file as float32 in [-1, 1], from time 0 of the file.

    Returns shape (samples,) for one channel, else (samples, channels). ``start`` and ``count``
    select samples at ``sample_rate``; the others are not kept in memory. Sound that starts
    after time 0 is preceded by silence. Mono is copied to all channels at the same level; extra
    channels are mixed down by ffmpeg's standard matrix, scaled so that it cannot clip. Raises
    :class:`MediaError` if there is no sound or it cannot be decoded.
    """
    # With float output, ffmpeg's downmix raises equal channels by 3 dB, which may clip.
    resampling = {"rematrix_maxval": 1.0, "first_pts": 0}
    sound = ffmpeg.input(to_ffmpeg_path(path), vn=None).audio.filter(
        "aresample", sample_rate, **resampling
    )
    decoded_channels = channels
    if channels > 1 and probe(path).channels == 1:
        decoded_channels = 1  # ffmpeg's upmix would lower the level by 3 dB
    layout = {1: {"channel_layouts": "mono"}, 2: {"channel_layouts": "stereo"}}.get(
        decoded_channels, {}
    )
    sound = sound.filter("aformat", sample_fmts="flt", **layout)
    if start or count is not None:
        end = {} if count is None else {"end_sample": start + count}
        sound = sound.filter("atrim", start_sample=start, **end)
    stream = sound.output(
        "pipe:", format="f32le", acodec="pcm_f32le", ac=decoded_channels, ar=sample_rate
    )
    samples = np.frombuffer(_run_to_pipe(stream, path), dtype="<f4").astype(np.float32)
    if samples.size == 0:
        raise MediaError(f"{path}: holds no sound")
    if channels == 1:
        return samples
    samples = samples.reshape(-1, decoded_channels)
    return samples if decoded_channels == channels else np.repeat(samples, channels, axis=1)


def loudness_summary(path: Path | str) -> dict[str, float]:
    """Return the summary of ffmpeg's filter ebur128 over a whole file.

    Keys: ``I`` (integrated loudness in LUFS; -70 if nothing passes the gate), ``LRA`` (loudness
    range in LU), ``Peak`` (true peak in dBTP; ``-inf`` for digital silence), each to one decimal.
    Raises :class:`MediaError` if the file cannot be decoded or ffmpeg prints no summary.
    :mod:`sfqa.loudness` interprets the values.
    """
    sound = ffmpeg.input(to_ffmpeg_path(path), vn=None).audio
    sound = sound.filter("ebur128", peak="true", framelog="verbose")
    stream = sound.output("pipe:", format="null").global_args("-hide_banner", "-nostats")
    message = _call_ffmpeg(stream, path, "info").stderr.decode(errors="replace")
    _, separator, text = message.rpartition("Summary:")
    values = dict(re.findall(r"^\s*(I|LRA|Peak):\s*(\S+)\s*(?:LUFS|LU|dBFS)\s*$", text, re.M))
    if not separator or len(values) != 3:
        raise MediaError(f"{path}: ffmpeg's filter ebur128 gave no summary")
    return {name: float(value) for name, value in values.items()}


def write_wave(path: Path | str, samples: Sound, sample_rate: int) -> None:
    """Write float32 samples in [-1, 1] as a 16-bit PCM wave file, atomically.

    ``samples`` has shape (samples,) for mono, else (samples, channels).
    """
    sound = np.asarray(samples)
    pcm_samples = np.clip(np.round(sound * 32767.0), -32768, 32767).astype("<i2")
    with store.replacing(path) as temporary, wave.open(str(temporary), "wb") as out:
        out.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(pcm_samples.tobytes())


def write_video(
    path: Path | str,
    frames: Iterable[Pixels],
    fps: float,
    audio: Path | None = None,
    crf: int = 16,
    preset: str = "veryfast",
) -> None:
    """Encode uint8 RGB frames (height, width, 3) as H.264 yuv420p with AAC sound, atomically.

    Height and width must be even. The sound is not cut to the length of the picture. Raises
    :class:`MediaError` with the last line of ffmpeg's output if encoding fails.
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
        inputs.append(ffmpeg.input(to_ffmpeg_path(audio)).audio)
    with store.replacing(path) as temporary:
        command = ffmpeg.output(
            *inputs, str(temporary), **get_encoding_options(crf, preset), r=fps
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
            pass  # the message of ffmpeg, read below, gives the reason
        message = process.stderr.read().decode(errors="replace")
        if process.wait() != 0:
            raise MediaError(f"{path}: ffmpeg failed ({_last_line(message)})")


def get_encoding_options(crf: int, preset: str) -> dict[str, Any]:
    """Return the ffmpeg output options that every video of the workflow is written with."""
    return {
        "vcodec": "libx264", "pix_fmt": "yuv420p", "crf": crf, "preset": preset,
        "acodec": "aac", "b:a": "192k", "movflags": "+faststart", "loglevel": "error",
        **_REPRODUCIBLE,
    }  # fmt: skip


def run_ffmpeg(stream: Any, path: Path | str) -> None:
    """Run an ffmpeg-python graph; ``path`` is the file named in error messages."""
    _run_to_pipe(stream.overwrite_output(), path)


def pipe_ffmpeg(stream: Any, path: Path | str, limit_sec: float) -> tuple[bytes, bool]:
    """Run an ffmpeg-python graph; return its piped output and whether it reported errors.

    The flag is True if a run that succeeded printed a message of level error: some part did not
    decode. Raises :class:`MediaError` if ffmpeg fails or takes longer than ``limit_sec``.
    """
    try:
        completed = _call_ffmpeg(stream.overwrite_output(), path, "error", limit_sec)
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{path}: ffmpeg was not done after {limit_sec:.0f} s") from error
    return completed.stdout, bool(completed.stderr.strip())


def _run_to_pipe(stream: Any, path: Path | str) -> bytes:
    return _call_ffmpeg(stream, path, "error").stdout


def _call_ffmpeg(
    stream: Any, path: Path | str, level: str, limit_sec: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = stream.global_args("-loglevel", level, "-nostdin").compile(cmd=ffmpeg_exe())
    completed = subprocess.run(command, capture_output=True, check=False, timeout=limit_sec)
    if completed.returncode != 0:
        message = _last_line(completed.stderr.decode(errors="replace"))
        raise MediaError(f"{path}: ffmpeg failed ({message})")
    return completed


def _last_line(message: str) -> str:
    # Remove prefixes such as [h264 @ 0x55d1]: the address differs from run to run.
    stripped = (re.sub(r"^(\[[^]]*\]\s*)+", "", line.strip()) for line in message.splitlines())
    lines = [line for line in stripped if line]
    return lines[-1][:300] if lines else "no message"
