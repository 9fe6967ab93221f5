"""Words by which a column or row of a table says that it summarises the others."""

from __future__ import annotations

import re
import unicodedata

#: Words in a name that only a summary has.
_STRONG_WORDS = frozenset(
    ("mean", "means", "average", "avg", "mos", "dmos", "median", "std", "sd", "stdev", "stddev",
     "variance", "sem", "stderr", "ci", "ci95", "quantile", "percentile",
     "mittelwert", "durchschnitt", "standardabweichung", "stabw", "varianz", "zentralwert",
     "moyenne", "mediane", "ecarttype", "ecart", "promedio", "mediana", "desviacion", "varianza",
     "deviazione", "desvio", "variancia", "gemiddelde", "mediaan", "srednia", "ortalama",
     "среднее", "медиана",
     "平均", "平均值", "平均分", "均值", "中位数", "中央値", "标准差", "標準差", "標準偏差", "方差",
     "分散", "평균")
)  # fmt: skip
#: Words that are a summary's name only if all words of the name are such words.
_WHOLE_WORDS = frozenset(
    ("sum", "total", "totals", "subtotal", "count", "ratings", "votes", "gesamt", "gesamtsumme",
     "gesamtpunktzahl", "gesamtwert", "insgesamt", "summe", "zwischensumme", "mittel", "anzahl",
     "spannweite", "somme", "effectif", "suma", "somma", "soma", "totaal", "totale", "aantal",
     "итого", "сумма", "合计", "合計", "总计", "总和", "总分", "總計", "합계", "ø", "σ",
     "quartile", "quartil", "perzentil", "interquartile", "iqr", "deviation", "minimum",
     "maximum")
)  # fmt: skip
#: Words that may also be a rater's or video's name, with the statistics that they name.
_WEAK_WORDS = {
    "n": ("number",), "num": ("number",), "number": ("number",), "min": ("minimum",),
    "max": ("maximum",), "range": ("range",), "med": ("median",),
    "ave": ("mean",), "mw": ("mean",), "m": ("mean",), "media": ("mean",), "schnitt": ("mean",),
    "se": ("standard error",), "var": ("variance", "population variance"),
    "s": ("standard deviation", "population standard deviation"), "som": ("sum",),
    "streuung": ("standard deviation", "population standard deviation", "variance"),
    "ki": ("half 95 % interval", "half 95 % interval (normal)"),
    "ic": ("half 95 % interval", "half 95 % interval (normal)"),
    "q1": ("25 % quantile",), "q2": ("median",), "q3": ("75 % quantile",),
    "nombre": ("number",), "numero": ("number",),
}  # fmt: skip
#: Words between those of a summary.
_FILLERS = frozenset(
    ("of", "the", "all", "grand", "overall", "standard", "error", "score", "scores", "value",
     "values", "der", "die", "das", "aller", "arithmetisches", "de", "des", "la", "generale",
     "general", "type", "tipica", "estandar", "padrao", "raters", "rows", "valid", "pop")
)  # fmt: skip
_QUANTILES = frozenset(
    ("quantile", "percentile", "quartile", "quartil", "perzentil", "interquartile", "iqr")
)
_PERCENT = re.compile(r"\d{1,2}(?:[.,]\d+)?\s*%")
#: Names of summaries that are more often those of raters, videos and questions.
_COMMON_NAMES = frozenset(("m", "s", "q1", "q2", "q3"))


def has_strong_name(name: str) -> bool:
    """Return whether a name says that a column or row is a summary.

    >>> [has_strong_name(name) for name in ("MOS (all)", "Summe", "25%", "Écart-type", "Max")]
    [True, True, True, True, False]
    """
    words = _split_words(name)
    return (
        bool(_STRONG_WORDS & set(words))
        or (is_summary_name(name) and bool(_WHOLE_WORDS & set(words)))
        or bool(_PERCENT.fullmatch(name.strip()))
    )


def is_summary_name(name: str) -> bool:
    """Return whether each word of a name is one for a summary, not only a part of it.

    >>> [is_summary_name(name) for name in ("Mean", "max", "mean (n=3)", "average_face", "of all")]
    [True, True, True, False, False]
    """
    if _PERCENT.fullmatch(name.strip()):
        return True
    words = _split_words(name)
    *parts, joined = words
    return (bool(parts) and _is_word(joined)) or (
        any(map(_is_word, parts)) and all(_is_word(word) or word in _FILLERS for word in parts)
    )


def is_doubtful_name(name: str) -> bool:
    """Return whether a name is that of a summary, and not a common name too.

    >>> is_doubtful_name("Max"), is_doubtful_name("Q1")
    (True, False)
    """
    return is_summary_name(name) and name.strip().lower() not in _COMMON_NAMES


def list_statistics(name: str) -> list[str]:
    """Return the statistics that the words of a name mean if they may also be another name.

    >>> list_statistics("Max"), list_statistics("anna")
    (['maximum'], [])
    """
    words = dict.fromkeys(_split_words(name))
    return [statistic for word in words for statistic in _WEAK_WORDS.get(word, ())]


def names_quantile(name: str) -> bool:
    """Return whether a name is one of a quantile.

    >>> names_quantile("25%"), names_quantile("95th percentile"), names_quantile("mean")
    (True, True, False)
    """
    return bool(_PERCENT.fullmatch(name.strip())) or bool(_QUANTILES & set(_split_words(name)))


def _is_word(word: str) -> bool:
    return word in _STRONG_WORDS or word in _WHOLE_WORDS or word in _WEAK_WORDS


def _split_words(name: str) -> list[str]:
    """Return the words of a name in lower case without accents, and all of them as one word."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    plain = unicodedata.normalize("NFKD", separated).lower()
    # Marks on Latin letters are left out; others, as in Cyrillic, belong to their letter.
    plain = unicodedata.normalize("NFC", re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", plain))
    parts = re.findall(r"[^\W\d_]+\d*", plain)
    return [*parts, "".join(parts)]
