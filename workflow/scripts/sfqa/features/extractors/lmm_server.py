"""What a language model on a server says about a singing or talking face."""

from __future__ import annotations

import base64
import io
import wave
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import base, lmm_answers
from sfqa.features.base import Feature, UnusableError, Video
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.chat_client import ChatClient
from sfqa.features.lmm_options import LEVEL_WORDS, LEVELS, declare_answer_options
from sfqa.features.weights import Weights
from sfqa.options import Choice, Flag, Option, Options, Text

VERSION = 2
#: The user names the server: nothing is sent anywhere by default.
REQUIRED_OPTIONS = ("address", "model")
#: Options that change no answer, so that a row is found whatever they are.
UNKEYED_OPTIONS = (
    "address", "attempts", "pause_sec", "time_limit_sec", "per_minute", "parallel",
)  # fmt: skip
COLUMN_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "visual_quality": {"scoring": ("answer", "both")},
    "audio_visual_consistency": {"scoring": ("answer", "both")},
    "answer": {"scoring": ("answer", "both")},
    "visual_quality_expected": {"scoring": ("levels", "both")},
    "audio_visual_consistency_expected": {"scoring": ("levels", "both")},
    "levels": {"scoring": ("levels", "both")},
}
OPTIONS: Options = {
    "address": Text("", "where the server is, such as http://127.0.0.1:8000/v1"),
    "model": Text("", "the model's name on the server; another name is another row"),
    **declare_answer_options(),
    "send": Choice(
        "frames", ("frames", "video"),
        "frames: JPEG pictures, and the sound as a wave file; video: the whole file as a video_url",
    ),
    "fps": Option(2.0, 0.1, 30.0, "frames that are sent of each second"),
    "max_frames": Option(
        32, 1, 768, "most frames that are sent; a longer video is sent with fewer per second",
        whole=True,
    ),
    "continue_prefix": Flag(
        True, "the model continues level_prefix, as vLLM and SGLang can; false: it is only asked"
    ),
    "attempts": Option(5, 1, 20, "how often a request is tried", whole=True),
    "pause_sec": Option(1.0, 0, 60, "pause before the second attempt; each next one doubles it"),
    "time_limit_sec": Option(300, 1, 7200, "how long the server may send nothing"),
    "per_minute": Option(None, 0.1, None, "most requests of a job in a minute; null: no limit"),
    "parallel": Option(4, 1, 64, "videos that are asked about at a time", whole=True),
}  # fmt: skip

_SAMPLE_RATE = 16_000
_JPEG_QUALITY = 95
# Log probabilities that are asked for: the most that the protocol gives.
_TOP_LOGPROBS = 20


