"""The texts of a challenge submission, output.txt and readme.txt; errors name the line."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from sfqa.shown_text import quote_value, show_controls
from sfqa.untrusted import limits

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
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class ErrorCollector:
    """Collects error messages by type, so that many of one type do not hide the others.

    The sentences that are not listed are only counted: a file may have millions of wrong lines.
    """

    def __init__(self) -> None:
        self.by_type: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(self, error_type: str, sentence: str | Callable[[], str]) -> None:
        """Add an error; a function is called only if its sentence is listed."""
        self.counts[error_type] += 1
        if self.counts[error_type] <= MAX_LISTED:
            text = sentence if isinstance(sentence, str) else sentence()
            self.by_type.setdefault(error_type, []).append(text)

    def errors(self) -> list[str]:
        """Return the errors, at most ``MAX_LISTED`` of a type and the number of the others."""
        sentences_shown = []
        for error_type, sentences in self.by_type.items():
            sentences_shown += sentences
            if self.counts[error_type] > MAX_LISTED:
                sentences_shown.append(
                    f"... and {self.counts[error_type] - MAX_LISTED} more of this kind "
                    f"({error_type})"
                )
        return sentences_shown


def check_lines(data: bytes, names: list[str], collector: ErrorCollector) -> dict[str, float]:
    """Parse the scores of output.txt by name; errors go to ``collector``."""
    max_lines = limits.SUBMISSION_LINES_PER_NAME * len(names) + limits.SUBMISSION_LINES
    lines = _decode_lines(OUTPUT, data, collector, max_lines)
    suggestions = _NameSuggestions(names)
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
            collector.add(
                "not two parts",
                partial(_describe_line, where, line, parts),
            )
            continue
        name, text = (part.strip() for part in parts)
        stripped += [name, text] != parts
        if (
            number == 1
            and name not in valid_names
            and _parse_number(text) is None
            and _is_header(name, text)
        ):
            collector.add(
                "header", f"{where}: {quote_value(line.strip())} is a heading; delete this line"
            )
            continue
        value = _parse_number(text)
        if value is None or not math.isfinite(value):
            what = "finite number; every video needs one" if value is not None else "number"
            collector.add("no number", f"{where}: {quote_value(text)} is no {what}")
        if name not in valid_names:
            collector.add("unknown name", partial(suggestions.describe_unknown_name, where, name))
        elif name in first_line_of:
            collector.add(
                "twice",
                f"{where}: {quote_value(name)} has a score already, in line "
                f"{first_line_of[name]}; keep one",
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


def _decode_lines(name: str, data: bytes, collector: ErrorCollector, max_lines: int) -> list[str]:
    """Decode the lines of a text; a line that is not UTF-8 is an error and left empty.

    More than ``max_lines`` are an error in output.txt, and left out with a note in readme.txt.
    """
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
    packed_lines = data.removesuffix(b"\n").split(b"\n", max_lines)
    if len(packed_lines) > max_lines:
        del packed_lines[max_lines:]
        sentence = f"{name}: more than {max_lines:,} lines; the others are not read"
        if name == OUTPUT:
            collector.add("lines", f"{sentence}: write one line for each video")
        else:
            collector.notes.append(sentence)
    lines = []
    for number, line in enumerate(packed_lines, 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append("")
            collector.add("encoding", f"{name}, line {number}: not UTF-8; save the file as UTF-8")
    return lines


def _describe_line(where: str, line: str, parts: list[str]) -> str:
    excerpt = f"{where}: " + repr(line if len(line) <= 80 else f"{line[:77]}...")
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


class _NameSuggestions:
    """Suggests the video that an unknown name may mean."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        self.stems: dict[str, str] = {}
        self.folded: dict[str, str] = {}
        for name in self.names:
            self.stems.setdefault(name.rpartition(".")[0] or name, name)
            self.folded.setdefault(name.lower(), name)

    def describe_unknown_name(self, where: str, name: str) -> str:
        """Return the error for a name that is not a video of the phase."""
        return f"{where}: there is no video {quote_value(name)}{self._suggest_name(name)}"

    def _suggest_name(self, name: str) -> str:
        base_name = name.replace("\\", "/").rpartition("/")[2]
        if base_name in self.names:
            return f"; without its folder it is {base_name!r}"
        if base_name in self.stems:
            return f"; with its ending it is {self.stems[base_name]!r}"
        if (stem := base_name.rpartition(".")[0]) in self.stems:
            return f"; with another ending: {self.stems[stem]!r}"
        similar_name = self.folded.get(base_name.lower())
        return f"; in other letters it is {similar_name!r}" if similar_name else ""


def parse_readme(data: bytes, collector: ErrorCollector) -> dict[str, str]:
    """Return the entries of readme.txt that the challenge asks for, by our names."""
    lines = _decode_lines(README, data, collector, limits.SUBMISSION_LINES)
    facts: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        normalized = re.sub(r"\s+", " ", key.strip().lower())
        for name, start in README_KEYS.items():
            if colon and normalized.replace(" [", "[").startswith(start) and name not in facts:
                entry = show_controls(value.strip()[: limits.README_ENTRY_CHARS + 1], keep="")
                if len(entry) > limits.README_ENTRY_CHARS:
                    entry = f"{entry[: limits.README_ENTRY_CHARS]}..."
                facts[name] = entry
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
