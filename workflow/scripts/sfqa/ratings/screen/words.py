"""Texts of the pages, one YAML file per language: en and zh here, others in a study's folder."""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.untrusted import limits
from sfqa.untrusted.documents import load_yaml, read_limited
from sfqa.untrusted.limits import RefusedError
from sfqa.yaml_names import check_keys

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "words"
#: Part of the file that may be missing: the texts of the organiser's page.
ORGANISER = "organiser"
_REFERENCE = "en"
#: Forms of a text that depends on a number, as of the Unicode plural rules.
_PLURAL_FORMS = ("zero", "one", "two", "few", "many", "other")


def list_languages(folder: Path | None = None) -> list[str]:
    """Return the languages that have a file of words here or in a study's folder.

    >>> list_languages()
    ['en', 'zh']
    """
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    if folder is not None:
        names |= {path.name.split(".")[1] for path in folder.glob("words.*.yaml")}
    return sorted(names)


def read_words(language: str, folder: Path | None = None) -> Json:
    """Return the texts in a language; a file ``words.LANGUAGE.yaml`` of the study comes first.

    Raises :class:`UserError` for a language without a file, and for a file whose texts are not
    those of the English one.

    >>> read_words("en")["rater"]["save"]
    'Save and continue'
    """
    own_file = folder / f"words.{language}.yaml" if folder is not None else None
    path = own_file if own_file is not None and own_file.is_file() else FOLDER / f"{language}.yaml"
    if not path.is_file():
        raise UserError(
            f"languages: no language {language!r}; {hint(language, list_languages(folder))}; for "
            f"another one copy {FOLDER / 'en.yaml'} to words.{language}.yaml in the folder of the "
            "study and translate its texts"
        )
    words = _load_file(path)
    if path.parent == FOLDER:
        return words
    reference = _load_file(FOLDER / f"{_REFERENCE}.yaml")
    _compare_texts(words, reference, str(path))
    return {**words, ORGANISER: words.get(ORGANISER, reference[ORGANISER])}


def select_words(words: Mapping[str, Json], section: str) -> Json:
    """Return the words of one kind of page, ``rater`` or ``organiser``, by language.

    >>> select_words({"en": read_words("en")}, "organiser")["en"].keys()
    dict_keys(['name', 'html_lang', 'organiser'])
    """
    names = ("name", "html_lang", section)
    return {language: {name: texts[name] for name in names} for language, texts in words.items()}


@cache
def _load_text(text: str) -> Any:
    return load_yaml(text)


def _load_file(path: Path) -> Json:
    try:
        content = _load_text(read_limited(path, limits.YAML_BYTES).decode("utf-8-sig"))
    except (RefusedError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML ({error}); correct it") from error
    check_keys(content, str(path))
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: give a mapping of texts, as in {FOLDER / 'en.yaml'}")
    return dict(content)


def _compare_texts(words: Any, reference: Any, where: str) -> None:
    """Raise :class:`UserError` if an entry is not of the form of the same entry in English."""
    if isinstance(reference, str) or _is_plural(reference):
        _check_placeholders(words, reference, where)
    elif isinstance(reference, list):
        if not isinstance(words, list) or len(words) != len(reference):
            raise UserError(f"{where}: give a list of {len(reference)} entries, as in English")
        for number, (entry, other) in enumerate(zip(words, reference, strict=True), 1):
            _compare_texts(entry, other, f"{where}, entry {number}")
    else:
        if not isinstance(words, Mapping):
            raise UserError(f"{where}: give {', '.join(reference)}")
        for key in words:
            if key not in reference:
                raise UserError(f"{where}: no text {key!r}; {hint(key, reference)}")
        for key, entry in reference.items():
            if key in words:
                _compare_texts(words[key], entry, f"{where}, {key}")
            elif key != ORGANISER:
                raise UserError(f"{where}: the text {key!r} is missing; in English it is {entry!r}")


def _is_plural(value: Any) -> bool:
    return isinstance(value, Mapping) and "other" in value and set(value) <= set(_PLURAL_FORMS)


def _check_placeholders(words: Any, reference: Any, where: str) -> None:
    """Check a text, or the forms of a text that depends on a number."""
    if not isinstance(words, str) and not _is_plural(words):
        raise UserError(
            f"{where}: {words!r} is not a text; give one, or its plural forms such as one and other"
        )
    forms = dict(words) if isinstance(words, Mapping) else {"other": words}
    placeholders = _find_placeholders(reference)
    for form, text in forms.items():
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}, {form}: {text!r} is not a text; give one in quotes")
        for name in sorted(_find_placeholders(text) - placeholders):
            raise UserError(
                f"{where}: no value for {{{name}}}; there are "
                f"{', '.join(sorted(placeholders)) or 'none'}"
            )


def _find_placeholders(value: Any) -> set[str]:
    """Return the names in braces of a text or of its plural forms."""
    texts = value.values() if isinstance(value, Mapping) else [value]
    names: set[str] = set()
    for text in texts:
        try:
            names |= {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        except ValueError:
            raise UserError(f"{text!r}: the braces do not match; correct it") from None
    return names
