"""A generator installed: a real git repository, a stand-in conda, weights, manifest, killed calls."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sfqa.errors import UserError
from sfqa.repositories import checkout, fetch
from sfqa.repositories.environments import make_environment
from sfqa.repositories.sources import Download, Source, Weights, as_dict
from waiting import wait_until

ROOT = Path(__file__).parents[2]
BODY = b"w" * 5000
SHA = hashlib.sha256(BODY).hexdigest()

CONDA = """#!{python}
import os, pathlib, sys, time
arguments = sys.argv[1:]
assert arguments[:3] == ["env", "create", "--yes"], arguments
prefix = pathlib.Path(arguments[arguments.index("--prefix") + 1])
recipe = pathlib.Path(arguments[arguments.index("--file") + 1]).read_text()
if "broken" in recipe:
    print("ResolvePackageNotFound: torch==99")
    sys.exit(1)
(prefix / "conda-meta").mkdir(parents=True)
print("Collecting package metadata")
while "slow" in recipe and not pathlib.Path(os.environ["GO"]).exists():
    time.sleep(0.02)
(prefix / "bin").mkdir()
(prefix / "bin" / "python").symlink_to(sys.executable)
"""


def git(folder: Path, *arguments: str) -> str:
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    author = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    command = ["git", *author, "-C", str(folder), *arguments]
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, **files: str) -> str:
    if not (folder / ".git").exists():
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> tuple[Path, str]:
    """The authors' repository: the wanted commit is not the newest."""
    if shutil.which("git") is None:
        pytest.skip("there is no git on the PATH to make the authors' repository with")
    path = tmp_path / 'authors\' "code"'
    wanted = commit(path, demo_py="print(1)\n", configs__a_yaml="a: 1\n", README="read\n")
    commit(path, demo_py="print(2)\n")
    return path, wanted


@pytest.fixture
def source(upstream: tuple[Path, str], tmp_path: Path) -> Source:
    there = tmp_path / "server" / "net.pth"
    there.parent.mkdir()
    there.write_bytes(BODY)
    weights = Weights(
        "checkpoints",
        ("checkpoints/net.pth",),
        (Download("checkpoints/net.pth", url=there.as_uri(), sha256=SHA),),
        "ask the authors",
    )
    return Source(str(upstream[0]), upstream[1], "MIT", "env.yaml", weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / '-my generators\' "$HOME"' / "SadT"


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment file, and a stand-in conda that is the only one on the PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "conda").write_text(CONDA.format(python=sys.executable))
    (tools / "conda").chmod(0o755)
    for name in ("git", "sh", "env", "uname", "sed", "basename"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    path = tmp_path / "env.yaml"
    path.write_text("dependencies: [python]\n")
    return path


def install(source: Source, folder: Path, env_file: Path) -> tuple[bytes, list[str]]:
    said: list[str] = []
    manifest = fetch.fetch_repository("SadT", source, folder, env_file, said.append)
    fetch.write_manifest(manifest, folder / "manifest.json")
    return (folder / "manifest.json").read_bytes(), said


def fill_by_hand(folder: Path) -> Path:
    """The wanted commit as its ZIP unpacks, weights in it, any environment linked."""
    repo = folder / "repo"
    (repo / "configs").mkdir(parents=True)
    (repo / "demo.py").write_text("print(1)\n")
    (repo / "configs" / "a.yaml").write_text("a: 1\n")
    (repo / "README").write_text("read\n")
    (repo / "checkpoints").mkdir()
    (repo / "checkpoints" / "net.pth").write_bytes(BODY)
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "python").symlink_to(sys.executable)
    return repo


def test_from_nothing_to_a_manifest(source: Source, folder: Path, env_file: Path) -> None:
    first, _ = install(source, folder, env_file)
    manifest = json.loads(first)
    assert git(folder / "repo", "rev-parse", "HEAD") == source.commit
    assert (folder / "repo" / "demo.py").read_text() == "print(1)\n"
    assert manifest.pop("code_sha256")
    assert manifest == {
        "label": "SadT",
        "repository": source.repository,
        "commit": source.commit,
        "repo": "git",
        "weights": [{"path": "repo/checkpoints/net.pth", "size": 5000, "sha256": SHA}],
        "python": sys.version.split()[0],
    }
    assert str(folder) not in first.decode()
    assert fetch.digest_installation(folder) == hashlib.sha256(first).hexdigest()
    again, said = install(source, folder, env_file)
    assert again == first
    assert "1 weights files, 0 of them hashed now" in said[-1]


