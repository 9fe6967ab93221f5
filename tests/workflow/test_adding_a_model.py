"""docs/models.md, followed word by word: a quality model is one entry."""

from __future__ import annotations

import re

from flow import ROOT
from pages import copy_project, follow_page
from sfqa.regression.model_metrics import load_checked_models


def test_the_page_adds_a_model_by_one_entry(tmp_path, monkeypatch):
    copy_project(tmp_path)
    text = (ROOT / "docs/models.md").read_text()
    page = tmp_path / "docs" / "models.md"
    page.parent.mkdir()
    page.write_text(text[text.index("## Adding a model") :])
    monkeypatch.setattr("pages.ROOT", tmp_path)
    (printed,) = follow_page("models.md", tmp_path)
    assert "Flicker (Signal, 2026)" in printed
    assert "score: zero-shot, lower is better" in printed
    assert "your files: all there" in printed
    assert re.search(r"^score_metrics +\d", printed, flags=re.MULTILINE)


def test_the_page_names_every_model():
    text = (ROOT / "docs/models.md").read_text()
    rows = re.findall(r"^\| ([A-Z][\w., -]+) \|", text, flags=re.MULTILINE)
    names = [name for row in rows for name in row.split(", ")]
    assert names == list(load_checked_models())
