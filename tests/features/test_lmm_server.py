"""Language models on a server, against a stand-in on loopback that plays answers and failures.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_lmm_server.py``.
"""

from __future__ import annotations

import base64
import io
import json
import wave
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from golden_weights import draw_song, draw_video
from sfqa import media, tables
from sfqa.errors import UserError
from sfqa.features import base, chat_client, lmm_answers
from sfqa.features.base import UnusableError, Video
from sfqa.features.chat_client import ChatClient, Reply
from sfqa.features.extractors import lmm_server
from sfqa.features.run import extract_shard
from sfqa.features.weights import Weights
from sfqa.plan import Plan
from sfqa.workers import LostTaskError
from stand_in_chat_server import (
    ANSWER,
    LOGPROBS,
    MODEL,
    StandInChatServer,
    answer,
    chat_server,
    drop,
    echo_header,
    fail,
    hang,
    send,
)
from videos import make_video

__all__ = ["chat_server"]

GOLDEN = Path(__file__).parent / "golden" / "lmm_server.json"
NONE = Weights("none", "none")
CONTENT = lmm_server.Content(({"type": "text", "text": "a video"},))


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(chat_client.KEY_VARIABLE, raising=False)


def build(server: StandInChatServer, **options: Any) -> Any:
    given = {"address": server.address, "model": MODEL, "pause_sec": 0.01, "attempts": 3}
    return base.build_extractor("lmm_server", given | options, NONE, "cpu")


def ask(server: StandInChatServer, **options: Any) -> dict[str, Any]:
    (row,) = build(server, **options).score([CONTENT])
    if isinstance(row, UnusableError):
        raise row
    return dict(row)


def test_a_row_holds_answer_numbers_and_levels(chat_server: StandInChatServer) -> None:
    row = ask(chat_server)
    assert row.keys() == {f.name for f in lmm_server.Extractor.FEATURES} | {"detail"}
    assert (row["answer"], row["visual_quality"], row["audio_visual_consistency"]) == (
        ANSWER, 62.0, 48.5
    )  # fmt: skip
    expected = lmm_answers.compute_expected_levels(np.array(list(LOGPROBS.values())))
    assert row["visual_quality_expected"] == pytest.approx(expected)
    assert row["levels"].tolist() == [list(LOGPROBS.values())] * 2
    asked = [request for _, _, request, _ in chat_server.requests]
    assert [len(request["messages"]) for request in asked] == [1, 2, 2]
    assert all(request["temperature"] == 0 for request in asked)
    prompt = asked[0]["messages"][0]["content"][-1]["text"]
    assert "Visual quality: <number>, audio-visual consistency: <number>" in prompt
    assert asked[1]["messages"][1]["content"] == "The visual quality of the video is"
    assert (asked[1]["continue_final_message"], asked[1]["max_tokens"]) == (True, 1)
    assert chat_server.requests[0][0] == "/v1/chat/completions"


@pytest.mark.parametrize("scoring", ["answer", "levels"])
def test_only_what_is_scored_is_asked(chat_server: StandInChatServer, scoring: str) -> None:
    row = ask(chat_server, scoring=scoring, continue_prefix=False)
    assert (row["answer"] is None) == (scoring == "levels")
    assert (row["levels"] is None) == (scoring == "answer")
    assert all(len(request["messages"]) == 1 for _, _, request, _ in chat_server.requests)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is rather good.\nI think", r'wrong_template: the answer "It is rather good\.\\nI'),
        ("Visual quality: 7/10, audio-visual consistency: 5", "wrong_template"),
        (
            "Visual quality: 130, audio-visual consistency: 5",
            "outside_scale: .* visual_quality 130",
        ),
        ("", "wrong_template"),
    ],
)
def test_a_wrong_answer_is_a_final_reason_with_its_text(
    chat_server: StandInChatServer, text: str, reason: str
) -> None:
    chat_server.play(answer(text))
    with pytest.raises(UnusableError, match=reason) as caught:
        ask(chat_server)
    assert not isinstance(caught.value, LostTaskError)
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize("failure", [fail(500), fail(503), fail(408)])
def test_a_failure_of_the_server_is_tried_again(
    chat_server: StandInChatServer, failure: Any
) -> None:
    chat_server.play(failure, failure, answer())
    assert ask(chat_server, scoring="answer")["visual_quality"] == 62.0
    assert len(chat_server.requests) == 3


