"""Weights over a real loopback server: one address, and a hub that answers as the real one does."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from loopback_server import (
    Answer,
    Handler,
    Server,
    cut,
    ranged,
    stalling,
    status,
    whole,
)
from sfqa import download
from sfqa.digests import Digests
from sfqa.errors import UserError
from sfqa.repositories import hub
from sfqa.repositories.sources import Download

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 4000 + b"the end"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation whose name would break a shell."""
    made = tmp_path / '-it\'s a "folder"'
    (made / "repo").mkdir(parents=True)
    return made


def get(folder: Path, url: str, sha256: str = SHA, **more: float) -> tuple[Path, list[str]]:
    said: list[str] = []
    target, parts = folder / "repo" / "w" / "net.pth", folder / ".downloads"
    options = {"attempts": 3, "stall_sec": 5.0, "pause_sec": 0.01, **more}
    download.fetch_url(url, sha256, target, parts, Digests(folder, said.append), **options)  # type: ignore[arg-type]
    return target, said


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in (folder / ".downloads").iterdir()]


def test_a_good_file(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [whole(CONTENT)]
    target, _ = get(folder, f"{server.url}/net.pth")
    assert target.read_bytes() == CONTENT
    assert leftovers(folder) == []
    assert len(server.seen) == 1


def test_a_file_address(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "with space.bin"
    there.write_bytes(CONTENT)
    assert get(folder, there.as_uri())[0].read_bytes() == CONTENT
    with pytest.raises(UserError, match="cannot be read"):
        get(folder, (tmp_path / "absent").as_uri())


def test_another_sha256_is_deleted_and_both_are_said(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [whole(b"other")]
    with pytest.raises(UserError) as caught:
        get(folder, f"{server.url}/net.pth")
    assert SHA in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert leftovers(folder) == []
    assert not (folder / "repo" / "w").exists()


def test_a_cut_connection_is_continued_where_it_was_cut(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [cut(CONTENT, 300_000), ranged(CONTENT)]
    assert get(folder, f"{server.url}/net.pth")[0].read_bytes() == CONTENT
    assert [asked for *_, asked in server.seen] == [None, "bytes=300000-"]


def test_a_server_without_ranges_sends_all_again(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [cut(CONTENT, 300_000), whole(CONTENT)]
    assert get(folder, f"{server.url}/net.pth")[0].read_bytes() == CONTENT


def test_a_range_that_was_not_asked_for_is_not_appended(server: Server, folder: Path) -> None:
    span = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
    odd: Answer = lambda handler: handler.reply(CONTENT, 206, Content_Range=span)  # noqa: E731
    server.answers["/net.pth"] = [cut(CONTENT, 300_000), odd]
    assert get(folder, f"{server.url}/net.pth", attempts=2)[0].read_bytes() == CONTENT


def test_always_cut_ends_and_the_next_call_continues(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [cut(CONTENT, 300_000)]
    with pytest.raises(UserError, match="cut off after 300000 of 1024007 bytes, 3 attempts"):
        get(folder, f"{server.url}/net.pth")
    assert leftovers(folder) == [f"{SHA}.part"]
    server.answers["/net.pth"] = [ranged(CONTENT)]
    get(folder, f"{server.url}/net.pth")
    assert server.seen[-1][2] == "bytes=300000-"


def test_a_complete_part_needs_no_bytes(server: Server, folder: Path) -> None:
    (folder / ".downloads").mkdir()
    (folder / ".downloads" / f"{SHA}.part").write_bytes(CONTENT)
    server.answers["/net.pth"] = [ranged(CONTENT)]
    assert get(folder, f"{server.url}/net.pth")[0].read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1000, len(CONTENT) + 9])
def test_a_part_of_something_else_starts_over(server: Server, folder: Path, size: int) -> None:
    (folder / ".downloads").mkdir()
    (folder / ".downloads" / f"{SHA}.part").write_bytes(b"x" * size)
    server.answers["/net.pth"] = [ranged(CONTENT)]
    assert get(folder, f"{server.url}/net.pth")[0].read_bytes() == CONTENT
    assert server.seen[-1][2] is None


def test_a_stalled_server_is_left(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [stalling(CONTENT, 1000, 2), ranged(CONTENT)]
    begin = time.monotonic()
    target, said = get(folder, f"{server.url}/net.pth", stall_sec=0.2)
    assert target.read_bytes() == CONTENT
    assert time.monotonic() - begin < 1.8
    assert any("trying again" in line for line in said)


def test_what_cannot_pass_is_not_tried_again(server: Server, folder: Path) -> None:
    with pytest.raises(UserError, match="the server says 404"):
        get(folder, f"{server.url}/absent")
    assert len(server.seen) == 1


def test_a_busy_server_is_tried_again(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [status(503), status(429), whole(CONTENT)]
    get(folder, f"{server.url}/net.pth")
    assert len(server.seen) == 3


def test_nobody_there(server: Server, folder: Path) -> None:
    server.http.server_close()
    with pytest.raises(UserError, match="cannot be fetched"):
        get(folder, f"{server.url}/net.pth")


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("http://192.0.2.1/x", "which is not an https address"),
        ("ftp://a.org/x", "which is not an https address"),
        ("file:///etc/passwd", "the server says 302"),
    ],
)
def test_a_redirect_to_a_worse_address_is_refused(
    server: Server, folder: Path, to: str, sentence: str
) -> None:
    server.answers["/net.pth"] = [lambda handler: handler.reply(b"", 302, Location=to)]
    with pytest.raises(UserError, match=sentence):
        get(folder, f"{server.url}/net.pth")
    assert not (folder / "repo" / "w").exists()


def test_a_good_redirect_is_followed(server: Server, folder: Path) -> None:
    server.answers["/a"] = [lambda handler: handler.reply(b"", 302, Location=f"{server.url}/b")]
    server.answers["/b"] = [whole(CONTENT)]
    assert get(folder, f"{server.url}/a")[0].read_bytes() == CONTENT


def test_a_full_disk_is_said_before(server: Server, folder: Path) -> None:
    server.answers["/net.pth"] = [lambda handler: handler.reply(b"x", length=10**18)]
    with pytest.raises(UserError, match=r"needs 1000000000\.00 GB"):
        get(folder, f"{server.url}/net.pth")


def test_links_that_lead_out_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (folder / "repo" / "w").symlink_to(tmp_path / "home")
    with pytest.raises(UserError, match="leads out of"):
        download.resolve_target(folder / "repo", "w/net.pth")
    assert (
        download.resolve_target(folder / "repo", "v/net.pth") == folder / "repo" / "v" / "net.pth"
    )


# The hub


class Hub:
    """A stand-in for the hub: the two listings and the files of one repository."""

    COMMIT = "c" * 40

    def __init__(self, server: Server, files: dict[str, bytes]) -> None:
        self.server = server
        self.rows: list[dict[str, Any]] = []
        for path, body in files.items():
            large = path.endswith((".bin", ".pth"))
            oid = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(body), "oid": oid}
            if large:
                sha256 = hashlib.sha256(body).hexdigest()
                row["lfs"] = {"oid": sha256, "size": len(body), "pointerSize": 130}
            self.rows.append(row)
            self.serve(path, body, row["lfs"]["oid"] if large else oid)
        self.rows.append({"type": "directory", "path": "unet", "oid": "d" * 40, "size": 0})
        self.list()

    def list(self) -> None:
        about = {"id": "o/n", "modelId": "o/n", "sha": self.COMMIT, "siblings": [], "tags": []}
        api = "/api/models/o/n"
        self.server.answers[f"{api}/revision/main"] = [whole(json.dumps(about).encode())]
        listing = json.dumps(self.rows).encode()
        self.server.answers[f"{api}/tree/{self.COMMIT}"] = [whole(listing)]

    def serve(self, path: str, body: bytes, etag: str) -> None:
        def answer(handler: Handler) -> None:
            handler.reply(body, ETag=f'"{etag}"', X_Repo_Commit=self.COMMIT)

        self.server.answers[f"/o/n/resolve/{self.COMMIT}/{path}"] = [answer]

    def got(self) -> set[str]:
        start = f"/o/n/resolve/{self.COMMIT}/"
        return {p.removeprefix(start) for c, p, _ in self.server.seen if c == "GET" and start in p}


FILES = {
    "unet/net.bin": CONTENT,
    "unet/config.json": b'{"a": 1}',
    "vae/net.bin": b"vae" * 500,
    "README.md": b"# model",
}


@pytest.fixture
def models(server: Server, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    return Hub(server, FILES)


def fetch(folder: Path, entries: list[str], *only: str) -> Download:
    wanted = Download("w", "o/n", only=only)
    digests = Digests(folder, lambda _: None)
    hub.fetch_hub(wanted, entries, folder / "repo", folder / ".downloads", digests)
    return wanted


def test_the_hub_gives_what_is_missing_and_no_more(models: Hub, folder: Path) -> None:
    (folder / "repo" / "w" / "unet").mkdir(parents=True)
    (folder / "repo" / "w" / "unet" / "config.json").write_bytes(b"the user's own")
    fetch(folder, ["w/unet/"])
    assert (folder / "repo" / "w" / "unet" / "net.bin").read_bytes() == CONTENT
    assert (folder / "repo" / "w" / "unet" / "config.json").read_bytes() == b"the user's own"
    assert models.got() == {"unet/net.bin"}
    assert leftovers(folder) == []
    assert sorted(p.name for p in (folder / "repo" / "w").rglob("*")) == [
        "config.json",
        "net.bin",
        "unet",
    ]


def test_patterns_choose(models: Hub, folder: Path) -> None:
    fetch(folder, ["w"], "*.json", "vae/*")
    assert models.got() == {"unet/config.json", "vae/net.bin"}


@pytest.mark.parametrize("path", ["unet/net.bin", "unet/config.json"])
def test_bytes_that_are_not_the_hubs_are_deleted(models: Hub, folder: Path, path: str) -> None:
    row = next(row for row in models.rows if row["path"] == path)
    wrong = b"\0" * int(row["size"])
    models.serve(path, wrong, row["lfs"]["oid"] if "lfs" in row else row["oid"])
    with pytest.raises(UserError, match="came with the digest"):
        fetch(folder, [f"w/{path}"])
    assert not (folder / "repo" / "w").exists()
    models.serve(path, FILES[path], row["lfs"]["oid"] if "lfs" in row else row["oid"])
    fetch(folder, [f"w/{path}"])
    assert (folder / "repo" / "w" / path).read_bytes() == FILES[path]


@pytest.mark.parametrize("copy", [CONTENT[:100], CONTENT[::-1]])
def test_a_bad_copy_by_hand_is_said(models: Hub, folder: Path, copy: bytes) -> None:
    place = folder / "repo" / "w" / "unet" / "net.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(copy)
    with pytest.raises(UserError, match="is not the file of hub o/n"):
        fetch(folder, ["w/unet/"])
    assert place.read_bytes() == copy


@pytest.mark.parametrize(
    "name", ["../../evil.py", "/etc/evil", ".git/hooks/post-checkout", "a\\..\\b"]
)
def test_names_that_leave_the_folder_are_refused(models: Hub, folder: Path, name: str) -> None:
    models.rows.append({"type": "file", "path": name, "size": 1, "oid": "e" * 40})
    models.list()
    with pytest.raises(UserError, match="is not safe; refused"):
        fetch(folder, ["w"])
    assert models.got() == set()


def test_an_interrupted_folder_is_completed(models: Hub, folder: Path) -> None:
    models.server.answers[f"/o/n/resolve/{Hub.COMMIT}/vae/net.bin"] = [status(404)]
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(folder, ["w"])
    assert hub.list_pending(Download("w", "o/n"), folder / ".downloads") == ("w",)
    before = models.got()
    models.server.seen.clear()
    Hub(models.server, FILES)
    fetch(folder, [])  # the folder has files in it: only the marker knows
    assert before - {"vae/net.bin"} == set(FILES) - {"vae/net.bin"}
    assert models.got() == {"vae/net.bin"}
    assert leftovers(folder) == []


def test_a_gated_or_absent_model_is_a_sentence(models: Hub, folder: Path) -> None:
    def gated(handler: Handler) -> None:
        handler.reply(b"", 403, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")

    models.server.answers["/api/models/o/n/revision/main"] = [gated]
    with pytest.raises(UserError, match="HF_TOKEN"):
        fetch(folder, ["w"])
    del models.server.answers["/api/models/o/n/revision/main"]
    with pytest.raises(UserError, match="hub o/n, revision main, cannot be fetched"):
        fetch(folder, ["w"])
    assert hub.list_pending(Download("w", "o/n"), folder / ".downloads") == ()


CALL = """
import sys
from pathlib import Path
from sfqa.repositories import hub
from sfqa.digests import Digests
from sfqa.repositories.sources import Download
folder = Path(sys.argv[1])
hub.fetch_hub(Download("w", "o/n"), ["w"], folder / "repo", folder / ".downloads", Digests(folder, print))
"""


def half_until(released: threading.Event, body: bytes) -> Answer:
    """Half of a file and then nothing more, until the event; from then on all of it."""
    etag = f'"{hashlib.sha256(body).hexdigest()}"'

    def answer(handler: Handler) -> None:
        size = len(body) if released.is_set() or handler.command == "HEAD" else len(body) // 2
        handler.reply(body[:size], length=len(body), ETag=etag, X_Repo_Commit=Hub.COMMIT)
        if size < len(body):
            released.wait(60)

    return answer


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes that download into a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_ends_at_once_and_the_next_one_goes_on(
    models: Hub, folder: Path, number: signal.Signals
) -> None:
    large, released = bytes(range(256)) * 100_000, threading.Event()
    files = {**FILES, "unet/net.bin": large}
    Hub(models.server, files)
    path = f"/o/n/resolve/{Hub.COMMIT}/unet/net.bin"
    models.server.answers[path] = [half_until(released, large)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    first = subprocess.Popen(
        [sys.executable, "-c", CALL, str(folder)], env=env, stderr=subprocess.DEVNULL
    )

    def partial() -> int:
        return max((p.stat().st_size for p in folder.rglob("*.incomplete")), default=0)

    def complete() -> set[str]:
        return {p.name for p in folder.rglob("*") if p.name in ("config.json", "README.md")}

    deadline = time.monotonic() + 30
    while (partial() < 1_000_000 or len(complete()) < 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert partial() >= 1_000_000
    assert not (folder / "repo" / "w").exists()
    first.send_signal(number)
    first.wait(10)
    deadline = time.monotonic() + 5
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(folder) == []
    models.server.seen.clear()
    released.set()
    fetch(folder, ["w"])
    assert models.got() == {"unet/net.bin"}  # what was complete is not fetched again
    got = {name: (folder / "repo" / "w" / name).read_bytes() for name in files}
    assert got == files
    assert leftovers(folder) == []