@dataclass(frozen=True)
class Content:
    """The parts of a message that show the video, in the protocol's form, and notes."""

    parts: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads a video as the parts of a message."""

    sends_video: bool
    fps: float
    max_frames: int

    def prepare(self, video: Video) -> Content:
        """Return the parts; raises :class:`UnusableError` for what does not decode."""
        if self.sends_video:
            data = base64.b64encode(video.path.read_bytes()).decode()
            url = f"data:video/mp4;base64,{data}"
            return Content(({"type": "video_url", "video_url": {"url": url}},), _note_sound(video))
        check_frames(video)
        try:
            indices = list_sent_frames(video.frames, video.fps, self.fps, self.max_frames)
            frames = media.read_frames(video.path, indices)
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
            for data in map(encode_picture, frames)
        ]
        if video.audio_path is not None:
            try:
                sound = media.read_audio(video.audio_path, _SAMPLE_RATE)
            except media.MediaError as error:
                raise UnusableError("broken: the sound does not decode") from error
            audio = {"data": encode_sound(sound), "format": "wav"}
            parts.append({"type": "input_audio", "input_audio": audio})
        return Content(tuple(parts), _note_sound(video))


class Extractor:
    """Frames and sound -> an answer with two numbers, and log probabilities of five level words.

    The server speaks the OpenAI protocol (vLLM, SGLang and others). ``levels`` are log
    probabilities, which give the same expectation as logits; a server that does not give those of
    all five words leaves them empty, with a note. A request that fails is a failed row, which the
    next run asks for again; the answer of another model is none.
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = lmm_answers.FEATURES
    INPUTS: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Note what is asked; raises :class:`UserError` for an address that is none."""
        self.questions = lmm_answers.Questions(options)
        self.needs_levels = options["scoring"] == LEVELS
        self.continues_prefix: bool = options["continue_prefix"]
        self.max_tokens: int = options["max_new_tokens"]
        self.parallel: int = options["parallel"]
        self.client = ChatClient(
            options["address"], options["model"], options["attempts"], options["pause_sec"],
            options["time_limit_sec"], options["per_minute"],
        )  # fmt: skip
        self.reader: base.VideoReader = Reader(
            options["send"] == "video", float(options["fps"]), options["max_frames"]
        )

    def extract(self, video: Video) -> dict[str, Any]:
        """Return the columns of :data:`sfqa.features.lmm_answers.FEATURES`.

        Raises :class:`UnusableError` for a video that does not decode, an answer that does not
        follow the template, and a server that does not answer.
        """
        return base.extract_one(self, video)

    def score(self, prepared: Iterable[Content]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video, in order; several are asked about at a time."""
        in_flight: deque[Future[dict[str, Any] | UnusableError]] = deque()
        with ThreadPoolExecutor(self.parallel, "ask") as pool:
            try:
                for content in prepared:
                    in_flight.append(pool.submit(self._make_row, content))
                    if len(in_flight) >= self.parallel:
                        yield in_flight.popleft().result()
                while in_flight:
                    yield in_flight.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _make_row(self, content: Content) -> dict[str, Any] | UnusableError:
        try:
            answer, levels, notes = None, None, list(content.notes)
            if self.questions.asks_answer:
                answer = self._ask(content, self.questions.prompt)
                self.questions.read_answer(answer)
            if self.questions.asks_levels:
                levels, note = self._ask_levels(content)
                notes += [note] if note else []
            row = self.questions.make_row(answer, levels)
        except UnusableError as error:
            return error
        return {**row, "detail": "; ".join(notes)}

    def _ask(self, content: Content, prompt: str) -> str:
        """Return the text that the model answers; raises :class:`UnusableError` if it is cut."""
        reply = self.client.ask(_make_messages(content, prompt), max_tokens=self.max_tokens)
        self.questions.check_end(reply.text, reply.is_cut)
        return reply.text

    def _ask_levels(self, content: Content) -> tuple[Floats32 | None, str]:
        """Return log probabilities of the level words (dimensions, 5), or why there are none."""
        levels = []
        prompts, prefixes = self.questions.level_prompts, self.questions.level_prefixes
        for prompt, prefix in zip(prompts, prefixes, strict=True):
            messages = _make_messages(content, prompt)
            settings: dict[str, Any] = {}
            if self.continues_prefix:
                messages.append({"role": "assistant", "content": prefix})
                settings = {"continue_final_message": True, "add_generation_prompt": False}
            reply = self.client.ask(
                messages, max_tokens=1, logprobs=True, top_logprobs=_TOP_LOGPROBS, **settings
            )
            missing = [word for word in LEVEL_WORDS if word not in reply.first_words]
            if missing:
                note = (
                    "no_levels: the server gave no log probability of the words "
                    f"{', '.join(missing)}"
                )
                if self.needs_levels:
                    raise UnusableError(note)
                return None, note
            levels.append([reply.first_words[word] for word in LEVEL_WORDS])
        return np.array(levels, np.float32), ""


def list_sent_frames(frames: int, fps: float, per_second: float, most: int) -> list[int]:
    """Return evenly spaced frames from the first one: so many per second, at least one.

    >>> list_sent_frames(100, 25.0, 2.0, 32), list_sent_frames(100, 25.0, 2.0, 3)
    ([0, 12, 25, 37, 50, 62, 75, 87], [0, 33, 66])
    """
    count = min(max(int(frames / fps * per_second), 1), most, frames)
    return [number * frames // count for number in range(count)]


def encode_picture(picture: media.Pixels) -> str:
    """Return a frame (height, width, 3) as JPEG in base64."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return base64.b64encode(out.getvalue()).decode()


def encode_sound(sound: Floats32) -> str:
    """Return sound (samples,) in -1..1 at 16 kHz as a wave file of 16 bits in base64."""
    samples = np.clip(np.round(sound * 32767.0), -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return base64.b64encode(out.getvalue()).decode()


def _note_sound(video: Video) -> tuple[str, ...]:
    if video.audio_path is not None:
        return ()
    return ("silent: the video has no sound, so the model saw the picture alone",)


def _make_messages(content: Content, prompt: str) -> list[dict[str, Any]]:
    """Return a chat of one message: the video, then the question."""
    parts = [*content.parts, {"type": "text", "text": prompt}]
    return [{"role": "user", "content": parts}]
