"""Read a challenge submission: a zip with output.txt and readme.txt; errors name the line.

The zip is read in memory and never extracted to disk, so file names in it are harmless.
"""

from __future__ import annotations

import csv
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

#: Limits of a zip: uncompressed size of a file, and number of files.
MAX_BYTES, MAX_FILES = 16 * 2**20, 1000
#: Number of errors of one type that are listed line by line.
MAX_LISTED = 10

OUTPUT, README = "output.txt", "readme.txt"
#: Entries of readme.txt that NTIRE requires, one 'key : value' line each: our name and its prefix.
README_KEYS = {
    "runtime": "runtime per video",
    "cpu_or_gpu": "cpu[",
    "extra_data": "extra data",
    "llm": "llm",
    "description": "other description",
}
_REQUIRED_KEYS = ("runtime", "cpu_or_gpu", "extra_data", "description")
_SYSTEM = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
#: Exceptions of the standard library for truncated or manipulated zip files.
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, IndexError, struct.error, zlib.error,
           lzma.LZMAError)  # fmt: skip
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


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
    collector = _ErrorCollector()
    texts = _read_archive(path, collector)
    scores = check_lines(texts[OUTPUT], list(names), collector) if OUTPUT in texts else {}
    facts = _parse_readme(texts[README], collector) if README in texts else {}
    return Submission(scores, facts, collector.errors(), collector.notes)


class _ErrorCollector:
    """Collects error messages by type, so that many of one type do not hide the others."""

    def __init__(self) -> None:
        self.by_type: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def add(self, error_type: str, sentence: str) -> None:
        self.by_type.setdefault(error_type, []).append(sentence)

    def errors(self) -> list[str]:
        sentences_shown = []
        for error_type, sentences in self.by_type.items():
            sentences_shown += sentences[:MAX_LISTED]
            if len(sentences) > MAX_LISTED:
                sentences_shown.append(
                    f"... and {len(sentences) - MAX_LISTED} more of this kind ({error_type})"
                )
        return sentences_shown


# --- the zip --------------------------------------------------------------------------------


