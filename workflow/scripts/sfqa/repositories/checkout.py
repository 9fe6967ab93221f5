"""The repository of a program at its exact commit: cloned, or checked if it exists."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sfqa.digests import Log
from sfqa.errors import UserError
from sfqa.repositories.commands import get_error_line, run_command
from sfqa.repositories.sources import Source

#: How a repository got there, as the manifest states it.
GIT, BY_HAND = "git", "by_hand"
_LIMIT_SEC = 3600.0
_QUERY_SEC = 300.0
# Answers of servers that serve only the tips of branches, or only whole histories.
_SHALLOW_REFUSALS = ("unadvertised", "not our ref", "remote ref", "shallow")


def check_out(
    owner: str, source: Source, folder: Path, log: Log, limit_sec: float = _LIMIT_SEC
) -> str:
    """Make sure that ``folder/repo`` holds the commit; return ``git`` or ``by_hand``.

    A repository without ``.git`` is accepted as filled by hand. Raises :class:`UserError` for
    another commit, for modified files that git tracks, and if cloning fails.
    """
    repo = folder / "repo"
    if (repo / ".git").exists():
        _check_repository(owner, source, repo)
        return GIT
    if repo.exists() or repo.is_symlink():
        if next(repo.rglob("*.py"), None) is None:
            raise UserError(
                f"{owner}: {repo} holds no code. Move it aside, run again, and put "
                f"back what was in it; or {describe_manual_way(source, repo)}"
            )
        log(f"{owner}: repo filled by hand, used as it is")
        return BY_HAND
    _clone_repository(owner, source, folder, log, limit_sec)
    return GIT


def describe_manual_way(source: Source, repo: Path) -> str:
    """Return how to fill the repository's folder by hand, as the end of a sentence."""
    return (
        f"fill it by hand: commit {source.commit} of {source.clone_url} "
        f"(on GitHub: Code, Download ZIP, at that commit), unpacked as {repo}"
    )


def list_tracked_files(repo: Path) -> list[str]:
    """Return the paths that git tracks in a repository, submodules included, sorted."""
    output = _query_git(repo, ["ls-files", "-z", "--recurse-submodules"])
    return sorted(name for name in output.split("\0") if name)


def _clone_repository(owner: str, source: Source, folder: Path, log: Log, limit_sec: float) -> None:
    git = _git_command()
    if git is None:
        raise UserError(
            f"{owner}: there is no git on the PATH; install it, or "
            f"{describe_manual_way(source, folder / 'repo')}"
        )
    temporary = folder / ".repo.tmp"
    url = source.clone_url
    if url.startswith("."):
        url = str(Path(url).absolute())
    shutil.rmtree(temporary, ignore_errors=True)
    log(f"{owner}: cloning {source.clone_url} at {source.commit}")

    def run_git(*arguments: str | Path) -> None:
        code, lines = run_command([*git, *arguments], folder, log, limit_sec, _git_environment())
        if code != 0:
            raise _GitError(get_error_line(lines, code, limit_sec))

    def run_in_clone(*arguments: str) -> None:
        run_git("-C", temporary, *arguments)

    try:
        run_git("init", "--quiet", "--", temporary)
        run_in_clone("remote", "add", "origin", url)
        try:
            # Only one commit: small, and unlike a partial clone it never needs the network again.
            run_in_clone(
                "fetch", "--progress", "--depth", "1", "--no-tags", "origin", source.commit
            )
        except _GitError as error:
            if not any(word in str(error) for word in _SHALLOW_REFUSALS):
                raise
            shutil.rmtree(temporary)
            partial = ("--no-checkout", "--filter=blob:none")
            run_git("clone", "--progress", *partial, "--", url, temporary)
        run_in_clone("-c", "advice.detachedHead=false", "checkout", "--detach", source.commit)
        if (temporary / ".gitmodules").is_file():
            local = url.startswith("file:") or "://" not in url
            allow = ("-c", "protocol.file.allow=always") if local else ()
            run_in_clone(*allow, "submodule", "update", "--init", "--recursive", "--progress")
    except _GitError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"{owner}: git could not fetch commit {source.commit} of {source.clone_url} "
            f"({error}). Fix that, or {describe_manual_way(source, folder / 'repo')}"
        ) from None
    temporary.rename(folder / "repo")


def _check_repository(owner: str, source: Source, repo: Path) -> None:
    if _git_command() is None:
        raise UserError(
            f"{owner}: there is no git on the PATH to check {repo} with; install it, or "
            "delete the .git folder in it, so that it counts as filled by hand"
        )
    try:
        head = _query_git(repo, ["rev-parse", "--verify", "HEAD"]).strip()
        status = ["status", "--porcelain=v1", "-z", "--untracked-files=no"]
        changed = _query_git(repo, [*status, "--ignore-submodules=untracked"])
        absent = [
            line.split()[1]
            for line in _query_git(repo, ["submodule", "status", "--recursive"]).splitlines()
            if line.startswith("-")
        ]
    except _GitError as error:
        raise UserError(
            f"{owner}: git cannot read {repo} ({error}). Delete the folder, so that it is "
            f"cloned again, or {describe_manual_way(source, repo)}"
        ) from None
    names = [item[3:] for item in changed.split("\0") if item[2:3] == " "]
    faults = []
    if head != source.commit:
        faults.append(f"is at commit {head}, not at {source.commit}")
    if names:
        faults.append(f"has modified files ({', '.join(names[:3])}{', ...' * (len(names) > 3)})")
    if faults:
        raise UserError(
            f"{owner}: {repo} {' and '.join(faults)}. Bring it to the commit "
            f"(git -C {repo} checkout --force {source.commit}), or, to run your own version, "
            "delete its .git folder, so that it counts as filled by hand"
        )
    if absent:
        raise UserError(
            f"{owner}: {repo} lacks its submodule {absent[0]}; "
            f"run git -C {repo} submodule update --init --recursive"
        )


class _GitError(Exception):
    """A git command failed; the text is its error message."""


# In a git hook these variables would redirect every command to the repository of the hook.
_HOOK_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fileMode": "false",  # copies made by hand lose the executable bit
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
}


def _git_command() -> list[str] | None:
    """Return git with its settings as the beginning of a command, None if it is missing."""
    path = shutil.which("git")
    if path is None:
        return None
    return [path, *(word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}"))]


def _git_environment() -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in _HOOK_VARIABLES}
    env.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    no_questions = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    return {**env, **no_questions, "LC_ALL": "C"}


def _query_git(repo: Path, arguments: list[str]) -> str:
    """Return the output of a short git command; raises _GitError."""
    git = _git_command()
    if git is None:
        raise _GitError("there is no git on the PATH")
    # Without the ceiling, git would use a repository above this one if its .git is broken.
    env = {**_git_environment(), "GIT_CEILING_DIRECTORIES": str(repo.resolve().parent)}
    command = [*git, "--no-optional-locks", "-C", str(repo.resolve()), *arguments]
    try:
        completed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_QUERY_SEC, env=env
        )
    except subprocess.TimeoutExpired:
        raise _GitError(f"not done within {_QUERY_SEC:.0f} s") from None
    if completed.returncode != 0:
        # All of it on one line: git's advice about foreign owners follows its error message.
        raise _GitError(" ".join(completed.stderr.decode(errors="replace").split())[:400])
    return completed.stdout.decode(errors="surrogateescape")
