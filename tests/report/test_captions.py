from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

jinja2 = pytest.importorskip("jinja2", reason="captions are Jinja2 templates")
docutils = pytest.importorskip("docutils.core", reason="captions are reStructuredText")

FOLDER = Path(__file__).resolve().parents[2] / "workflow" / "report"
CAPTIONS = sorted(path.name for path in FOLDER.glob("*.rst"))

FULL: dict[str, Any] = {
    "dataset": "demo",
    "mode": "build",
    "seed": 7,
    "max_failed": 0.25,
    "generation": {"methods": ["sharp", "late"]},
    "features": {"slowfast": {"weights": "random"}, "lse": {"weights": "a/b.model"}},
    "ratings": {"source": "simulated", "raters": 12},
    "regression": {
        "protocols": [
            {"name": "disjoint", "kind": "fixed"},
            {"name": "lomo", "kind": "leave_one_method_out"},
        ]
    },
}
REAL = {**FULL, "ratings": {"source": "table"}, "features": {"lse": {"weights": "a/b.model"}}}


def page(name: str, config: dict[str, Any], **params: Any) -> str:
    """Render a caption as a report does: Jinja2, then reStructuredText; any warning raises."""
    rst = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(
        (FOLDER / name).read_text()
    )
    text = rst.render(
        snakemake=SimpleNamespace(config=config, params=params, wildcards={"metric": "LSE-D"})
    )
    parts = docutils.publish_parts(
        text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
    )
    return str(parts["html_body"])


def test_all_captions_are_there() -> None:
    assert set(CAPTIONS) == {
        "correlation_table.rst",
        "leakage.rst",
        "learning.rst",
        "metric_figures.rst",
        "mos_by_label.rst",
        "mos_differences.rst",
        "paper_table.rst",
        "raters.rst",
        "rejects.rst",
        "scatter.rst",
        "site.rst",
        "sos.rst",
        "workflow.rst",
    }


@pytest.mark.parametrize("name", CAPTIONS)
@pytest.mark.parametrize("config", [{}, FULL, REAL, {"features": None, "ratings": None}])
def test_renders_whatever_the_configuration(name: str, config: dict[str, Any]) -> None:
    text = page(name, config)
    assert not {w for w in ("{{", "{%", "**", "``", "<dd>", "blockquote") if w in text}
    assert "None" not in text
    if config is FULL:
        assert "demo" in text or name == "scatter.rst"


@pytest.mark.parametrize("name", sorted(set(CAPTIONS) - {"rejects.rst"}))
def test_says_when_ratings_are_simulated(name: str) -> None:
    assert "simulated" in page(name, FULL)
    assert "simulated" not in page(name, REAL)


@pytest.mark.parametrize(
    "name", ["correlation_table.rst", "leakage.rst", "scatter.rst", "workflow.rst"]
)
def test_says_when_weights_are_random(name: str) -> None:
    assert "<strong>Random weights" in page(name, FULL)
    assert "Random weights" not in page(name, REAL)


def test_captions_print_their_own_parameters() -> None:
    text = page("correlation_table.rst", FULL, dataset="thqa", protocol="disjoint")
    assert "<strong>thqa</strong>" in text
    assert "<strong>disjoint</strong>" in text
    assert "lse ran untrained" not in text
    assert "slowfast ran untrained" in text
    falling, rising = ({"direction": d, "weights": "none"} for d in (-1, 1))
    text = page("scatter.rst", FULL, protocol="disjoint", metrics=[rising, falling])
    assert "<strong>disjoint</strong>" in text
    assert "lower is better" in text
    assert "Random weights" not in text
    assert "lower is better" not in page("scatter.rst", FULL, metrics=[rising])
    untrained = {"direction": 1, "weights": "random"}
    assert "<strong>Random weights" in page("scatter.rst", REAL, metrics=[rising, untrained])
    assert "0.25" in page("rejects.rst", FULL)
    assert "never seen in training" in page("leakage.rst", FULL)
    assert "sharp, late" in page("workflow.rst", FULL)


def test_the_leakage_caption_names_the_groups_of_each_protocol() -> None:
    protocols = [
        {"name": "a", "kind": "group_kfold", "groups": ["scene"]},
        {"name": "b", "kind": "leave_one_group_out", "groups": ["speaker"]},
        {"name": "c", "kind": "listed_trials"},
        {"name": "d", "kind": "group_kfold"},
    ]
    text = page("leakage.rst", {**FULL, "regression": {"protocols": protocols}})
    assert "none on both sides of: scene" in text
    assert "a value never seen in training of: speaker" in text
    assert "the trials that the dataset was published with" in text
    assert "none on both sides of: image, clip, prompt" in text
