"""Digests kept beside large files, and commands with a time limit."""

import hashlib
import sys
import time
from pathlib import Path

from sfqa.digests import Digests, iterate_files
from sfqa.repositories.commands import run_command


def test_linked_weights_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "shared" / "a").mkdir(parents=True)
    (tmp_path / "shared" / "a" / "x.bin").write_bytes(b"x")
    (tmp_path / "shared" / "a" / "up").symlink_to(tmp_path / "shared")
    (tmp_path / "linked").symlink_to(tmp_path / "shared")
    assert list(iterate_files(tmp_path / "linked")) == [tmp_path / "linked" / "a" / "x.bin"]


def test_a_damaged_sidecar_is_only_slower(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    for text in ("", "[]", '{"x": 1}', '{"x": [1, 2, 3, "short"]}', "{"):
        (tmp_path / "weights.sha256.json").write_text(text)
        assert (
            Digests(tmp_path, print).get_sha256(tmp_path / "x") == hashlib.sha256(b"x").hexdigest()
        )


def test_a_command_ends_at_its_limit(tmp_path: Path) -> None:
    begin = time.monotonic()
    code, _ = run_command(
        [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, print, 0.3
    )
    assert code is None
    assert time.monotonic() - begin < 10


def test_only_what_changed_is_hashed_again(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.write_text(path.name)
    first = Digests(tmp_path, print)
    found = [first.get_sha256(path) for path in paths]
    first.save(paths[:2])
    paths[1].write_text("changed")
    second = Digests(tmp_path, print)
    assert [second.get_sha256(path) == one for path, one in zip(paths, found, strict=True)] == [
        True,
        False,
        True,
    ]
    assert second.hashed == 2  # b changed, c was forgotten
