"""Pages from templates: values are escaped, files are inserted as they are, a missing value is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from sfqa.templates import render_template

EVIL = "</script><script>evil()</script>\"'&"
SAFE = "&lt;/script&gt;&lt;script&gt;evil()&lt;/script&gt;&#34;&#39;&amp;"


def write(folder: Path, template: str) -> Path:
    path = folder / "page.html"
    path.write_text(template, encoding="utf-8")
    return path


def test_a_value_is_escaped_in_text_and_in_an_attribute(tmp_path: Path) -> None:
    page = write(tmp_path, '<td data-value="{{ a }}">{{ a }}</td>\n')
    assert render_template(page, a=EVIL) == f'<td data-value="{SAFE}">{SAFE}</td>\n'
    assert render_template(page, a=Markup("<b>")) == '<td data-value="<b>"><b></td>\n'


def test_a_file_is_inserted_unchanged(tmp_path: Path) -> None:
    (tmp_path / "x.js").write_text('a = "{{ b }} <&> é";\n', encoding="utf-8")
    page = write(tmp_path, "<script>\n{{ inline('x.js') }}</script>\n")
    assert render_template(page) == '<script>\na = "{{ b }} <&> é";\n</script>\n'


def test_a_missing_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="title"):
        render_template(write(tmp_path, "{{ title }}"))
