"""A challenge submission: a zip with output.txt and readme.txt, every mistake told by its line.

The zip is read in memory and never unpacked to disk: names in it lead nowhere.
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

#: A file in the zip may not be larger than this, unpacked; nor may there be more files.
MAX_BYTES, MAX_FILES = 16 * 2**20, 1000
#: Of each kind of mistake so many are told line by line.
TOLD = 10

OUTPUT, README = "output.txt", "readme.txt"
#: What NTIRE asks for in readme.txt, one 'key : value' line each: our name and how it may begin.
README_KEYS = {
    "runtime": "runtime per video",
    "cpu_or_gpu": "cpu[",
    "extra_data": "extra data",
    "llm": "llm",
    "description": "other description",
}
_ASKED = ("runtime", "cpu_or_gpu", "extra_data", "description")
_SYSTEM = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
#: What the standard library raises for zips that are cut off or tampered with.
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, IndexError, struct.error, zlib.error,
           lzma.LZMAError)  # fmt: skip
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True)
class Submission:
    """What was read: scores by name, the readme's facts, mistakes, and what was put up with.

    ``errors`` make it invalid; each is a sentence with its line. ``notes`` are harmless.
    """

    scores: dict[str, float]
    facts: dict[str, str]
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Return whether it can be scored."""
        return not self.errors


def read_zip(path: Path, names: Iterable[str]) -> Submission:
    """Read a submission and hold it against the names that must be scored, each once.

    Put up with, and noted: a byte order mark, CRLF, blank lines, spaces round the parts, system
    files, one folder round both files. Never raises for what is in the file.
    """
    mistakes = _Mistakes()
    texts = _unpacked(path, mistakes)
    scores = check_lines(texts[OUTPUT], list(names), mistakes) if OUTPUT in texts else {}
    facts = _readme(texts[README], mistakes) if README in texts else {}
    return Submission(scores, facts, mistakes.errors(), mistakes.notes)


class _Mistakes:
    """Collects sentences by kind, so that a thousand of one kind do not hide the next."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def add(self, kind: str, sentence: str) -> None:
        self.kinds.setdefault(kind, []).append(sentence)

    def errors(self) -> list[str]:
        told = []
        for kind, sentences in self.kinds.items():
            told += sentences[:TOLD]
            if len(sentences) > TOLD:
                told.append(f"... and {len(sentences) - TOLD} more of this kind ({kind})")
        return told


# --- the zip --------------------------------------------------------------------------------


def _unpacked(path: Path, mistakes: _Mistakes) -> dict[str, bytes]:
    """Return output.txt and readme.txt, as far as they are there and can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(path.name, archive, mistakes)
    except _BROKEN as error:
        kind = _kind_of(path)
        mistakes.add("no_zip", f"{path.name}: this is no whole zip file ({kind or error}); zip it")
    except NotImplementedError as error:
        mistakes.add("packing", f"{path.name}: packed in a way that cannot be read ({error})")
    except RuntimeError:
        mistakes.add("password", f"{path.name}: the zip has a password; send it without one")
    except OSError as error:
        mistakes.add("no_zip", f"{path.name}: cannot be read ({error.strerror or error})")
    return {}


def _kind_of(path: Path) -> str:
    try:
        with open(path, "rb") as handle:
            head = handle.read(8)
    except OSError:
        return ""
    kinds = {b"\x1f\x8b": "it is gzip", b"Rar!": "it is RAR", b"7z\xbc\xaf": "it is 7z"}
    if not head:
        return "it is empty"
    found = next((word for start, word in kinds.items() if head.startswith(start)), "")
    return found or ("it is a text" if head.isascii() and not head.startswith(b"PK") else "")


