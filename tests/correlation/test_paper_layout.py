"""The table in the layout of SFQA's Table 2: groups, order, marks, published figures, footnotes."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sfqa.correlation import paper_layout
from sfqa.correlation.grid import latex_page
from sfqa.correlation.paper_layout import STATISTICS, render_paper_table
from sfqa.identity import digest
from sfqa.papers.published import load_published, unique_rows
from sfqa.published_figures import read_figures
from sfqa.regression.model_metrics import load_checked_models
from sfqa.regression.paper_rows import describe_paper_rows

CONFIG = Path(__file__).parents[2] / "config"
PAPER = load_published("sfqa_table2")
#: Group and label of the 14 rows, in the paper's order.
ROWS = unique_rows(PAPER.figures, "group", "row")
DIMENSIONS = ["visual_quality", "audio_visual_consistency"]
NON_COMMERCIAL = "Weights for non-commercial use only."
NO_LICENCE = "Code without a licence."
NOTES = {"DOVER": [NON_COMMERCIAL], "DNN-SND": [NO_LICENCE], "GeneralAVQA": [NO_LICENCE]}
RANDOM = ("SimpleVQA", "VALOR")


def paper_row(name: str) -> dict[str, Any]:
    published = [] if name == "LSE-D" else read_figures("sfqa_table2", name, has_overall=True)
    return {"name": name, "published": published, "notes": NOTES.get(name, [])}


def correlation_rows() -> pd.DataFrame:
    """Rows of 14 models and a control; the later in the table, the better."""
    rows = []
    for number, (group, name) in enumerate([("Controls", "oracle"), *ROWS]):
        for dimension, move in zip((*DIMENSIONS, "overall"), (0.0, 0.1, 0.05), strict=True):
            srcc = 0.99 if name == "oracle" else 0.2 + 0.04 * number + move
            rows.append(
                {
                    "metric": name, "group": group, "dimension": dimension, "protocol": "disjoint",
                    "kind": "control" if name == "oracle" else "regressor", "level": "video",
                    "pooling": "mean", "trials": 1, "n": 96, "srcc": srcc, "plcc": srcc + 0.05,
                    "krcc": srcc - 0.05, "rmse": 9.0, "mapping": "logistic-4",
                    "weights": "random" if name in RANDOM else "official",
                    "synthetic_mos": False, "status": "ok", "detail": "",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    rows = correlation_rows().sample(frac=1, random_state=1)  # the order is not that of the rows
    return render_paper_table(rows, "Made.", [paper_row(name) for _, name in ROWS], DIMENSIONS)


def read_tex_lines(text: str) -> list[list[str]]:
    """Return the cells of the lines below the headings."""
    body = text.split(r"\midrule" + "\n", 1)[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line != r"\midrule"]
    return [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in lines]


def test_groups_and_order_are_those_of_the_paper(pages: dict[str, str]) -> None:
    lines = list(csv.DictReader(io.StringIO(pages["csv"])))
    assert [(line["model_type"], line["metric"]) for line in lines] == ROWS
    counts = {group: sum(g == group for g, _ in ROWS) for group, _ in ROWS}
    first_cells = [cells[0].strip() for cells in read_tex_lines(pages["tex"])]
    spans = [f"\\multirow{{{n}}}{{*}}{{{group}}}" for group, n in counts.items()]
    assert [cell for cell in first_cells if cell] == spans
    assert len(first_cells) == 14
    assert "oracle" not in "".join(pages.values())


def test_latex_has_three_statistics_of_three_dimensions(pages: dict[str, str]) -> None:
    heads = pages["tex"].split(r"\toprule")[1].split(r"\midrule")[0].splitlines()
    assert heads[1].startswith(r" &  & \multicolumn{3}{c}{Visual quality} & \multicolumn{3}{c}")
    assert r"\multicolumn{3}{c}{Overall Average}" in heads[1]
    assert heads[3] == "Model type & Metric" + " & SRCC & PLCC & KRCC" * 3 + r" \\"
    assert {len(cells) for cells in read_tex_lines(pages["tex"])} == {11}
    assert "RMSE" not in pages["tex"]
    assert r"\usepackage{multirow}" in pages["tex"].splitlines()[0]
    assert r"\usepackage{multirow}" in latex_page(pages["tex"])
    bare = re.sub(r"\\[\\{}]", "", pages["tex"])
    assert bare.count("{") == bare.count("}")


def test_best_is_bold_and_second_underlined(pages: dict[str, str]) -> None:
    lines = read_tex_lines(pages["tex"])
    assert all(r"\textbf{0." in cell for cell in lines[13][2:])
    assert all(r"\underline{0." in cell for cell in lines[12][2:])
    assert not any(r"\textbf{0." in cell or "underline" in cell for n in range(12) for cell in lines[n])  # fmt: skip
    assert "Best in bold, second underlined." in pages["md"]


def test_published_figures_stand_beside_ours(pages: dict[str, str]) -> None:
    dover = read_tex_lines(pages["tex"])[6]
    assert dover[2].strip() == r"0.4800 {\scriptsize (0.7258)}"
    lines = {line["metric"]: line for line in csv.DictReader(io.StringIO(pages["csv"]))}
    for figure in PAPER.figures.to_dict("records"):
        column = f"{figure['dimension']}_{figure['statistic'].lower()}_published"
        if figure["row"] == "LSE-D":  # the paper's row repeats another one
            assert lines["LSE-D"][column] == ""
        else:
            assert float(lines[figure["row"]][column]) == float(figure["value"])
    assert "In parentheses: published, SFQA, Table 2." in pages["md"]
    # The paper prints .2484, which is not the mean of its parts.
    assert lines["VideoLLaMA2.1-7B-AV"]["overall_krcc_published"] == "0.248400"


def test_footnotes_say_what_the_licences_forbid(pages: dict[str, str]) -> None:
    names = [cells[1].strip() for cells in read_tex_lines(pages["tex"])]
    assert [name for name in names if r"\textsuperscript" in name] == [
        r"DOVER\textsuperscript{1}", r"DNN-SND\textsuperscript{2}", r"GeneralAVQA\textsuperscript{2}"
    ]  # fmt: skip
    assert rf"\textsuperscript{{1}} {NON_COMMERCIAL}" in pages["tex"]
    assert f"<li>{NO_LICENCE}</li>" in pages["html"]
    assert pages["md"].count(NO_LICENCE) == 1


def test_several_footnotes_of_a_cell_are_apart_and_in_ascending_order() -> None:
    rows = correlation_rows()
    flaw = {"status": "flawed", "detail": "dropped: 3 of 96"}
    rows.loc[(rows["metric"] == "LSE-C") & (rows["dimension"] == DIMENSIONS[0]), list(flaw)] = list(flaw.values())  # fmt: skip
    rows.loc[(rows["metric"] == "DOVER") & (rows["dimension"] == DIMENSIONS[0]), list(flaw)] = list(flaw.values())  # fmt: skip
    pages = render_paper_table(rows, "Made.", [paper_row(name) for _, name in ROWS], DIMENSIONS)
    # The flaw's note is the first, as LSE-C has it too and comes before DOVER.
    assert "| DOVER<sup>1,2</sup> |" in pages["md"]
    assert r"DOVER\textsuperscript{1,2}" in pages["tex"]
    assert "DOVER<sup>1,2</sup>" in pages["html"]


def test_untrained_rows_are_marked(pages: dict[str, str]) -> None:
    for name in RANDOM:
        assert f"{name} **(random weights)**" in pages["md"]
        assert rf"{name} \textbf{{(random weights)}}" in pages["tex"]
        assert f'{name} <span class="badge">random weights</span>' in pages["html"]
    assert pages["md"].count("**(random weights)**") == len(RANDOM)
    assert pages["md"].startswith("> **Random weights:")


def test_missing_values_have_a_reason_and_no_metric_is_a_sentence() -> None:
    rows = correlation_rows()
    rows = rows[(rows["metric"] != "DOVER") | (rows["dimension"] != DIMENSIONS[1])]
    paper_rows = [paper_row(name) for _, name in ROWS]
    page = render_paper_table(rows, "Made.", paper_rows, DIMENSIONS)["tex"]
    assert re.match(r" --.*\\textsuperscript", read_tex_lines(page)[6][5])
    assert "no\\_row: not computed" in page
    assert "(0.8012)" in read_tex_lines(page)[6][5]  # the published SRCC, although ours is missing
    controls = rows[rows["kind"] == "control"]
    pages = render_paper_table(controls, "Made.", paper_rows, DIMENSIONS)
    assert "Made. There is no metric but the controls." in pages["md"]
    assert "<table>" in pages["html"]


def test_the_configuration_of_the_paper_has_its_groups_and_order() -> None:
    config = yaml.safe_load((CONFIG / "sfqa.yaml").read_text(encoding="utf-8"))
    models, names = load_checked_models(), list(config["regression"]["models"])
    assert [(models[name].group, name) for name in names] == [r for r in ROWS if r[1] in names]


def test_rows_of_a_configuration_have_figures_and_notes_of_their_models() -> None:
    models = load_checked_models()
    config = {
        "regression": {"models": {"DOVER": {}, "LSE-C": None}, "registry": CONFIG / "models.yaml"}
    }
    metric = {"kind": "regressor", "published": [dict(r) for r in models["DOVER"].published]}
    own = {"kind": "zero_shot", "published": [{"source": "a", "protocol": "random", "srcc": 0.5}]}
    metrics = [
        {"name": "oracle", "kind": "control", "published": []},
        {"name": "DOVER", **metric}, {"name": "own", **own},
    ]  # fmt: skip
    rows = describe_paper_rows(config, metrics, "disjoint")
    assert [row["name"] for row in rows] == ["DOVER", "own"]
    assert [record["dimension"] for record in rows[0]["published"]] == [*DIMENSIONS, "overall"]
    assert rows[0]["notes"] == ["Code for non-commercial use only.", NON_COMMERCIAL]
    assert (rows[1]["published"], rows[1]["notes"]) == ([], [])
    assert set(STATISTICS) <= set(rows[0]["published"][0])


def test_version_is_raised_when_the_pages_change(pages: dict[str, str]) -> None:
    """Golden pages: an edit that changes them must raise VERSION, and this digest."""
    assert (paper_layout.VERSION, digest(pages)[:16]) == (3, "3951fbd8becb26d6")
