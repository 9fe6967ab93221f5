"""HTML pages from Jinja templates, with every value escaped."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_template(path: Path, **values: Any) -> str:
    """Return the page that a template file makes of ``values``.

    Values are escaped; a name that the template uses but ``values`` lacks raises
    ``jinja2.UndefinedError``. ``inline("style.css")`` in a template inserts a file of its folder
    unchanged, which is how a page carries its style and scripts.
    """
    return _load_folder(path.parent).get_template(path.name).render(values)


@cache
def _load_folder(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["inline"] = partial(_read_unescaped, folder)
    return environment


def _read_unescaped(folder: Path, name: str) -> Markup:
    return Markup((folder / name).read_text(encoding="utf-8"))