def _members(name: str, archive: zipfile.ZipFile, mistakes: _Mistakes) -> dict[str, bytes]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        mistakes.add("many", f"{name}: {len(infos)} files, where {OUTPUT} and {README} are asked")
        return {}
    own = [info for info in infos if not _of_the_system(info.filename)]
    if len(own) < len(infos):
        mistakes.notes.append(f"{len(infos) - len(own)} files of the system passed over")
    found = {}
    for wanted in (OUTPUT, README):
        same = [info for info in own if _last(info.filename) == wanted]
        if len(same) == 1:
            data = _read(archive, same[0], mistakes)
            if data is not None:
                found[wanted] = data
            folder = str(PurePosixPath(same[0].filename.replace("\\", "/")).parent)
            if folder != ".":
                mistakes.notes.append(f"{wanted} was found in the folder {folder!r}")
        elif same:
            places = ", ".join(info.filename for info in same)
            mistakes.add(
                f"twice {wanted}", f"{name}: {wanted} is there {len(same)} times: {places}"
            )
        else:
            mistakes.add(f"no {wanted}", _missing(name, wanted, own))
    others = [i.filename for i in own if _last(i.filename) not in (OUTPUT, README)]
    if others:
        mistakes.notes.append(f"not asked for and passed over: {', '.join(others[:5])}")
    return found


def _last(filename: str) -> str:
    return filename.replace("\\", "/").rpartition("/")[2]


def _of_the_system(filename: str) -> bool:
    return any(part in filename for part in _SYSTEM) or _last(filename).startswith("._")


def _missing(name: str, wanted: str, own: list[zipfile.ZipInfo]) -> str:
    there = [_last(info.filename) for info in own]
    near = [n for n in there if n.lower() == wanted or n.lower().startswith(wanted[:-4])]
    near += get_close_matches(wanted, there, 1, 0.6)
    if near:
        return f"{name}: no {wanted}; rename {near[0]!r} (small letters, .txt)"
    inside = f"it holds {', '.join(there[:5])}" if there else "the zip is empty"
    asked = "'name,score' lines" if wanted == OUTPUT else "what the method used and how fast it is"
    return f"{name}: no {wanted} ({asked}); {inside}"


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, mistakes: _Mistakes) -> bytes | None:
    # The size in the header may lie; what is read counts.
    with archive.open(info) as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        mistakes.add(
            "too_large", f"{_last(info.filename)}: more than {MAX_BYTES // 2**20} MiB unpacked"
        )
        return None
    return data


# --- output.txt -----------------------------------------------------------------------------


def check_lines(data: bytes, names: list[str], mistakes: _Mistakes) -> dict[str, float]:
    """Return the scores of output.txt by name; whatever is wrong goes to ``mistakes``."""
    lines = _lines(OUTPUT, data, mistakes)
    known, scores = set(names), dict[str, float]()
    first: dict[str, int] = {}
    blank = spaced = 0
    for number, line in enumerate(lines, 1):
        where = f"{OUTPUT}, line {number}"
        if not line.strip():
            blank += 1
            continue
        try:
            parts = next(csv.reader([line], skipinitialspace=True))
        except csv.Error:  # a cell of 128 KiB, or a quote that is not closed
            parts = [line]
        if len(parts) != 2:
            mistakes.add("not two parts", f"{where}: {_not_two(line, parts)}")
            continue
        name, text = (part.strip() for part in parts)
        spaced += [name, text] != parts
        if number == 1 and name not in known and _number(text) is None and _words(name, text):
            mistakes.add("header", f"{where}: {line.strip()!r} is a heading; delete this line")
            continue
        value = _number(text)
        if value is None or not math.isfinite(value):
            what = "finite number; every video needs one" if value is not None else "number"
            mistakes.add("no number", f"{where}: {text!r} is no {what}")
        if name not in known:
            mistakes.add("unknown name", f"{where}: there is no video {name!r}{_near(name, known)}")
        elif name in first:
            mistakes.add(
                "twice", f"{where}: {name!r} has a score already, in line {first[name]}; keep one"
            )
        else:
            first[name] = number
            if value is not None and math.isfinite(value):
                scores[name] = value
    if blank:
        mistakes.notes.append(f"{OUTPUT}: {blank} blank lines passed over")
    if spaced:
        mistakes.notes.append(f"{OUTPUT}: spaces round the parts of {spaced} lines taken off")
    missing = [name for name in names if name not in first]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:TOLD])
        more = f" and {len(missing) - TOLD} more" if len(missing) > TOLD else ""
        mistakes.add(
            "missing",
            f"{OUTPUT}: {len(missing)} of {len(names)} videos have no score: {shown}{more}",
        )
    return scores


