"""Colours, style, titles and files of all figures; equal content gives equal bytes.

A change here changes every figure: raise the VERSION of each module that draws one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfqa.sample_fields import ALL_PROTOCOL
from sfqa.store import replacing

#: Okabe and Ito (2008), without yellow and black: apart for every kind of colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
#: One marker more than colours, so that 42 methods differ in one or the other.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WARNING = "#B23A00"

#: From here on, points are drawn as an image inside the SVG, which otherwise grows without end.
MANY_POINTS = 2000

STYLE: Any = {
    "svg.hashsalt": "sfqa",
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.dpi": 100,
    "savefig.dpi": 160,
}

LABEL_TITLES = {
    "method": "Generation method",
    "image_source": "Image source",
    "image_category": "Image category",
    "style": "Musical style",
    "language": "Language",
}


def in_words(name: str) -> str:
    """Return a name of the tables as a reader says it.

    >>> in_words("visual_quality")
    'visual quality'
    """
    return name.replace("_", " ")


def describe_splits(protocol: str) -> str:
    """Return a protocol as the title of a figure names it.

    >>> describe_splits("leave_one_method_out"), describe_splits("all")
    ('leave one method out splits', 'all rated videos')
    """
    return "all rated videos" if protocol == ALL_PROTOCOL else f"{in_words(protocol)} splits"


def set_title(
    figure: Figure, title: str = "", synthetic: bool = False, random: bool = False
) -> None:
    """Set the figure's title; warnings of synthetic ratings and random weights stand in it."""
    warned = [w for w, on in (("synthetic ratings", synthetic), ("random weights", random)) if on]
    text = "\n".join(filter(None, [title, ", ".join(warned)]))
    if text:
        colour = WARNING if warned else "#111111"
        figure.suptitle(text, color=colour, weight="bold", x=0.01, ha="left")


def write_reason(axes: Axes, reason: str) -> None:
    """Write into an empty panel why nothing is drawn there."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=WARNING, transform=axes.transAxes)


def save_figure(figure: Figure, paths: Iterable[Path]) -> None:
    """Write a figure into SVG and PNG files; raises ``ValueError`` for any other ending."""
    for path in paths:
        file_format = Path(path).suffix[1:].lower()
        if file_format not in ("svg", "png"):
            raise ValueError(f"{path}: .svg or .png is needed")
        # Without date and program version equal content gives equal bytes.
        metadata = {"Date": None, "Creator": None} if file_format == "svg" else {"Software": None}
        with replacing(path) as temporary:
            figure.savefig(temporary, format=file_format, metadata=metadata)