def test_a_stated_pause_is_kept(chat_server: StandInChatServer) -> None:
    chat_server.play(fail(429, Retry_After="1"), answer())
    ask(chat_server, scoring="answer")
    first, second = (seconds for *_, seconds in chat_server.requests)
    assert second - first >= 1
    assert chat_client._read_pause("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert chat_client._read_pause("soon") == 0


@pytest.mark.parametrize(
    ("play", "reason", "requests"),
    [
        (fail(500), "server_error: the server answered with status 500: 'busy', tried 3 times", 3),
        (fail(400, b"too long"), "server_error: .* status 400: 'too long'", 1),
        (fail(302, Location="http://127.0.0.1:1/"), "server_error: .* status 302", 1),
        (send(b"<html>hello</html>"), "wrong_reply: .*'<html>hello</html>'", 1),
        (send(b'{"model": "stand-in-omni", "choices": []}'), "wrong_reply", 1),
        (send(b"[]"), "wrong_reply", 1),
        (answer(model="another"), "another_model: .* model 'another', not 'stand-in-omni'", 1),
    ],
)
def test_a_lost_request_is_a_reason_and_no_number(
    chat_server: StandInChatServer, play: Any, reason: str, requests: int
) -> None:
    chat_server.play(play)
    with pytest.raises(LostTaskError, match=reason):
        ask(chat_server)
    assert len(chat_server.requests) == requests


def test_a_silent_server_is_left_after_the_time_limit(chat_server: StandInChatServer) -> None:
    chat_server.play(hang(2))
    client = ChatClient(chat_server.address, MODEL, attempts=1, time_limit_sec=0.2)
    with pytest.raises(LostTaskError, match=r"timeout: the server sent nothing for 0\.2 s"):
        client.ask([])


def test_no_server_is_a_reason_and_later_videos_wait_less(
    chat_server: StandInChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_server.close()
    pauses: list[float] = []
    monkeypatch.setattr(chat_client.time, "sleep", pauses.append)
    extractor = build(chat_server, parallel=1)
    rows = list(extractor.score([CONTENT] * 3))
    assert [str(row).partition(":")[0] for row in rows] == ["unreachable"] * 3
    tries = [str(row).rpartition(", ")[2] for row in rows]
    assert tries == ["tried 3 times", "tried once", "tried once"]
    assert [pause for pause in pauses if pause] == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, f"refuses the key .*{chat_client.KEY_VARIABLE}"), (404, "no model 'stand-in-omni'")],
)
def test_a_mistake_of_the_user_stops_the_job(
    chat_server: StandInChatServer, status: int, message: str
) -> None:
    chat_server.play(fail(status, b"no"))
    with pytest.raises(UserError, match=message):
        ask(chat_server)


@pytest.mark.parametrize("logprobs", [None, {" good": -0.1, " fair": -3.0}])
def test_levels_are_there_only_if_the_server_gives_all(
    chat_server: StandInChatServer, logprobs: dict[str, float] | None
) -> None:
    chat_server.play(answer(logprobs=logprobs))
    row = ask(chat_server)
    assert row["visual_quality"] == 62.0
    assert row["levels"] is row["visual_quality_expected"] is None
    assert row["detail"].startswith("no_levels: the server gave no log probability of the words ")
    with pytest.raises(UnusableError, match="no_levels"):
        ask(chat_server, scoring="levels")


