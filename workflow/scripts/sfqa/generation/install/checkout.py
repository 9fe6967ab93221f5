"""A generator's repository at its exact commit: cloned, or looked at where it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.install.sources import Source
from sfqa.generation.install.tools import Say, last_line, run_command

GIT, BY_HAND = "git", "by_hand"
_LIMIT_SEC = 3600.0
_QUERY_SEC = 300.0
# What servers that only serve their branches' tips, or whole histories, answer.
_REFUSALS = ("unadvertised", "not our ref", "remote ref", "shallow")


def check_out(
    label: str, source: Source, folder: Path, say: Say, limit_sec: float = _LIMIT_SEC
) -> str:
    """Make sure that ``folder/repo`` holds the commit; return ``git`` or ``by_hand``.

    A repository without ``.git`` is accepted as filled by hand. Raises :class:`UserError` for
    another commit, for modified files of git's, and where cloning fails.
    """
    repo = folder / "repo"
    if (repo / ".git").exists():
        _check(label, source, repo)
        return GIT
    if repo.exists() or repo.is_symlink():
        if next(repo.rglob("*.py"), None) is None:
            raise UserError(
                f"method {label}: {repo} holds no code. Move it aside, run again, and put "
                f"back what was in it; or {by_hand(source, repo)}"
            )
        say(f"{label}: repo filled by hand, taken as it is")
        return BY_HAND
    _clone(label, source, folder, say, limit_sec)
    return GIT


def by_hand(source: Source, repo: Path) -> str:
    """Return how to fill the repository's folder without this rule, as the end of a sentence."""
    return (
        f"fill it by hand: commit {source.commit} of {source.clone_url} "
        f"(on GitHub: Code, Download ZIP, at that commit), unpacked as {repo}"
    )


def tracked_files(repo: Path) -> list[str]:
    """Return the paths that git tracks in a repository, submodules included, sorted."""
    out = _ask(repo, ["ls-files", "-z", "--recurse-submodules"])
    return sorted(name for name in out.split("\0") if name)


def _clone(label: str, source: Source, folder: Path, say: Say, limit_sec: float) -> None:
    git = _git()
    if git is None:
        raise UserError(
            f"method {label}: there is no git on the PATH; install it, or "
            f"{by_hand(source, folder / 'repo')}"
        )
    temporary = folder / ".repo.tmp"
    url = source.clone_url
    if url.startswith("."):
        url = str(Path(url).absolute())
    shutil.rmtree(temporary, ignore_errors=True)
    say(f"{label}: cloning {source.clone_url} at {source.commit}")

    def must(*arguments: str | Path) -> None:
        code, lines = run_command([*git, *arguments], folder, say, limit_sec, _environment())
        if code != 0:
            raise _GitError(last_line(lines, code, limit_sec))

    def inside(*arguments: str) -> None:
        must("-C", temporary, *arguments)

    try:
        must("init", "--quiet", "--", temporary)
        inside("remote", "add", "origin", url)
        try:
            # One commit alone: small, and unlike a partial clone it never needs the network again.
            inside("fetch", "--progress", "--depth", "1", "--no-tags", "origin", source.commit)
        except _GitError as failed:
            if not any(word in str(failed) for word in _REFUSALS):
                raise
            shutil.rmtree(temporary)
            partial = ("--no-checkout", "--filter=blob:none")
            must("clone", "--progress", *partial, "--", url, temporary)
        inside("-c", "advice.detachedHead=false", "checkout", "--detach", source.commit)
        if (temporary / ".gitmodules").is_file():
            local = url.startswith("file:") or "://" not in url
            allow = ("-c", "protocol.file.allow=always") if local else ()
            inside(*allow, "submodule", "update", "--init", "--recursive", "--progress")
    except _GitError as failed:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"method {label}: git could not fetch commit {source.commit} of {source.clone_url} "
            f"({failed}). Mend that, or {by_hand(source, folder / 'repo')}"
        ) from None
    temporary.rename(folder / "repo")


def _check(label: str, source: Source, repo: Path) -> None:
    if _git() is None:
        raise UserError(
            f"method {label}: there is no git on the PATH to look at {repo} with; install it, or "
            "delete the .git folder in it, so that it counts as filled by hand"
        )
    try:
        head = _ask(repo, ["rev-parse", "--verify", "HEAD"]).strip()
        status = ["status", "--porcelain=v1", "-z", "--untracked-files=no"]
        changed = _ask(repo, [*status, "--ignore-submodules=untracked"])
        absent = [
            line.split()[1]
            for line in _ask(repo, ["submodule", "status", "--recursive"]).splitlines()
            if line.startswith("-")
        ]
    except _GitError as failed:
        raise UserError(
            f"method {label}: git cannot read {repo} ({failed}). Delete the folder, so that it is "
            f"cloned again, or {by_hand(source, repo)}"
        ) from None
    names = [item[3:] for item in changed.split("\0") if item[2:3] == " "]
    faults = []
    if head != source.commit:
        faults.append(f"is at commit {head}, not at {source.commit}")
    if names:
        faults.append(f"has modified files ({', '.join(names[:3])}{', ...' * (len(names) > 3)})")
    if faults:
        raise UserError(
            f"method {label}: {repo} {' and '.join(faults)}. Bring it to the commit "
            f"(git -C {repo} checkout --force {source.commit}), or, to run your own version, "
            "delete its .git folder, so that it counts as filled by hand"
        )
    if absent:
        raise UserError(
            f"method {label}: {repo} lacks its submodule {absent[0]}; "
            f"run git -C {repo} submodule update --init --recursive"
        )


class _GitError(Exception):
    """Git said no; the text is its last line."""


# In a git hook these would turn every command to the hook's own repository.
_HOOKS_OWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fileMode": "false",  # copies by hand lose the executable bit
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
}


def _git() -> list[str] | None:
    path = shutil.which("git")
    if path is None:
        return None
    return [path, *(word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}"))]


def _environment() -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if key not in _HOOKS_OWN}
    own.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    no_questions = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    return {**own, **no_questions, "LC_ALL": "C"}


def _ask(repo: Path, arguments: list[str]) -> str:
    git = _git()
    if git is None:
        raise _GitError("there is no git on the PATH")
    # The ceiling keeps git from taking the folder above for the repository when .git is broken.
    env = {**_environment(), "GIT_CEILING_DIRECTORIES": str(repo.resolve().parent)}
    command = [*git, "--no-optional-locks", "-C", str(repo.resolve()), *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_QUERY_SEC, env=env
        )
    except subprocess.TimeoutExpired:
        raise _GitError(f"not done within {_QUERY_SEC:.0f} s") from None
    if done.returncode != 0:
        # all of it on one line: git's advice on foreign owners stands below its complaint
        raise _GitError(" ".join(done.stderr.decode(errors="replace").split())[:400])
    return done.stdout.decode(errors="surrogateescape")
