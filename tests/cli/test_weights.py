"""``sfqa weights``: there, missing with the way to get it, wrong with both digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from loopback_server import Server, whole
from loopback_server import server as server
from sfqa.cli import main
from sfqa.features import official
from sfqa.models import locating

CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of two files, one of them at the server, and empty caches."""
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    common = {"publisher": "they", "licence": "CC-BY-NC-4.0, non-commercial use only"}
    entries = {
        "motion": {
            **common, "file": "m.pth", "extractor": "slowfast", "url": f"{server.url}/m.pth",
            "sha256": hashlib.sha256(CONTENT).hexdigest()[:8], "sha256_source": "their page",
        },
        "lips": {**common, "file": "l.pth", "extractor": "lse", "by_hand": "ask them"},
    }  # fmt: skip
    path = tmp_path / "weights.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    monkeypatch.setattr(official, "REGISTRY", path)
    monkeypatch.setattr(official, "FOLDER", tmp_path / "w")
    monkeypatch.setattr(locating, "FOLDER", tmp_path / "w")
    monkeypatch.setattr(official.load_registry, "__defaults__", (path,))
    server.answers["/m.pth"] = [whole(CONTENT)]
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["weights", *arguments])
    return status, capsys.readouterr().out


def test_missing_files_say_how_to_get_them(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path
) -> None:
    status, text = run(capsys)
    assert status == 1
    assert "motion: missing\n  they\n  for slowfast; licence: CC-BY-NC-4.0, non-comm" in text
    assert f"sfqa weights --fetch motion (from {server.url}/m.pth)" in text
    assert f"by hand: ask them; put it into {tmp_path / 'w'} as l.pth" in text


def test_fetch_then_there_then_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, text = run(capsys, "--fetch", "motion")
    assert status == 0
    assert "motion: there\n" in text
    assert f"{tmp_path / 'w/m.pth'}, sha256 {hashlib.sha256(CONTENT).hexdigest()}" in text
    (tmp_path / "w/m.pth").write_bytes(b"other")
    status, text = run(capsys, "motion")
    assert status == 1
    assert "motion: wrong" in text
    assert f"has the sha256 {hashlib.sha256(b'other').hexdigest()}, expected " in text
    assert "(their page)" in text


def test_the_licence_is_printed_before_the_download(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "--fetch", "motion"]) == 0
    lines = capsys.readouterr().err.splitlines()
    licence = "sfqa: weights motion: licence: CC-BY-NC-4.0, non-commercial use only"
    assert lines.index(licence) < next(n for n, line in enumerate(lines) if "fetching http" in line)


def test_a_file_that_cannot_be_fetched_stays_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "--fetch", "lips"]) == 1
    printed = capsys.readouterr()
    assert "lips: missing" in printed.out
    assert "by hand: ask them" in printed.err


def test_only_the_files_of_a_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its sheets and scores need not exist."""
    config = {
        "dataset": "d", "mode": "build", "materials": {"images": "none.csv"},
        "features": {"lse": {"weights": "official"}, "signal": {"weights": "none"}},
        "weights": {"folder": "here", "registry": "weights.yaml", "mirrors": [str(tmp_path)]},
    }  # fmt: skip
    Path("my.yaml").write_text(yaml.safe_dump(config))
    status, text = run(capsys, "--config", "my.yaml")
    assert (status, text.splitlines()[0]) == (1, "lips: missing")
    assert "motion" not in text
    (tmp_path / "l.pth").write_bytes(CONTENT)
    assert run(capsys, "--config", "my.yaml")[0] == 0


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "moton"]) == 2
    assert "did you mean 'motion'?" in capsys.readouterr().err


def test_features_take_official_weights(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["features", "x.mp4", "--extractor", "lse", "--weights", "official"]
    assert main(arguments) == 2
    assert "the official weights lips (l.pth) are missing; sfqa weights lips" in (
        capsys.readouterr().err
    )