def test_the_key_is_sent_and_in_no_message(
    chat_server: StandInChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(chat_client.KEY_VARIABLE, "secret-123")
    chat_server.play(answer(), fail(400, b"you sent secret-123"))
    extractor = build(chat_server, scoring="answer", parallel=1)
    _, lost = extractor.score([CONTENT] * 2)
    assert chat_server.requests[0][1]["Authorization"] == "Bearer secret-123"
    assert "secret" not in str(lost)
    with pytest.raises(UserError, match="has no encryption, and SFQA_LMM_API_KEY would be sent"):
        ChatClient("http://gpu.example.org:8000/v1", MODEL)
    monkeypatch.delenv(chat_client.KEY_VARIABLE)
    ChatClient("http://gpu.example.org:8000/v1", MODEL)


def test_a_key_that_the_server_repeats_is_in_no_row(
    chat_server: StandInChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(chat_client.KEY_VARIABLE, " secret-123\n")  # as a file of it ends
    chat_server.play(echo_header("Authorization"))
    (row,) = build(chat_server, scoring="answer").score([CONTENT])
    assert str(row).startswith('wrong_template: the answer "You sent Bearer [key]" does not')


@pytest.mark.parametrize("key", ["secret-1\nsecret-2", "secret 1", "secret-\u20ac", "secret\x00"])
def test_a_key_that_cannot_be_sent_is_a_sentence_without_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_client.os, "environ", {chat_client.KEY_VARIABLE: key})
    with pytest.raises(UserError, match="SFQA_LMM_API_KEY is no key: it has a gap") as raised:
        ChatClient("https://a.example.org/v1", MODEL)
    assert "secret" not in str(raised.value)


def test_an_answer_that_the_server_cut_is_no_number(chat_server: StandInChatServer) -> None:
    text = "Visual quality: 62, audio-visual consistency: 4"  # of 48
    chat_server.play(answer(text, finish_reason="length"))
    with pytest.raises(UnusableError, match="cut: the answer .* not finished after 48 tokens"):
        ask(chat_server)


def test_a_reply_that_ends_early_is_asked_for_again(chat_server: StandInChatServer) -> None:
    chat_server.play(drop(b'{"model": "stand', 200), answer())
    assert ask(chat_server, scoring="answer")["visual_quality"] == 62.0
    assert len(chat_server.requests) == 2
    chat_server.play(drop(b'{"model": "stand', 200))
    with pytest.raises(LostTaskError, match=r"unreachable: .*200 more expected.*tried 3 times"):
        ask(chat_server)


def test_requests_are_limited_in_rate_and_answers_keep_their_order(
    chat_server: StandInChatServer,
) -> None:
    extractor = build(chat_server, scoring="answer", per_minute=600, parallel=4)
    chat_server.play(
        *(answer(f"Visual quality: {n}, audio-visual consistency: 0") for n in range(5))
    )
    contents = [lmm_server.Content((), (f"n: {number}",)) for number in range(5)]
    rows = list(extractor.score(contents))
    assert [row["detail"] for row in rows] == [f"n: {number}" for number in range(5)]
    assert sorted(row["visual_quality"] for row in rows) == [0, 1, 2, 3, 4]
    times = [seconds for *_, seconds in chat_server.requests]
    assert times[-1] - times[0] >= 0.35  # four intervals of 0.1 s


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    make_video(folder / "v.mp4", frames=50)
    media.write_wave(folder / "v.wav", draw_song(0, 2.0, 8000).astype(np.float32) / 32768, 8000)
    return folder


def make(files: Path, sound: bool = True) -> Video:
    return Video("v", files / "v.mp4", "0" * 64, 25.0, 50, files / "v.wav" if sound else None)


def test_frames_and_sound_are_sent_as_they_are(chat_server: StandInChatServer, files: Path) -> None:
    extractor = build(chat_server, scoring="answer")
    extractor.extract(make(files))
    *pictures, sound, text = chat_server.requests[0][2]["messages"][0]["content"]
    assert text["type"] == "text"
    frames = media.read_frames(files / "v.mp4", [0, 12, 25, 37])
    assert len(pictures) == len(frames)
    for part, frame in zip(pictures, frames, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), np.int16)
        assert np.abs(sent - frame).mean() < 4
    audio = sound["input_audio"]
    with wave.open(io.BytesIO(base64.b64decode(audio["data"]))) as file:
        assert (audio["format"], file.getframerate(), file.getnchannels()) == ("wav", 16000, 1)
        assert file.getnframes() == 32000


def test_a_silent_video_is_sent_alone_and_flawed(
    chat_server: StandInChatServer, files: Path
) -> None:
    row = build(chat_server, scoring="answer").extract(make(files, sound=False))
    assert row["detail"].startswith("silent: the video has no sound")
    kinds = {part["type"] for part in chat_server.requests[0][2]["messages"][0]["content"]}
    assert kinds == {"image_url", "text"}


def test_the_whole_file_can_be_sent(chat_server: StandInChatServer, files: Path) -> None:
    build(chat_server, scoring="answer", send="video").extract(make(files))
    video, _ = chat_server.requests[0][2]["messages"][0]["content"]
    data = base64.b64decode(video["video_url"]["url"].removeprefix("data:video/mp4;base64,"))
    assert data == (files / "v.mp4").read_bytes()


def test_a_video_that_does_not_decode_is_not_sent(
    chat_server: StandInChatServer, files: Path
) -> None:
    extractor = build(chat_server)
    for change in ({"frames": 500}, {"frames": 0}, {"audio_path": files / "none.wav"}):
        with pytest.raises(UnusableError, match="broken"):
            extractor.extract(replace(make(files), **change))
    assert chat_server.requests == []


