"""The source of a program as data: repository at a commit, weights, environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.shown_text import quote_value
from sfqa.web_address import is_web_address

SOURCE_KEYS = ("repository", "commit", "licence", "environment", "weights")
_WEIGHTS_KEYS = ("folder", "files", "downloads", "by_hand")
_DOWNLOAD_KEYS = ("to", "hub", "revision", "only", "url", "sha256")
_OWNER_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")
_REVISION = re.compile(r"[\w][\w./-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Download:
    """A part of the weights that can be downloaded: files of a hub repository, or one URL.

    ``to`` is relative to the program's repository. For a hub it is the folder of the files, which
    keep their names; ``only`` are patterns that select them (empty: all). For a URL it is the file.
    """

    to: str
    hub: str = ""
    revision: str = "main"
    only: tuple[str, ...] = ()
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Weights:
    """The weights that a program needs in its repository, and where to get them.

    ``folder`` is the official weights folder, ``files`` are the required files and folders,
    ``by_hand`` is a sentence on what no download covers. Paths are relative to the repository.
    """

    folder: str
    files: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    by_hand: str = ""


@dataclass(frozen=True)
class Source:
    """A program: OWNER/NAME on GitHub (or a git URL or path), commit, licence, environment."""

    repository: str
    commit: str
    licence: str
    environment: str
    weights: Weights

    @property
    def clone_url(self) -> str:
        """The address or path from which git clones.

        >>> Source("OpenTalker/SadTalker", "0" * 40, "", "e.yaml", Weights("w")).clone_url
        'https://github.com/OpenTalker/SadTalker.git'
        """
        if _OWNER_NAME.fullmatch(self.repository):
            return f"https://github.com/{self.repository}.git"
        return self.repository


def read_source(entry: Mapping[str, Any], where: str) -> Source:
    """Return the source that an entry describes; other keys of the entry are ignored.

    Raises :class:`UserError`, which begins with ``where``, for wrong, missing or unknown keys, for
    paths that leave the repository, and for downloads that no required file needs.

    >>> weights = {"folder": "w", "files": ["w/net.pth"], "by_hand": "ask the authors"}
    >>> read_source({"repository": "a/b", "commit": "0" * 40, "licence": "MIT",
    ...              "environment": "workflow/envs/b.yaml", "weights": weights}, "b").weights.files
    ('w/net.pth',)
    """
    for key in SOURCE_KEYS:
        if key not in entry:
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    repository = _read_text(entry["repository"], f"{where}: repository")
    _check_repository(repository, f"{where}: repository")
    commit = _read_text(entry["commit"], f"{where}: commit")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise UserError(f"{where}: commit is {commit!r}; give all 40 hex digits of the commit")
    return Source(
        repository,
        commit,
        _read_text(entry["licence"], f"{where}: licence"),
        _read_inner_path(entry["environment"], f"{where}: environment", "the project's folder"),
        _read_weights(entry["weights"], f"{where}, weights"),
    )


def as_dict(source: Source) -> dict[str, Any]:
    """Return a source as JSON-like data in the form of its entry."""
    downloads = []
    for download in source.weights.downloads:
        if download.hub:
            data = {"to": download.to, "hub": download.hub, "revision": download.revision}
            downloads.append({**data, "only": list(download.only)})
        else:
            downloads.append({"to": download.to, "url": download.url, "sha256": download.sha256})
    return {
        "repository": source.repository,
        "commit": source.commit,
        "licence": source.licence,
        "environment": source.environment,
        "weights": {
            "folder": source.weights.folder,
            "files": list(source.weights.files),
            "downloads": downloads,
            "by_hand": source.weights.by_hand,
        },
    }


def from_dict(data: Mapping[str, Any]) -> Source:
    """Return the source of the data of :func:`as_dict`, checked like an entry.

    >>> source = Source("a/b", "0" * 40, "MIT", "e.yaml", Weights("w", by_hand="none needed"))
    >>> from_dict(as_dict(source)) == source
    True
    """
    return read_source(data, f"source of {data.get('repository', 'a program')}")


def _read_weights(value: object, where: str) -> Weights:
    data = _check_keys(value, where, _WEIGHTS_KEYS, ("folder", "files", "by_hand"))
    files = _read_texts(data["files"], f"{where}: files")
    for name in files:
        _read_inner_path(name.rstrip("/"), f"{where}: files", "the repository")
        if set(name) & set("*?"):
            raise UserError(f"{where}: files holds the pattern {name!r}; list the folder itself")
        if PurePosixPath(name) == PurePosixPath("."):
            raise UserError(f"{where}: files holds the whole repository; list what is needed")
    downloads = data.get("downloads", [])
    if not isinstance(downloads, list):
        raise UserError(f"{where}: downloads is {downloads!r}; give a list")
    return Weights(
        _read_inner_path(data["folder"], f"{where}: folder", "the repository"),
        files,
        tuple(
            _read_download(d, f"{where}, download {n}", files) for n, d in enumerate(downloads, 1)
        ),
        _read_text(data["by_hand"], f"{where}: by_hand"),
    )


def _read_download(value: object, where: str, files: tuple[str, ...]) -> Download:
    data = _check_keys(value, where, _DOWNLOAD_KEYS, ("to",))
    if bool(data.get("hub")) == bool(data.get("url")):
        raise UserError(f"{where}: give one of hub (OWNER/NAME) and url")
    to = _read_inner_path(data["to"], f"{where}: to", "the repository")
    download = _read_hub(data, to, where) if data.get("hub") else _read_url(data, to, where)
    target = PurePosixPath(to)
    for name in files:
        file = PurePosixPath(name)
        if target.is_relative_to(file) or (download.hub and file.is_relative_to(target)):
            return download
    names = ", ".join(files) or "files is empty"
    raise UserError(f"{where}: no required file is at {to} ({names}); correct 'to'")


def _read_hub(data: Mapping[str, Any], to: str, where: str) -> Download:
    if "sha256" in data:
        raise UserError(f"{where}: sha256 is for a url; the hub states the digests of its files")
    hub = _read_text(data["hub"], f"{where}: hub")
    if not _OWNER_NAME.fullmatch(hub):
        raise UserError(f"{where}: hub is {hub!r}; give OWNER/NAME")
    revision = _read_text(data.get("revision", "main"), f"{where}: revision")
    if not _REVISION.fullmatch(revision):
        raise UserError(f"{where}: revision is {revision!r}; give a commit, a tag or a branch")
    return Download(to, hub, revision, _read_texts(data.get("only", []), f"{where}: only"))


def _read_url(data: Mapping[str, Any], to: str, where: str) -> Download:
    for key in ("revision", "only"):
        if key in data:
            raise UserError(f"{where}: {key} is for a hub repository; a url is one file")
    url = _read_text(data["url"], f"{where}: url")
    if not is_web_address(url):
        raise UserError(f"{where}: url is {url!r}; give an https or file address")
    sha256 = data.get("sha256", "")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(
            f"{where}: sha256 is {sha256!r}; give the 64 hex digits of the file at the url"
        )
    if not PurePosixPath(to).parts:
        raise UserError(f"{where}: to is {to!r}; give the path of the file")
    return Download(to, url=url, sha256=sha256)


def _check_repository(value: str, where: str) -> None:
    local = value.startswith(("/", "./", "../"))
    if not (_OWNER_NAME.fullmatch(value) or is_web_address(value) or local):
        raise UserError(f"{where} is {value!r}; give OWNER/NAME on GitHub, an https URL or a path")


def _check_keys(
    value: object, where: str, keys: Iterable[str], required: Iterable[str]
) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: is {value!r}; give the keys {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, keys)}")
    for key in required:
        if key not in value:
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    return value


def read_variables(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return ``pass_environment`` of an entry: names of environment variables.

    >>> read_variables({"pass_environment": ["LICENCE_FILE"]}, "method m")
    ('LICENCE_FILE',)
    """
    names = entry.get("pass_environment", [])
    entries = names if isinstance(names, list) else [None]
    if not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in entries):
        raise UserError(
            f"{where}: pass_environment has {quote_value(names)}; give a list of names of "
            "variables, such as [LICENCE_FILE]"
        )
    return tuple(entries)


def _read_text(value: object, where: str) -> str:
    # Control characters would break git's arguments and the log.
    if not isinstance(value, str) or not value.strip() or any(ord(c) < 32 for c in value.strip()):
        raise UserError(f"{where} is {value!r}; give one line of text")
    return value.strip()


def _read_texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise UserError(f"{where} is {value!r}; give a list")
    return tuple(_read_text(item, where) for item in value)


def _read_inner_path(value: object, where: str, folder: str) -> str:
    """Return a relative path that stays inside ``folder``, which is named in messages."""
    text = _read_text(value, where)
    parts = PurePosixPath(text).parts
    if text.startswith("/") or ".." in parts or "\\" in text:
        raise UserError(f"{where}: {text!r} leaves {folder}; give a relative path without '..'")
    if ".git" in parts:
        raise UserError(f"{where}: {text!r} lies in git's own folder; choose another")
    return text