def _read_archive(path: Path, collector: _ErrorCollector) -> dict[str, bytes]:
    """Return the contents of output.txt and readme.txt if they exist and can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(path.name, archive, collector)
    except _BROKEN as error:
        file_type = _guess_file_type(path)
        collector.add(
            "no_zip", f"{path.name}: this is no whole zip file ({file_type or error}); zip it"
        )
    except NotImplementedError as error:
        collector.add("packing", f"{path.name}: packed in a way that cannot be read ({error})")
    except RuntimeError:
        collector.add("password", f"{path.name}: the zip has a password; send it without one")
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
    name: str, archive: zipfile.ZipFile, collector: _ErrorCollector
) -> dict[str, bytes]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        collector.add("many", f"{name}: {len(infos)} files, where {OUTPUT} and {README} are asked")
        return {}
    user_files = [info for info in infos if not _is_system_file(info.filename)]
    if len(user_files) < len(infos):
        collector.notes.append(f"{len(infos) - len(user_files)} files of the system passed over")
    for info in user_files:
        if _leads_outside(info.filename):
            collector.add(
                "outside",
                f"{name}: the file name {info.filename!r} leads out of the archive; zip the files "
                "alone",
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
                collector.notes.append(f"{required_name} was found in the folder {folder!r}")
        elif matches:
            paths = ", ".join(info.filename for info in matches)
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
        collector.notes.append(f"not asked for and passed over: {', '.join(others[:5])}")
    return contents


def _leads_outside(filename: str) -> bool:
    """Return whether a name in an archive is a whole path or goes up from its folder."""
    parts = filename.replace("\\", "/").split("/")
    return ".." in parts or not parts[0] or parts[0].endswith(":")


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
        return f"{name}: no {required_name}; rename {similar[0]!r} (small letters, .txt)"
    contents = f"it holds {', '.join(file_names[:5])}" if file_names else "the zip is empty"
    purpose = (
        "'name,score' lines"
        if required_name == OUTPUT
        else "what the method used and how fast it is"
    )
    return f"{name}: no {required_name} ({purpose}); {contents}"


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, collector: _ErrorCollector
) -> bytes | None:
    # The size in the header may be wrong, so count the bytes that are read.
    with archive.open(info) as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        collector.add(
            "too_large", f"{_base_name(info.filename)}: more than {MAX_BYTES // 2**20} MiB unpacked"
        )
        return None
    return data


# --- output.txt -----------------------------------------------------------------------------


def check_lines(data: bytes, names: list[str], collector: _ErrorCollector) -> dict[str, float]:
    """Parse the scores of output.txt by name; errors go to ``collector``."""
    lines = _decode_lines(OUTPUT, data, collector)
    valid_names, scores = set(names), dict[str, float]()
    first_line_of: dict[str, int] = {}
    blank = stripped = 0
    for number, line in enumerate(lines, 1):
        where = f"{OUTPUT}, line {number}"
        if not line.strip():
            blank += 1
            continue
        try:
            parts = next(csv.reader([line], skipinitialspace=True))
        except csv.Error:  # a cell over 128 KiB, or an unclosed quote
            parts = [line]
        if len(parts) != 2:
            collector.add("not two parts", f"{where}: {_describe_line(line, parts)}")
            continue
        name, text = (part.strip() for part in parts)
        stripped += [name, text] != parts
        if (
            number == 1
            and name not in valid_names
            and _parse_number(text) is None
            and _is_header(name, text)
        ):
            collector.add("header", f"{where}: {line.strip()!r} is a heading; delete this line")
            continue
        value = _parse_number(text)
        if value is None or not math.isfinite(value):
            what = "finite number; every video needs one" if value is not None else "number"
            collector.add("no number", f"{where}: {text!r} is no {what}")
        if name not in valid_names:
            collector.add(
                "unknown name",
                f"{where}: there is no video {name!r}{_suggest_name(name, valid_names)}",
            )
        elif name in first_line_of:
            collector.add(
                "twice",
                f"{where}: {name!r} has a score already, in line {first_line_of[name]}; keep one",
            )
        else:
            first_line_of[name] = number
            if value is not None and math.isfinite(value):
                scores[name] = value
    if blank:
        collector.notes.append(f"{OUTPUT}: {blank} blank lines passed over")
    if stripped:
        collector.notes.append(f"{OUTPUT}: spaces round the parts of {stripped} lines taken off")
    missing = [name for name in names if name not in first_line_of]
    if missing:
        listed = ", ".join(repr(name) for name in missing[:MAX_LISTED])
        more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
        collector.add(
            "missing",
            f"{OUTPUT}: {len(missing)} of {len(names)} videos have no score: {listed}{more}",
        )
    return scores


def _decode_lines(name: str, data: bytes, collector: _ErrorCollector) -> list[str]:
    """Decode the lines of a text; a line that is not UTF-8 is an error and left empty."""
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            collector.add("encoding", f"{name}: written as {encoding}; save it as UTF-8 or ASCII")
            return []
    if data.startswith(b"\xef\xbb\xbf"):
        collector.notes.append(f"{name}: a byte order mark at the start passed over")
        data = data[3:]
    if b"\x00" in data:
        collector.add("encoding", f"{name}: holds zero bytes, so it is no text; write plain text")
        return []
    if b"\r" in data:
        collector.notes.append(f"{name}: line ends of another system (CR) taken as they are meant")
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.strip():
        collector.add("empty", f"{name}: the file is empty")
        return []
    lines = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append("")
            collector.add("encoding", f"{name}, line {number}: not UTF-8; save the file as UTF-8")
    return lines


def _describe_line(line: str, parts: list[str]) -> str:
    excerpt = repr(line if len(line) <= 80 else f"{line[:77]}...")
    if len(parts) == 3 and all(re.fullmatch(r"\s*-?\d+\s*", part) for part in parts[1:]):
        return f"{excerpt} has three parts; is that a decimal comma? write a point"
    for sign, word in ((";", "a semicolon"), ("\t", "a tab"), (" ", "a space")):
        if len(parts) == 1 and sign in line.strip():
            return f"{excerpt} has {word} where a comma is needed: name,score"
    if len(parts) == 1:
        return f"{excerpt} has no comma; write name,score"
    return f"{excerpt} has {len(parts)} parts; write name,score"


def _parse_number(text: str) -> float | None:
    """Parse a plain number; returns None for 1_000, 0x1, digits of other scripts, and words."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_header(name: str, text: str) -> bool:
    words = f"{name} {text}".lower()
    return bool(re.search(r"\b(name|file|filename|video|sample|image|id|score|mos|pred)", words))


def _suggest_name(name: str, valid_names: set[str]) -> str:
    """Return the end of the error message for an unknown name: a suggestion."""
    base_name = name.replace("\\", "/").rpartition("/")[2]
    if base_name in valid_names:
        return f"; without its folder it is {base_name!r}"
    stems: dict[str, str] = {}
    for word in sorted(valid_names):
        stems.setdefault(word.rpartition(".")[0] or word, word)
    for word, why in ((base_name, "with"), (base_name.rpartition(".")[0], "with another ending:")):
        if word in stems:
            return f"; {why} its ending it is {stems[word]!r}" if why == "with" else (
                f"; {why} {stems[word]!r}"
            )  # fmt: skip
    same = [word for word in valid_names if word.lower() == base_name.lower()]
    return f"; in other letters it is {min(same)!r}" if same else ""


# --- readme.txt -----------------------------------------------------------------------------


def _parse_readme(data: bytes, collector: _ErrorCollector) -> dict[str, str]:
    lines = _decode_lines(README, data, collector)
    facts: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        normalized = re.sub(r"\s+", " ", key.strip().lower())
        for name, start in README_KEYS.items():
            if colon and normalized.replace(" [", "[").startswith(start) and name not in facts:
                facts[name] = value.strip()
    if lines and not facts:
        scored = Counter(bool(re.fullmatch(r"[^,]+,\s*-?[\d.eE+-]+\s*", line)) for line in lines)
        if scored[True] > scored[False]:
            collector.add("readme", f"{README}: holds scores; it must say what the method used")
    missing = [README_KEYS[name] for name in _REQUIRED_KEYS if name not in facts]
    if missing and facts:
        collector.notes.append(f"{README}: no line that begins with {', '.join(missing)}")
    elif missing:
        collector.notes.append(f"{README}: no 'runtime per video [s] : 1.00' line and the like")
    return facts
