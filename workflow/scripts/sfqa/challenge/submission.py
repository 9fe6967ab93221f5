"""Read a challenge submission: a zip with output.txt and readme.txt; errors name the line.

The zip is read in memory and never extracted to disk, so file names in it are harmless.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from sfqa.challenge.submission_texts import MAX_LISTED as MAX_LISTED
from sfqa.challenge.submission_texts import (
    OUTPUT,
    README,
    ErrorCollector,
    check_lines,
    parse_readme,
)
from sfqa.challenge.submission_texts import README_KEYS as README_KEYS
from sfqa.shown_text import quote_value, show_controls
from sfqa.untrusted import limits
from sfqa.untrusted.archives import (
    describe_member_problem,
    leads_outside,
    open_archive,
    read_member,
)
from sfqa.untrusted.limits import RefusedError, format_bytes

#: Limits of a zip: uncompressed size of a file, and number of files.
MAX_BYTES, MAX_FILES = limits.SUBMISSION_FILE_BYTES, limits.SUBMISSION_FILES

_SYSTEM = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
#: Exceptions of the standard library for truncated or manipulated zip files.
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, IndexError, struct.error, zlib.error,
           lzma.LZMAError)  # fmt: skip


@dataclass(frozen=True)
class Submission:
    """The content of a submission: scores by name, entries of the readme, errors and notes.

    ``errors`` make it invalid; each is a sentence that names its line. ``notes`` are harmless.
    """

    scores: dict[str, float]
    facts: dict[str, str]
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether the submission can be scored."""
        return not self.errors


def read_zip(path: Path, names: Iterable[str]) -> Submission:
    """Read a submission and check it against the names, each of which must have one score.

    Accepted with a note: a byte order mark, CRLF, blank lines, spaces around the parts, system
    files, a folder that contains both files, a zip without readme.txt (the organisers' own example
    of THQA-NTIRE has none). Never raises because of the content of the file.
    """
    collector = ErrorCollector()
    texts = _read_archive(path, collector)
    scores = check_lines(texts[OUTPUT], list(names), collector) if OUTPUT in texts else {}
    facts = parse_readme(texts[README], collector) if README in texts else {}
    return Submission(scores, facts, collector.errors(), collector.notes)


# --- the zip --------------------------------------------------------------------------------


def _read_archive(path: Path, collector: ErrorCollector) -> dict[str, bytes]:
    """Return the contents of output.txt and readme.txt if they exist and can be read."""
    try:
        if path.stat().st_size > limits.SUBMISSION_ZIP_BYTES:
            raise RefusedError(f"it has more than {format_bytes(limits.SUBMISSION_ZIP_BYTES)}")
        with open_archive(path) as archive:
            return _read_members(path.name, archive, collector)
    except RefusedError as error:
        collector.add("refused", f"{path.name}: {error}")
    except _BROKEN as error:
        file_type = _guess_file_type(path)
        collector.add(
            "no_zip", f"{path.name}: this is no whole zip file ({file_type or error}); zip it"
        )
    except OSError as error:
        collector.add("no_zip", f"{path.name}: cannot be read ({error.strerror or error})")
    return {}


def _guess_file_type(path: Path) -> str:
    try:
        with open(path, "rb") as handle:
            first_bytes = handle.read(8)
    except OSError:
        return ""
    signatures = {b"\x1f\x8b": "it is gzip", b"Rar!": "it is RAR", b"7z\xbc\xaf": "it is 7z"}
    if not first_bytes:
        return "it is empty"
    file_type = next(
        (label for start, label in signatures.items() if first_bytes.startswith(start)), ""
    )
    return file_type or (
        "it is a text" if first_bytes.isascii() and not first_bytes.startswith(b"PK") else ""
    )


def _read_members(
    name: str, archive: zipfile.ZipFile, collector: ErrorCollector
) -> dict[str, bytes]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        collector.add("many", f"{name}: {len(infos)} files, where {OUTPUT} and {README} are asked")
        return {}
    user_files = [info for info in infos if not _is_system_file(info.filename)]
    if len(user_files) < len(infos):
        collector.notes.append(f"{len(infos) - len(user_files)} files of the system passed over")
    for info in user_files:
        if leads_outside(info.filename):
            collector.add(
                "outside",
                f"{name}: the file name {quote_value(info.filename)} leads out of the archive; "
                "zip the files alone",
            )
    contents = {}
    for required_name in (OUTPUT, README):
        matches = [info for info in user_files if _base_name(info.filename) == required_name]
        if len(matches) == 1:
            data = _read_member(archive, matches[0], collector)
            if data is not None:
                contents[required_name] = data
            folder = str(PurePosixPath(matches[0].filename.replace("\\", "/")).parent)
            if folder != ".":
                collector.notes.append(
                    f"{required_name} was found in the folder {quote_value(folder)}"
                )
        elif matches:
            paths = _list_names([info.filename for info in matches])
            collector.add(
                f"twice {required_name}",
                f"{name}: {required_name} is there {len(matches)} times: {paths}",
            )
        elif required_name == README:  # the scores do not need it
            collector.notes.append(_describe_missing(name, README, user_files))
        else:
            collector.add(f"no {required_name}", _describe_missing(name, required_name, user_files))
    others = [i.filename for i in user_files if _base_name(i.filename) not in (OUTPUT, README)]
    if others:
        collector.notes.append(f"not asked for and passed over: {_list_names(others)}")
    return contents


def _list_names(names: list[str]) -> str:
    """Return the first names of files in an archive, with visible control characters."""
    return ", ".join(show_controls(name[: limits.SHOWN_CHARS], keep="") for name in names[:5])


def _base_name(filename: str) -> str:
    return filename.replace("\\", "/").rpartition("/")[2]


def _is_system_file(filename: str) -> bool:
    return any(part in filename for part in _SYSTEM) or _base_name(filename).startswith("._")


def _describe_missing(name: str, required_name: str, user_files: list[zipfile.ZipInfo]) -> str:
    file_names = [_base_name(info.filename) for info in user_files]
    similar = [
        n
        for n in file_names
        if n.lower() == required_name or n.lower().startswith(required_name[:-4])
    ]
    similar += get_close_matches(required_name, file_names, 1, 0.6)
    if similar:
        similar_name = quote_value(similar[0])
        return f"{name}: no {required_name}; rename {similar_name} (small letters, .txt)"
    contents = f"it holds {_list_names(file_names)}" if file_names else "the zip is empty"
    purpose = (
        "'name,score' lines"
        if required_name == OUTPUT
        else "what the method used and how fast it is"
    )
    return f"{name}: no {required_name} ({purpose}); {contents}"


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, collector: ErrorCollector
) -> bytes | None:
    name = _base_name(info.filename)
    if info.file_size <= MAX_BYTES:
        if problem := describe_member_problem(info, MAX_BYTES):
            collector.add("packing", f"{name}: {problem}")
            return None
        try:
            return read_member(archive, info, MAX_BYTES)
        except RefusedError as error:  # the size in the header may be wrong
            collector.add("packing", f"{name}: {error}")
            return None
    collector.add("too_large", f"{name}: more than {format_bytes(MAX_BYTES)} unpacked")
    return None
