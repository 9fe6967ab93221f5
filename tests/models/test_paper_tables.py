"""config/tables: every row of the papers' tables is planned or named as left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from merged_configuration import read_configuration
from sfqa.missing import describe_items, list_missing
from sfqa.papers.published import load_published
from sfqa.plan import Plan
from sfqa.project_files import SCHEMA
from sfqa.published_figures import simplify_label
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.regression.paper_rows import REDUCED
from sfqa.regression.problems import MIN_TRAIN, MIN_VALIDATION

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/paper_tables.md").read_text()
#: The files of each configuration, and the published tables whose rows it has.
CONFIGURATIONS = {
    ("tables/ugvq_lgvq",): ("lgvq_table3", "lgvq_table6"),
    ("tables/ugvq_fetv",): ("lgvq_table3", "lgvq_table6"),
    ("tables/ugvq_table5",): ("lgvq_table5",),
    ("tables/aigc_vqa",): tuple(f"aigc_vqa_table{number}" for number in (2, 4, 5, 6)),
}
CROSS = {
    ("tables/ugvq_lgvq", "tables/ugvq_table6_fetv_to_lgvq"): "results/fetv",
    ("tables/ugvq_fetv", "tables/ugvq_table6_lgvq_to_fetv"): "results/lgvq",
}
BRANCHES = ("technical", "aesthetic", "alignment")
DEMO, OTHER = "tables/demo", "tables/demo_other"


@pytest.fixture(autouse=True, scope="module")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory has nothing but the demo's material, nor are there any weights."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "resources").mkdir()
    (folder / "resources/demo").symlink_to(ROOT / "resources/demo")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(folder / name))
        patch.chdir(folder)
        yield folder


@cache
def make_plan(*names: str) -> Plan:
    """Return the plan of some files; of the demo's size, which lacks no data, all is checked."""
    is_complete = DEMO in names
    plan = Plan(read_configuration(*names), SCHEMA, is_complete, is_complete)
    check_feature_columns(plan.configured_metrics, plan.config.get("features"))
    return plan


def list_records(names: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    models = read_configuration(*names)["regression"]["models"]
    return [(name, record) for name, row in models.items() for record in row["published"]]


@pytest.mark.parametrize("names", [*CONFIGURATIONS, *CROSS], ids=" ".join)
def test_a_configuration_plans_without_its_data_and_says_what_is_missing(
    names: tuple[str, ...],
) -> None:
    plan = make_plan(*names)
    missing = describe_items(list_missing(plan))
    assert f"{plan.config['import']['folder']}: import.folder" in missing
    assert f"official weights: {len(plan.weights.list_files())} missing" in missing
    assert all(metric["published"] for metric in plan.scored_metrics)
    if names in CROSS:
        (protocol,) = plan.config["regression"]["protocols"]
        assert (protocol["name"], protocol["model"]) == (plan.main_protocol, CROSS[names])
    rows = plan.paper_rows(None)
    assert all(row["published"] for row in rows)  # figures of the main protocol
    assert all("`" + name + ".yaml`" in PAGE for name in (n.partition("/")[2] for n in names))


@pytest.mark.parametrize("names", CONFIGURATIONS, ids=" ".join)
def test_every_row_of_a_table_is_planned_or_named_as_left_out(names: tuple[str, ...]) -> None:
    (left_out,) = re.findall(r"^Left out: (.*)$", PAGE, flags=re.MULTILINE) or [""]
    for table in CONFIGURATIONS[names]:
        rows = {
            record.get("row", name) for name, record in list_records(names)
            if record["table"] == table
        }  # fmt: skip
        published = set(load_published(table).figures["row"])
        planned = {row for row in published if simplify_label(row) in map(simplify_label, rows)}
        assert len(planned) == len(rows)
        for row in published - planned:
            assert re.search(rf"\b{re.escape(row)}\b", left_out), (table, row)


def test_the_two_datasets_have_the_same_rows_in_the_same_form() -> None:
    """Otherwise no model of one could be tested on the other."""
    lgvq, fetv = make_plan("tables/ugvq_lgvq"), make_plan("tables/ugvq_fetv")
    for key in ("name", "head", "options", "inputs"):
        assert [m[key] for m in lgvq.metrics] == [m[key] for m in fetv.metrics]
    assert lgvq.conform_settings() == fetv.conform_settings()
    assert lgvq.config["features"] == fetv.config["features"]


def test_the_ablation_has_the_modules_of_table_5() -> None:
    plan = make_plan("tables/ugvq_table5")
    modules = [
        [name for name in ("spatial", "temporal", "text", "fusion") if metric["options"][name]]
        for metric in plan.scored_metrics
    ]
    figures = load_published("lgvq_table5").figures
    counts = figures[figures["statistic"] == "Modules"].set_index("row")["value"]
    assert [len(m) for m in modules] == [int(counts[f"No. {n}"]) for n in range(1, 9)]
    assert len(set(map(tuple, modules))) == 8


@pytest.mark.thorough
@pytest.mark.parametrize("names", [*CONFIGURATIONS, *CROSS], ids=" ".join)
def test_the_demo_has_the_same_rows_reduced(names: tuple[str, ...]) -> None:
    overlays = (DEMO, OTHER) if names in CROSS else (DEMO,)
    plan, full = make_plan(*names, *overlays), make_plan(*names)
    assert plan.metric_names == full.metric_names
    assert plan.mode == "build"
    assert plan.sample_sources()[-1].endswith("pairs.csv")
    assert {plan.label_metric(m)["weights"] for m in plan.scored_metrics} == {"random"}
    assert all(row["notes"][-1] == REDUCED for row in plan.paper_rows(None))
    (protocol,) = plan.config["regression"]["protocols"]
    if names in CROSS:
        assert protocol["model"] == "results/tables_demo"
    else:  # every part has the rows that a trained head needs
        videos = plan.config["pairs"]["count"] * len(plan.methods)
        train, validation, _ = (videos * p / sum(protocol["parts"]) for p in protocol["parts"])
        assert train >= MIN_TRAIN
        assert validation >= MIN_VALIDATION


def test_aigc_vqas_rows_differ_in_what_their_tables_name() -> None:
    """Branches, shares, adapter and stages, each at the place where the paper varies it."""
    options = {
        metric["name"]: metric["options"]
        for metric in make_plan("tables/aigc_vqa").scored_metrics
        if metric["head"] == "fine_tuned"
    }
    digests = {name: str([o["stages"], o["adapter"]]) for name, o in options.items()}
    assert len(set(digests.values())) == len(options) == 12
    shares = {
        record["row"]: options[name]["stages"][-1]["train"]["alignment"]["share"]
        for name, record in list_records(("tables/aigc_vqa",))
        if record["table"] == "aigc_vqa_table4"
    }
    assert shares == {f"{round(100 * share)}%": share for share in (0.8, 0.7, 0.6, 0.5, 0.4)}
    for name, record in list_records(("tables/aigc_vqa",)):
        if record["table"] == "aigc_vqa_table2" and name in options:
            branches = set(record["row"].split(" + "))
            last = options[name]["stages"][-1]["train"]
            assert branches == (set(last) if "share" not in last else set(BRANCHES)), name
    same = {key: value for key, value in options["AIGC-VQA-stage-2"].items() if key != "adapter"}
    no_adapter = options["AIGC-VQA-no-adapter"]
    assert {key: value for key, value in no_adapter.items() if key != "adapter"} == same
    assert not no_adapter["adapter"]