def _lines(name: str, data: bytes, mistakes: _Mistakes) -> list[str]:
    """Return the text's lines; one that is not UTF-8 is a mistake and left empty."""
    for mark, kind in _BOMS.items():
        if data.startswith(mark):
            mistakes.add("encoding", f"{name}: written as {kind}; save it as UTF-8 or ASCII")
            return []
    if data.startswith(b"\xef\xbb\xbf"):
        mistakes.notes.append(f"{name}: a byte order mark at the start passed over")
        data = data[3:]
    if b"\x00" in data:
        mistakes.add("encoding", f"{name}: holds zero bytes, so it is no text; write plain text")
        return []
    if b"\r" in data:
        mistakes.notes.append(f"{name}: line ends of another system (CR) taken as they are meant")
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.strip():
        mistakes.add("empty", f"{name}: the file is empty")
        return []
    lines = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append("")
            mistakes.add("encoding", f"{name}, line {number}: not UTF-8; save the file as UTF-8")
    return lines


def _not_two(line: str, parts: list[str]) -> str:
    shown = repr(line if len(line) <= 80 else f"{line[:77]}...")
    if len(parts) == 3 and all(re.fullmatch(r"\s*-?\d+\s*", part) for part in parts[1:]):
        return f"{shown} has three parts; is that a decimal comma? write a point"
    for sign, word in ((";", "a semicolon"), ("\t", "a tab"), (" ", "a space")):
        if len(parts) == 1 and sign in line.strip():
            return f"{shown} has {word} where a comma is needed: name,score"
    if len(parts) == 1:
        return f"{shown} has no comma; write name,score"
    return f"{shown} has {len(parts)} parts; write name,score"


def _number(text: str) -> float | None:
    """Return a number written plainly; None for 1_000, 0x1, '1.5 ' in other scripts and words."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _words(name: str, text: str) -> bool:
    both = f"{name} {text}".lower()
    return bool(re.search(r"\b(name|file|filename|video|sample|image|id|score|mos|pred)", both))


def _near(name: str, known: set[str]) -> str:
    """Return the end of the sentence about an unknown name: what it was probably meant to be."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    if plain in known:
        return f"; without its folder it is {plain!r}"
    stems: dict[str, str] = {}
    for word in sorted(known):
        stems.setdefault(word.rpartition(".")[0] or word, word)
    for word, why in ((plain, "with"), (plain.rpartition(".")[0], "with another ending:")):
        if word in stems:
            return f"; {why} its ending it is {stems[word]!r}" if why == "with" else (
                f"; {why} {stems[word]!r}"
            )  # fmt: skip
    same = [word for word in known if word.lower() == plain.lower()]
    return f"; in other letters it is {min(same)!r}" if same else ""


# --- readme.txt -----------------------------------------------------------------------------


def _readme(data: bytes, mistakes: _Mistakes) -> dict[str, str]:
    lines = _lines(README, data, mistakes)
    facts: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        plain = re.sub(r"\s+", " ", key.strip().lower())
        for name, start in README_KEYS.items():
            if colon and plain.replace(" [", "[").startswith(start) and name not in facts:
                facts[name] = value.strip()
    if lines and not facts:
        scored = Counter(bool(re.fullmatch(r"[^,]+,\s*-?[\d.eE+-]+\s*", line)) for line in lines)
        if scored[True] > scored[False]:
            mistakes.add("readme", f"{README}: holds scores; it must say what the method used")
    missing = [README_KEYS[name] for name in _ASKED if name not in facts]
    if missing and facts:
        mistakes.notes.append(f"{README}: no line that begins with {', '.join(missing)}")
    elif missing:
        mistakes.notes.append(f"{README}: no 'runtime per video [s] : 1.00' line and the like")
    return facts
