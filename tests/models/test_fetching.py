"""Official weights from a fake publisher on loopback: fetched, resumed, checked, pinned."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from loopback_server import Answer, Handler, Server, cut, ranged, whole
from sfqa.errors import UserError
from sfqa.models.fetching import fetch_weights
from sfqa.models.locating import MISSING, THERE, WRONG, find_weights, open_digests, save_digests
from sfqa.models.lock import WeightsLock
from sfqa.models.weights_files import WeightsFile, as_dict

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 2000 + b"the end"
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"other" * 100_000
QUICK: dict[str, Any] = {"attempts": 2, "stall_sec": 5.0, "pause_sec": 0.01}


@pytest.fixture(autouse=True)
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caches of the hub and of torch are empty folders."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def describe(server: Server | None = None, **more: Any) -> WeightsFile:
    """Return an entry for net.pth at the server, without a digest."""
    where = {"url": f"{server.url}/net.pth"} if server else {"by_hand": "ask its authors"}
    values = {"licence": "MIT", "extractor": "slowfast", **where, **more}
    return WeightsFile("net", "net.pth", "its authors", **values)


def fetch(entry: WeightsFile, folder: Path, **more: Any) -> dict[str, Any]:
    return fetch_weights(entry, folder, log=lambda line: None, **{**QUICK, **more})


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ranged_with_etag(body: bytes, etag: str, after: int | None = None) -> Answer:
    """Answer ranges only if they are asked with the right ``If-Range``; cut after some bytes."""

    def answer(handler: Handler) -> None:
        value = handler.headers.get("Range") or ""
        begin = int(value.removeprefix("bytes=").rstrip("-") or 0)
        if handler.headers.get("If-Range") != f'"{etag}"':
            begin = 0
        rest, headers = body[begin:], {"ETag": f'"{etag}"'}
        if begin:
            headers["Content_Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        length = len(rest)
        handler.reply(rest[:after], 206 if begin else 200, length=length, **headers)

    return answer


def test_a_missing_file_is_fetched_once_and_described(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [whole(CONTENT)]
    manifest = fetch(describe(server, sha256=SHA, size=len(CONTENT)), tmp_path / "w")
    assert manifest == {"name": "net", "file": "net.pth", "size": len(CONTENT), "sha256": SHA}
    assert (tmp_path / "w/net.pth").read_bytes() == CONTENT
    fetch(describe(server, sha256=SHA), tmp_path / "w")
    assert len(server.seen) == 1


@pytest.mark.parametrize("digits", [SHA, SHA[:8], ""])
def test_any_number_of_published_digits_will_do(
    server: Server, tmp_path: Path, digits: str
) -> None:
    server.answers["/net.pth"] = [whole(CONTENT)]
    assert fetch(describe(server, sha256=digits), tmp_path)["sha256"] == SHA


@pytest.mark.parametrize("digits", ["0123456789abcdef" * 4, "01234567"])
def test_a_wrong_digest_is_refused_and_deleted(server: Server, tmp_path: Path, digits: str) -> None:
    server.answers["/net.pth"] = [whole(CONTENT)]
    with pytest.raises(UserError) as caught:
        fetch(describe(server, sha256=digits), tmp_path)
    assert SHA in str(caught.value)
    assert digits in str(caught.value)
    assert "config/weights.yaml" in str(caught.value)
    assert not (tmp_path / "net.pth").exists()
    assert not list((tmp_path / ".downloads").glob("*.part"))


def test_another_size_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [whole(CONTENT)]
    with pytest.raises(UserError, match=f"has {len(CONTENT)} bytes, and its publisher states 5"):
        fetch(describe(server, size=5), tmp_path)


@pytest.mark.parametrize("sha256", ["", SHA])
def test_a_web_page_with_status_200_is_no_file(server: Server, tmp_path: Path, sha256: str) -> None:
    page = b"\n<!DOCTYPE html><html><title>Log in</title></html>"
    server.answers["/net.pth"] = [whole(page)]
    with pytest.raises(UserError, match="answers with a web page and not with the file"):
        fetch(describe(server, sha256=sha256), tmp_path)
    assert not (tmp_path / "net.pth").exists()


def test_a_404_says_how_to_get_the_file_by_hand(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(describe(server, by_hand="their page links it"), tmp_path)
    assert "the server says 404" in str(caught.value)
    assert f"put it into {tmp_path} (their page links it)" in str(caught.value)


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [lambda h: h.reply(b"", 302, Location=f"{server.url}/cdn")]
    server.answers["/cdn"] = [whole(CONTENT)]
    assert fetch(describe(server, sha256=SHA), tmp_path)["sha256"] == SHA


def test_a_broken_download_with_a_digest_resumes(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [cut(CONTENT, 200_000), ranged(CONTENT)]
    fetch(describe(server, sha256=SHA), tmp_path)
    assert [span for *_, span in server.seen] == [None, "bytes=200000-"]


def test_without_a_digest_it_resumes_only_the_same_file(server: Server, tmp_path: Path) -> None:
    answers = [ranged_with_etag(CONTENT, "a", 200_000), ranged_with_etag(CONTENT, "a")]
    server.answers["/net.pth"] = answers
    assert fetch(describe(server), tmp_path / "same")["sha256"] == SHA
    assert server.seen[-1][2] == "bytes=200000-"
    # The publisher replaces the file between two attempts: it is fetched from its first byte.
    server.answers["/net.pth"] = [
        ranged_with_etag(CONTENT, "a", 200_000), ranged_with_etag(OTHER, "b")
    ]  # fmt: skip
    sha256 = fetch(describe(server), tmp_path / "replaced")["sha256"]
    assert sha256 == hashlib.sha256(OTHER).hexdigest()


def test_without_a_digest_and_an_etag_it_starts_again(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [cut(CONTENT, 200_000), ranged(CONTENT)]
    assert fetch(describe(server), tmp_path)["sha256"] == SHA
    assert [span for *_, span in server.seen] == [None, None]


CALL = """
import json, sys
from pathlib import Path
from sfqa.models.fetching import fetch_weights
from sfqa.models.lock import WeightsLock
from sfqa.models.weights_files import from_dict
entry, folder = from_dict(json.loads(sys.argv[1])), Path(sys.argv[2])
manifest = fetch_weights(entry, folder, lock=WeightsLock(folder / "lock.json"), log=lambda line: None)
print(json.dumps(manifest))
"""


def start_fetch(entry: WeightsFile, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CALL, json.dumps(as_dict(entry)), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_resumes(server: Server, tmp_path: Path) -> None:
    released, large = threading.Event(), CONTENT * 6
    sha256 = hashlib.sha256(large).hexdigest()

    def half(handler: Handler) -> None:
        handler.reply(large[:2_000_000], length=len(large))
        handler.wfile.flush()
        released.wait(30)

    server.answers["/net.pth"] = [half, ranged(large)]
    entry = describe(server, sha256=sha256)
    process = start_fetch(entry, tmp_path)
    part = tmp_path / ".downloads" / f"{sha256}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    released.set()
    size = part.stat().st_size
    assert 0 < size <= 2_000_000
    assert fetch(entry, tmp_path)["sha256"] == sha256
    assert server.seen[-1][2] == f"bytes={size}-"


def test_two_processes_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.5)
        handler.reply(CONTENT)

    server.answers["/net.pth"] = [slow]
    processes = [start_fetch(describe(server), tmp_path) for _ in range(2)]
    manifests = [json.loads(process.communicate()[0]) for process in processes]
    assert manifests[0] == manifests[1]
    assert len(server.seen) == 1


def test_a_mirror_is_asked_before_the_publisher(server: Server, tmp_path: Path) -> None:
    server.answers["/mirror/net.pth"] = [whole(CONTENT)]
    fetch(describe(server, sha256=SHA), tmp_path, mirrors=[f"{server.url}/mirror/"])
    assert [path for _, path, _ in server.seen] == ["/mirror/net.pth"]


def test_a_mirror_with_another_file_is_passed_over(server: Server, tmp_path: Path) -> None:
    server.answers["/mirror/net.pth"] = [whole(OTHER)]
    server.answers["/net.pth"] = [whole(CONTENT)]
    mirrors = [f"{server.url}/mirror"]
    assert fetch(describe(server, sha256=SHA), tmp_path, mirrors=mirrors)["sha256"] == SHA


def test_a_folder_may_be_a_mirror(tmp_path: Path) -> None:
    put(tmp_path / "shared/net.pth")
    manifest = fetch(describe(sha256=SHA), tmp_path / "w", mirrors=[str(tmp_path / "shared")])
    assert manifest["sha256"] == SHA
    assert not (tmp_path / "w/net.pth").exists()


def test_the_hub_states_the_digest(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")

    def serve(body: bytes, etag: str) -> None:
        path = "/o/n/resolve/main/a/net.bin"
        answer: Answer = lambda h: h.reply(body, ETag=f'"{etag}"', X_Repo_Commit="c" * 40)  # noqa: E731
        server.answers[path] = [answer]

    entry = WeightsFile("net", "net.pth", "they", "MIT", "clip", hub="o/n", path="a/net.bin")
    serve(CONTENT, SHA)
    assert fetch(entry, tmp_path / "good")["sha256"] == SHA
    serve(OTHER, SHA)  # other bytes than the hub states
    with pytest.raises(UserError, match=f"not {SHA}"):
        fetch(entry, tmp_path / "bad")
    with pytest.raises(UserError, match="now has the sha256"):
        fetch(describe(hub="o/n", path="a/net.bin", sha256="01234567"), tmp_path / "moved")


def test_the_first_accepted_file_is_pinned_and_another_refused(
    server: Server, tmp_path: Path
) -> None:
    lock_path, folder = tmp_path / "lock.json", tmp_path / "w"
    server.answers["/net.pth"] = [whole(CONTENT)]
    fetch(describe(server), folder, lock=WeightsLock(lock_path))
    assert json.loads(lock_path.read_text()) == {"net": SHA}
    put(folder / "net.pth", OTHER)
    with pytest.raises(UserError, match=f"expected {SHA}, which this dataset used before"):
        fetch(describe(server), folder, lock=WeightsLock(lock_path))
    (folder / "net.pth").unlink()
    server.answers["/net.pth"] = [whole(OTHER)]
    with pytest.raises(UserError, match=SHA):
        fetch(describe(server), folder, lock=WeightsLock(lock_path))
    assert json.loads(lock_path.read_text()) == {"net": SHA}
    with pytest.raises(UserError, match="is pinned to the sha256"):
        WeightsLock(lock_path).pin("net", hashlib.sha256(OTHER).hexdigest())


def test_a_damaged_lock_file_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "lock.json", b"{")
    with pytest.raises(UserError, match="cannot be read"):
        WeightsLock(tmp_path / "lock.json")


def test_the_caches_of_the_hub_and_of_torch_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "HF_HOME/hub/models--o--n"
    blob = put(repository / "blobs" / SHA)
    link = repository / "snapshots/abc/a/net.bin"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    put(repository / "snapshots/aaa/a/net.bin", OTHER)
    put(repository / "refs/main", b"abc")
    entry = describe(hub="o/n", path="a/net.bin")
    assert find_weights(entry, tmp_path, open_digests(tmp_path)).path == link
    other = find_weights(describe(hub="o/x", path="a/net.bin"), tmp_path, open_digests(tmp_path))
    assert other.state == MISSING
    in_torch = put(tmp_path / "TORCH_HOME/hub/checkpoints/net.pth")
    assert find_weights(describe(), tmp_path, open_digests(tmp_path)).path == in_torch
    monkeypatch.delenv("TORCH_HOME")
    in_cache = put(tmp_path / "XDG_CACHE_HOME/torch/hub/checkpoints/net.pth")
    assert find_weights(describe(), tmp_path, open_digests(tmp_path)).path == in_cache


def test_a_right_file_is_found_behind_a_wrong_one(tmp_path: Path) -> None:
    put(tmp_path / "w/net.pth", OTHER)
    digests = open_digests(tmp_path / "w")
    status = find_weights(describe(sha256=SHA), tmp_path / "w", digests)
    assert status.state == WRONG
    assert SHA in status.reason
    assert hashlib.sha256(OTHER).hexdigest() in status.reason
    put(tmp_path / "TORCH_HOME/hub/checkpoints/net.pth")
    assert find_weights(describe(sha256=SHA), tmp_path / "w", digests).state == THERE


def test_a_pointer_of_git_lfs_is_no_file(tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA}\nsize 9\n"
    put(tmp_path / "net.pth", pointer.encode())
    status = find_weights(describe(), tmp_path, open_digests(tmp_path))
    assert status.state == WRONG
    assert "git lfs pull" in status.reason


@pytest.mark.parametrize(
    ("content", "fault"), [(b"", "is empty"), (b"\n<!DOCTYPE html><html>", "is a web page")]
)
def test_what_was_saved_by_hand_instead_of_the_file_is_not_pinned(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    """Without a published digest the first accepted file is pinned, and the right one refused."""
    lock = WeightsLock(tmp_path / "lock.json")
    put(tmp_path / "weights/net.pth", content)
    entry = describe(url="")
    status = find_weights(entry, tmp_path / "weights", open_digests(tmp_path / "weights"))
    assert status.state == WRONG
    assert fault in status.reason
    with pytest.raises(UserError, match=fault):
        fetch(entry, tmp_path / "weights", lock=lock)
    put(tmp_path / "weights/net.pth")
    fetch(entry, tmp_path / "weights", lock=lock)


def test_an_empty_answer_is_no_file(server: Server, tmp_path: Path) -> None:
    server.answers["/net.pth"] = [whole(b"")] * 9
    with pytest.raises(UserError, match="answers with an empty file"):
        fetch(describe(server, sha256="", sha256_source=""), tmp_path)


def test_files_are_hashed_once_and_again_when_they_change(tmp_path: Path) -> None:
    put(tmp_path / "TORCH_HOME/hub/checkpoints/net.pth")
    digests = open_digests(tmp_path / "w")
    find_weights(describe(), tmp_path / "w", digests)
    save_digests(digests)
    assert digests.hashed == 1
    again = open_digests(tmp_path / "w")
    assert find_weights(describe(), tmp_path / "w", again).sha256 == SHA
    assert again.hashed == 0
    replacement = put(tmp_path / "new.pth", CONTENT[::-1])
    times = (tmp_path / "TORCH_HOME/hub/checkpoints/net.pth").stat()
    os.utime(replacement, ns=(times.st_atime_ns, times.st_mtime_ns))
    replacement.replace(tmp_path / "TORCH_HOME/hub/checkpoints/net.pth")
    assert find_weights(describe(), tmp_path / "w", open_digests(tmp_path / "w")).sha256 != SHA
