"""Probe, read and write media files.

With decoding.py, presentation.py, survey.py and joined_sound.py the only module that knows FFmpeg.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
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
    select_stream,
    to_ffmpeg_path,
    translate_errors,
)
from sfqa.decoding import shorten_message as shorten_message
from sfqa.ffmpeg_program import find_ffmpeg
from sfqa.joined_sound import assemble_sound as assemble_sound
from sfqa.presentation import (
    Presentation,
    SoundPresentation,
    read_presentation,
    read_sound_presentation,
)
from sfqa.raw_form import RawForm

Sound = npt.NDArray[np.float32]

__all__ = [
    "MediaError", "Pixels", "Presentation", "SoundPresentation", "frame_times", "iterate_frames",
    "read_frame_times", "read_frames", "read_presentation", "read_sound_presentation",
    "to_ffmpeg_path", "translate_errors",
]  # fmt: skip

# The output of frame-threaded encoders depends on the number of threads, so use one thread.
_REPRODUCIBLE: dict[str, Any] = {
    "threads": 1, "fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact",
    "map_metadata": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """Properties of the video and the audio stream that are shown, as the container states them."""

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


def ffmpeg_exe() -> str:
    """Return the path of ffmpeg (:func:`sfqa.ffmpeg_program.find_ffmpeg`)."""
    return find_ffmpeg().path


def probe(path: Path | str) -> Probe:
    """Return the properties of a media file: sizes in pixels, times in seconds, rates in hertz.

    Durations come from the stream, else from the container. Raises :class:`MediaError` if the file
    is missing, empty or not a media file.
    """
    try:
        with av.open(to_ffmpeg_path(path)) as container:
            video, audio = (
                select_stream(container.streams.video),
                select_stream(container.streams.audio),
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
    """Decode the sound of a file as float32 in [-1, 1], from time 0 of the file.

    Of several audio streams the one that is presented counts.

    Returns shape (samples,) for one channel, else (samples, channels). ``start`` and ``count``
    select samples at ``sample_rate``; the others are not kept in memory. Sound that starts
    after time 0 is preceded by silence. Mono is copied to all channels at the same level; extra
    channels are mixed down by ffmpeg's standard matrix, scaled so that it cannot clip. Raises
    :class:`MediaError` if there is no sound or it cannot be decoded.
    """
    with open_sound(path) as source:
        # ffmpeg's upmix would lower the level of mono by 3 dB
        decoded_channels = 1 if source.channels == 1 else channels
        samples = _decode_sound(source.stream, path, sample_rate, decoded_channels, start, count)
    if samples.size == 0:
        raise MediaError(f"{path}: holds no sound")
    if channels == 1:
        return samples
    samples = samples.reshape(-1, decoded_channels)
    return samples if decoded_channels == channels else np.repeat(samples, channels, axis=1)


def _decode_sound(
    sound: Any, path: Path | str, sample_rate: int, channels: int, start: int, count: int | None
) -> Sound:
    """Return samples of an ffmpeg stream, interleaved."""
    # With float output, ffmpeg's downmix raises equal channels by 3 dB, which may clip.
    sound = sound.filter("aresample", sample_rate, rematrix_maxval=1.0, first_pts=0)
    layout = {1: {"channel_layouts": "mono"}, 2: {"channel_layouts": "stereo"}}.get(channels, {})
    sound = sound.filter("aformat", sample_fmts="flt", **layout)
    if start or count is not None:
        end = {} if count is None else {"end_sample": start + count}
        sound = sound.filter("atrim", start_sample=start, **end)
    stream = sound.output("pipe:", format="f32le", acodec="pcm_f32le", ac=channels, ar=sample_rate)
    return np.frombuffer(_run_to_pipe(stream, path), dtype="<f4").astype(np.float32)


@dataclass(frozen=True)
class SoundInput:
    """The sound of a file that is presented, as a stream of ffmpeg-python, and its channels."""

    stream: Any
    channels: int


@contextmanager
def open_sound(path: Path | str, has_one_form: bool = False) -> Iterator[SoundInput]:
    """Yield the sound of a file for ffmpeg; assembled in a temporary file if its form changes.

    ``has_one_form``: it is known that the form does not change, so that the file need not be
    decoded to see. Raises :class:`MediaError` if there is no sound.
    """
    presented = read_sound_presentation(path, has_one_form)
    if presented is None:
        raise MediaError(f"{path}: holds no sound")
    if not presented.needs_assembled_sound:
        sound = ffmpeg.input(to_ffmpeg_path(path), vn=None)[str(presented.stream)]
        yield SoundInput(sound, presented.channels)
        return
    with tempfile.TemporaryDirectory(prefix="sfqa-sound-") as folder:
        assembled = Path(folder) / "sound.f32"
        rate = max(change.form.rate for change in presented.changes)
        assemble_sound(
            path, presented.stream, rate, assembled, presented.shifts, presented.delay_sec
        )
        yield SoundInput(input_assembled_sound(assembled, rate), 2)


def input_assembled_sound(path: Path, rate: int) -> Any:
    """Return the stream of ffmpeg-python for a file of :func:`assemble_sound`."""
    return ffmpeg.input(str(path), format="f32le", ar=rate, ac=2).audio


def loudness_summary(path: Path | str, has_one_form: bool = False) -> dict[str, float]:
    """Return the summary of ffmpeg's filter ebur128 over the sound of a file.

    Keys: ``I`` (integrated loudness in LUFS; -70 if nothing passes the gate), ``LRA`` (loudness
    range in LU), ``Peak`` (true peak in dBTP; ``-inf`` for digital silence), each to one decimal.
    ``has_one_form`` is that of :func:`open_sound`. Raises :class:`MediaError` if the file cannot be
    decoded or ffmpeg prints no summary.
    :mod:`sfqa.loudness` interprets the values.
    """
    with open_sound(path, has_one_form) as source:
        sound = source.stream.filter("ebur128", peak="true", framelog="verbose")
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


def join_raw_video(picture: Path, form: RawForm, out: Path) -> None:
    """Write a raw video and its sound into one temporary file that states its form.

    The pictures and samples are copied, so the file (NUT) is as large as both. Raises
    :class:`MediaError`.
    """
    inputs = [
        ffmpeg.input(
            to_ffmpeg_path(picture), format="rawvideo", pixel_format=form.pixel_format,
            s=f"{form.width}x{form.height}", framerate=form.fps,
        ).video
    ]  # fmt: skip
    if form.sound is not None:
        inputs.append(ffmpeg.input(to_ffmpeg_path(form.sound)).audio)
    run_ffmpeg(ffmpeg.output(*inputs, str(out), format="nut", c="copy"), picture)


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