def test_a_server_that_serves_tips_only_is_cloned_whole(
    source: Source, folder: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COUNT": "1", "KEY_0": "protocol.version", "VALUE_0": "0"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    install(source, folder, env_file)
    assert git(folder / "repo", "rev-parse", "HEAD") == source.commit
    assert git(folder / "repo", "rev-list", "--all", "--count") == "2"  # not the shallow way


def test_by_hand_gives_the_digests_of_the_clone(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    cloned = json.loads(install(source, folder, env_file)[0])
    fill_by_hand(tmp_path / "hand")
    (tmp_path / "tools" / "git").unlink()  # nothing but the folder is needed
    offline = replace(source, repository="nobody/nothing")
    by_hand = json.loads(install(offline, tmp_path / "hand", env_file)[0])
    assert by_hand["repo"] == "by_hand"
    assert {**by_hand, "repo": "git", "repository": source.repository} == cloned


def test_changed_weights_are_noticed(source: Source, folder: Path, env_file: Path) -> None:
    repo = fill_by_hand(folder)
    anything = replace(source, weights=replace(source.weights, downloads=()))
    before, _ = install(anything, folder, env_file)
    net = repo / "checkpoints" / "net.pth"
    kept = net.stat().st_mtime_ns
    net.write_bytes(b"v" * 5000)
    os.utime(net, ns=(kept, kept))  # as a copy that keeps times does
    after, _ = install(anything, folder, env_file)
    assert hashlib.sha256(b"v" * 5000).hexdigest() in after.decode()
    assert before != after
    with pytest.raises(UserError, match="has the sha256"):
        install(source, folder, env_file)  # the url's own sha256 is not this file's
    assert net.read_bytes() == b"v" * 5000


def test_changed_code_is_noticed_and_caches_are_not(
    source: Source, folder: Path, env_file: Path
) -> None:
    repo = fill_by_hand(folder)
    first, _ = install(source, folder, env_file)
    (repo / "__pycache__").mkdir()
    (repo / "__pycache__" / "x.py").write_text("made by a run")
    (repo / "out.mp4").write_bytes(b"made by a run")
    assert install(source, folder, env_file)[0] == first
    code = fetch.digest_code(repo, "by_hand", ["checkpoints/"])
    (repo / "checkpoints" / "config.json").write_text("{}")  # weights, told apart from the code
    assert fetch.digest_code(repo, "by_hand", ["checkpoints/"]) == code
    (repo / "demo.py").write_text("print(3)\n")
    assert install(source, folder, env_file)[0] != first


def test_another_commit_and_modified_files_are_named(
    source: Source, folder: Path, env_file: Path
) -> None:
    install(source, folder, env_file)
    (folder / "repo" / "untracked.pth").write_bytes(b"fine")
    install(source, folder, env_file)
    (folder / "repo" / "demo.py").write_text("print('patched')\n")
    with pytest.raises(UserError, match=r"has modified files \(demo\.py\)"):
        install(source, folder, env_file)
    git(folder / "repo", "checkout", "--", "demo.py")
    newer = replace(source, commit="b" * 40)
    with pytest.raises(UserError) as caught:
        install(newer, folder, env_file)
    assert all(word in str(caught.value) for word in (source.commit, newer.commit))


def test_a_broken_git_folder_is_not_taken_for_the_one_above(
    source: Source, folder: Path, env_file: Path
) -> None:
    commit(folder.parent, demo_py="the project's own\n")
    (fill_by_hand(folder) / ".git").mkdir()
    with pytest.raises(UserError, match=r"git cannot read .* not a git repository"):
        install(source, folder, env_file)


def test_submodules_come_along(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    commit(tmp_path / "part", part_py="x = 1\n")
    authors = Path(source.repository)
    git(authors, "submodule", "add", "--quiet", str(tmp_path / "part"), "third")
    wanted = commit(authors)
    source = replace(source, commit=wanted)
    install(source, folder, env_file)
    assert (folder / "repo" / "third" / "part.py").read_text() == "x = 1\n"
    assert "third/part.py" in checkout.list_tracked_files(folder / "repo")
    (folder / "repo" / "third" / "part.py").write_text("x = 2\n")
    with pytest.raises(UserError, match=r"modified files \(third\)"):
        install(source, folder, env_file)


def test_a_commit_or_repository_that_is_not_there(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent")
    for wrong in (replace(source, commit="b" * 40), replace(source, repository=absent)):
        with pytest.raises(UserError) as caught:
            install(wrong, folder, env_file)
        told = str(caught.value)
        assert "git could not fetch commit" in told
        assert "(fatal:" in told
        assert f"unpacked as {folder / 'repo'}" in told
        assert not (folder / ".repo.tmp").exists()
        assert not (folder / "repo").exists()


def test_without_git_the_way_by_hand_is_told(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "tools" / "git").unlink(missing_ok=True)
    with pytest.raises(UserError, match="no git on the PATH") as caught:
        install(replace(source, repository="a/b"), folder, env_file)
    assert f"commit {source.commit} of https://github.com/a/b.git" in str(caught.value)


def test_weights_alone_are_no_code(source: Source, folder: Path, env_file: Path) -> None:
    (fill_by_hand(folder) / "demo.py").unlink()
    with pytest.raises(UserError, match="holds no code"):
        install(source, folder, env_file)


def test_all_that_is_missing_is_told_at_once(source: Source, folder: Path, env_file: Path) -> None:
    repo = fill_by_hand(folder)
    (repo / "checkpoints" / "net.pth").unlink()
    (repo / "empty" / ".cache" / "huggingface").mkdir(parents=True)
    (repo / "empty" / ".cache" / "huggingface" / "x.metadata").write_text("left by a downloader")
    (repo / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    files = ("checkpoints/net.pth", "empty/", "none.bin", "pointer.bin")
    gone = Download("checkpoints/net.pth", url="file:///no/such/file", sha256=SHA)
    wrong = replace(source, weights=Weights("checkpoints", files, (gone,), "ask the authors"))
    with pytest.raises(UserError) as caught:
        install(wrong, folder, env_file)
    told = str(caught.value)
    for path in ("checkpoints/net.pth", "empty", "none.bin"):
        assert f"missing: {repo / path}" in told
    assert "file:///no/such/file cannot be read" in told
    assert "pointer.bin is a pointer of git-lfs" in told
    assert told.endswith("By hand: ask the authors")
    assert fetch.list_missing(wrong, repo) == files[:3]
    assert fetch.digest_installation(folder) == ""


def test_no_maker_and_no_environment(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "tools" / "conda").unlink()
    shutil.rmtree(fill_by_hand(folder).parent / "env")
    with pytest.raises(UserError, match="none of micromamba, mamba, conda is on the PATH"):
        install(source, folder, env_file)
    (folder / "env").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="holds no bin/python"):
        install(source, folder, env_file)


def test_a_failed_environment_leaves_nothing(folder: Path, env_file: Path) -> None:
    folder.mkdir(parents=True)
    env_file.write_text("dependencies: [broken]\n")
    with pytest.raises(UserError, match="ResolvePackageNotFound: torch==99"):
        make_environment("SadT", folder, env_file, print)
    assert list(folder.iterdir()) == []
    env_file.write_text("dependencies: [python]\n")
    assert make_environment("SadT", folder, env_file, print) == sys.version.split()[0]
    env_file.write_text("dependencies: [python, numpy]\n")
    said: list[str] = []
    make_environment("SadT", folder, env_file, said.append)
    assert "changed since" in said[0]


def test_a_python_that_does_not_run_is_told(folder: Path, env_file: Path) -> None:
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "python").write_text("#!/no/such/interpreter\n")
    with pytest.raises(UserError, match="does not run"):
        make_environment("SadT", folder, env_file, print)


CALL = """
import json, sys
from pathlib import Path
from sfqa.repositories.fetch import fetch_repository
from sfqa.repositories.sources import from_dict
source, folder, env_file = from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
fetch_repository("SadT", source, folder, env_file, lambda line: print(line, flush=True))
"""


def start(source: Source, folder: Path, env_file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CALL, json.dumps(as_dict(source)), str(folder), str(env_file)]
    path = str(ROOT / "workflow" / "scripts")
    own = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, env=own, start_new_session=True, stdout=subprocess.PIPE)


def test_killed_in_the_middle_the_next_call_works(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    shutil.rmtree(fill_by_hand(folder).parent / "env")
    env_file.write_text("dependencies: [slow]\n")
    killed = start(source, folder, env_file)
    wait_until((folder / "env" / "conda-meta").exists, seconds=60)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (folder / ".env.making").exists()
    (folder / ".repo.tmp").mkdir()
    (folder / "env" / "half").touch()
    (tmp_path / "go").touch()
    _, said = install(source, folder, env_file)
    assert any("half made" in line for line in said)
    assert not (folder / "env" / "half").exists()
    assert not (folder / ".env.making").exists()


def test_a_second_process_waits_for_the_first(
    source: Source, folder: Path, env_file: Path, tmp_path: Path
) -> None:
    shutil.rmtree(fill_by_hand(folder).parent / "env")
    env_file.write_text("dependencies: [slow]\n")
    first = start(source, folder, env_file)
    wait_until((folder / "env" / "conda-meta").exists, seconds=60)
    second = start(source, folder, env_file)
    assert second.stdout is not None
    assert b"another process installs there" in second.stdout.readline()
    (tmp_path / "go").touch()
    for process in (first, second):
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_kept_half_clone_is_replaced(source: Source, folder: Path, env_file: Path) -> None:
    (folder / ".repo.tmp" / ".git").mkdir(parents=True)
    (folder / ".repo.tmp" / "half").touch()
    install(source, folder, env_file)
    assert not (folder / ".repo.tmp").exists()
    assert not (folder / "repo" / "half").exists()