def test_the_model_is_in_the_key_and_the_address_is_not(
    chat_server: StandInChatServer, files: Path, tmp_path: Path
) -> None:
    record = dict.fromkeys(column.name for column in tables.CONFORMED.columns) | {
        "sample_id": "v", "method": "m", "status": "ok", "detail": "", "path": str(files / "v.mp4"),
        "sha256": "0" * 64, "fps": 25.0, "frames": 50, "prompt": None,
    }  # fmt: skip

    def extract(**options: Any) -> tuple[str, int]:
        before = len(chat_server.requests)
        given = {"address": chat_server.address, "model": MODEL, "scoring": "answer"}
        given |= {"pause_sec": 0.01, "attempts": 1} | options
        table, metadata, _ = extract_shard(
            pd.DataFrame([record]), "lmm_server", {"weights": "none", "options": given},
            tmp_path, "m/0", lambda: nullcontext("cpu"),
        )  # fmt: skip
        assert "address" not in metadata["options"]
        return table["status"][0].as_py(), len(chat_server.requests) - before

    assert extract() == ("flawed", 1)  # silent
    assert extract(address=chat_server.address + "/", attempts=9, parallel=1) == ("flawed", 0)
    chat_server.play(answer(model="other"))
    assert extract(model="other") == ("flawed", 1)
    assert extract(prompt="Other: {template}") == ("failed", 1)  # another model answered
    chat_server.play(answer())
    assert extract(prompt="Other: {template}") == ("flawed", 1)  # and is asked again
    assert extract() == ("flawed", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "m"}, "options.address: missing; this extractor has no default for it: where"),
        ({"address": "http://127.0.0.1:1/v1"}, "options.model: missing"),
        ({"address": "127.0.0.1:8000", "model": "m"}, "is no address; write one such as http://"),
        ({"address": "ftp://a/v1", "model": "m"}, "is no address"),
        ({"address": "http://[::1/v1", "model": "m"}, "is no address"),
        ({"address": "http://a:b/v1", "model": "m"}, "is no address"),
        ({"address": "http://a/v1 b", "model": "m"}, "is no address"),
        ({"address": "https://me:pw@a.org/v1", "model": "m"}, "without a user name"),
        (
            {"address": "http://127.0.0.1:1/v1", "model": "m", "template": "{visual_quality}"},
            "has {visual_quality} and {audio_visual_consistency} once",
        ),
        (
            {"address": "http://127.0.0.1:1/v1", "model": "m", "lowest": 5, "highest": 1},
            "lowest: 5 is not below highest: 1",
        ),
    ],
)
def test_mistakes_are_sentences(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        base.build_extractor("lmm_server", options, NONE, "cpu")


def test_a_missing_address_is_an_error_before_the_first_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    config = {
        "dataset": "d", "mode": "build", "pairs": {"count": 2},
        "materials": {"images": "resources/demo/images.csv", "clips": "resources/demo/clips.csv"},
        "generation": {"methods": ["sharp"]}, "features": {"lmm_server": {"weights": "none"}},
    }  # fmt: skip
    schema = root / "workflow" / "schemas" / "config.schema.yaml"
    with pytest.raises(UserError, match=r"features\.lmm_server\.options\.address: missing"):
        Plan(config, schema, check_files=False)


def pinned() -> dict[str, Any]:
    """Numbers of every column, from replies in place of a server's, and what is sent."""
    options = {"address": "http://127.0.0.1:1/v1", "model": MODEL}
    extractor: Any = base.build_extractor("lmm_server", options, NONE, "cpu")
    words = {word.strip(): value for word, value in LOGPROBS.items()}
    extractor.client.ask = lambda *_, **__: Reply(ANSWER, words)
    (row,) = extractor.score([CONTENT])
    frame = draw_video(0, 1, 32, 48)[0]
    sent = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(lmm_server.encode_picture(frame)))), np.int64
    )
    return {
        "version": lmm_server.VERSION,
        "numbers": [row[name] for name in lmm_answers.DIMENSIONS],
        "expected": [row[f"{name}_expected"] for name in lmm_answers.DIMENSIONS],
        "levels": row["levels"].tolist(),
        "frames": lmm_server.list_sent_frames(149, 29.97, 2.0, 32),
        "pixels": sent[::8, ::12, 0].tolist(),
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    for name, values in expected.items():
        # Versions of the JPEG library may differ by a level.
        atol = 1.5 if name == "pixels" else 1e-5
        np.testing.assert_allclose(computed[name], values, atol=atol, err_msg=message)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
