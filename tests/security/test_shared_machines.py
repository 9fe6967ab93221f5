"""Folders that others may write to: names prove nothing, links are not followed, modes are kept."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from screen_study import make, rows_of, tokens

from sfqa import cli, download, store
from sfqa.cache import RowCache
from sfqa.errors import UserError
from sfqa.job import run_job
from sfqa.private_files import check_private_file, open_private_file
from sfqa.ratings.screen import database
from sfqa.ratings.screen.study_log import StudyLog

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("my thesis\n")
    return path


@pytest.fixture
def study(tmp_path):
    return make(tmp_path / "study", rows_of("r001", "TT", 0.1))


@pytest.fixture
def umask():
    """Set the umask; the old one comes back."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


# Files that only their owner may use


def test_a_private_file_is_no_link_and_is_not_truncated(tmp_path, victim):
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("link", "it is a link"), ("hard", r"a second name \(a hard link\)"),
        ("folder", "it is not a file"), ("pipe", "it is not a file"),
    ):  # fmt: skip
        for open_file in (open_private_file, check_private_file):
            with pytest.raises(UserError, match=reason):
                open_file(tmp_path / name)
    (tmp_path / "hard").unlink()
    assert victim.read_text() == "my thesis\n"
    victim.chmod(0o644)
    os.close(open_private_file(victim))
    assert (victim.read_text(), mode_of(victim)) == ("my thesis\n", 0o600)


@needs_root
def test_a_private_file_of_another_user_is_refused(tmp_path, victim):
    os.chown(victim, 65534, 65534)
    for open_file in (open_private_file, check_private_file):
        with pytest.raises(UserError, match="it belongs to user 65534, not to 0"):
            open_file(victim)
    # In a container root serves the folder of the user who started it.
    os.chown(tmp_path, 65534, 65534)
    os.close(open_private_file(victim))


@pytest.mark.parametrize(
    "name", ["study.lock", "study.log", "study.db", "study.db-wal", "study.db-shm"]
)
def test_a_study_of_somebody_else_cannot_change_a_file(study, victim, name, capsys):
    (study / name).unlink(missing_ok=True)
    (study / name).symlink_to("../thesis.txt")
    assert cli.main(["rate", "serve", str(study), "--port", "0"]) == 2
    assert "it is a link" in capsys.readouterr().err
    assert victim.read_text() == "my thesis\n"


def test_the_files_of_a_study_are_private(study, umask, capsys):
    umask(0o022)
    (study / "study.db").touch(0o644)
    (study / "study.db").chmod(0o644)
    tokens(study)
    with database.lock_study(study):
        log = StudyLog(study / "study.log")
        log.close()
        connection = database.open_database(study / "study.db")
        database.set_setting(connection, "x", "y")
        names = {p.name for p in study.glob("study.*")} - {"study.yaml"}
        assert names == {"study.db", "study.db-wal", "study.db-shm", "study.log", "study.lock"}
        assert {mode_of(study / name) for name in names} == {0o600}
        connection.close()


def test_opening_a_study_again_keeps_the_locks_of_its_database(study):
    """A process that opens and closes a database's file elsewhere loses SQLite's locks on it."""
    connection = database.open_database(study / "study.db")
    database.set_setting(connection, "x", "stored")
    database.open_database(study / "study.db").close()
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM settings')"
    )
    subprocess.run([sys.executable, "-c", f"{code}; c.close()", study / "study.db"], check=True)
    # The last program that uses a database in WAL mode deletes its journal; that one is not it.
    assert (study / "study.db-wal").is_file()
    assert database.get_setting(connection, "x") == "stored"
    connection.close()


# Other files that are changed where they are


def test_no_link_is_followed_in_results_and_downloads(tmp_path, victim):
    (tmp_path / "0.rows").symlink_to(victim)
    schema = pa.schema([("x", pa.int64())])
    cache = RowCache(tmp_path, "0", schema)
    with pytest.raises(UserError, match="this is a link"):
        cache.put("ab" * 32, pa.RecordBatch.from_pylist([{"x": 1}], schema))
    (tmp_path / "job.log").symlink_to(victim)
    with pytest.raises((UserError, SystemExit)), run_job(tmp_path / "job.log"):
        pass
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(UserError, match="this is a link"), download.lock_folder(tmp_path, print):
        pass
    assert victim.read_text() == "my thesis\n"


@needs_root
def test_the_lease_of_a_gpu_empties_no_file(tmp_path):
    """A user prepares the folder of the locks, which all users know, with a link in it."""
    base, victim = tmp_path / "tmp", tmp_path / "victim.txt"
    base.mkdir()
    base.chmod(0o1777)
    tmp_path.chmod(0o755)
    victim.write_text("my thesis\n")
    victim.chmod(0o600)
    folder = base / "locks"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "GPU-0-0.lock").symlink_to(victim)
    os.chown(folder, 65534, 65534)
    code = (
        "from sfqa.gpu_leases import lease_gpu; from sfqa.gpu_names import Gpu\n"
        "with lease_gpu([Gpu('GPU-0', 'GPU-0')]): print('leased')"
    )
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts"), "SFQA_GPU_LOCKS": str(folder),
        "TMPDIR": str(base),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert "it belongs to user 65534" in done.stderr
    assert victim.read_text() == "my thesis\n"


# Modes


def test_written_files_have_the_mode_of_the_umask(tmp_path, umask):
    for mask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        umask(mask)
        path = tmp_path / f"{mask:o}.txt"
        with store.replacing(path) as temporary:
            temporary.write_text("x")
        assert mode_of(path) == mode
    umask(0o022)
    path.chmod(0o640)
    with store.replacing(path) as temporary:
        temporary.write_text("y")
    assert (path.read_text(), mode_of(path)) == ("y", 0o640)
    with store.replacing(path, private=True) as temporary:
        assert mode_of(temporary) == 0o600
    assert mode_of(path) == 0o600
    # The link is replaced, not the file behind it.
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    with store.replacing(link) as temporary:
        temporary.write_text("z")
    assert (path.stat().st_size, link.is_symlink(), mode_of(link)) == (0, False, 0o644)


def test_exports_and_hidden_mos_are_private(study, tmp_path, umask, capsys):
    umask(0o022)
    tokens(study)
    (study / "raters.csv").write_text("of an earlier version")
    (study / "raters.csv").chmod(0o644)
    assert cli.main(["rate", "export", str(study)]) == 0
    exported = [
        p for name in ("scores", "score_details", "raters") for p in study.glob(f"{name}.*")
    ]
    assert len(exported) == 6
    assert {mode_of(path) for path in exported} == {0o600}
    assert cli.main(["rate", "export", str(study), "--out", str(tmp_path / "new")]) == 0
    assert mode_of(tmp_path / "new") == 0o700
    mos = tmp_path / "mos.csv"
    mos.write_text("name,mos\n" + "".join(f"v{n},{1 + n % 4}\n" for n in range(40)))
    out = tmp_path / "challenge"
    assert cli.main(["challenge", "make", str(mos), "--ungrouped", "--out", str(out)]) == 0
    assert mode_of(out / "hidden") == 0o700
    assert {mode_of(path) for path in (out / "hidden").iterdir()} == {0o600}
    assert {mode_of(path) for path in (out / "public").iterdir()} == {0o644}


def test_serving_warns_of_a_folder_that_others_may_write(study, capsys):
    study.chmod(0o777)
    (study / "study.lock").symlink_to("x")  # so that it ends at once
    assert cli.main(["rate", "serve", str(study), "--port", "0"]) == 2
    assert "other users may write to this folder (mode 0777)" in capsys.readouterr().err
