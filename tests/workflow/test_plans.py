"""Dry runs of every configuration: what would run, and what is refused with a sentence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from flow import ROOT, Flow, job_counts

#: Configurations of papers whose data are not part of the project.
WITHOUT_DATA = ["sfqa", "t2vqa", "lgvq", "ntire2025_talking_head"]


def load(name):
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())


def test_the_embedded_default_is_planned_whole(tmp_path):
    planned = Flow(tmp_path, load("config")).planned()
    assert planned["prepare_images"] == planned["list_samples"] == 1
    assert planned["predict"] == 3
    assert planned["score_metrics"] == 1  # 4 single features, 3 controls


def test_the_default_needs_no_configfile_and_takes_keys_from_the_command_line(tmp_path):
    flow = Flow(tmp_path, load("config"))
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "1"]
    command += ["--config", "pairs={count: 4}", "materials={image_px: 512}"]
    command += ["features={clip: {weights: random, options: {frames: 4}}}"]
    done = subprocess.run(command, cwd=flow.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr)["prepare_images"] == 1


def test_the_papers_size_is_planned_from_placeholder_files(tmp_path):
    config = load("sfqa") | {"missing": "skip"}
    flow = Flow(tmp_path, config)
    (tmp_path / "resources").mkdir(exist_ok=True)
    images = "".join(f"a{n},a{n}.png,ai,elf\n" for n in range(30))
    (tmp_path / "resources/images.csv").write_text(f"image_id,path,source,category\n{images}")
    clips = "".join(f"c{n},c{n}.wav,pop,en,ai\n" for n in range(30))
    (tmp_path / "resources/clips.csv").write_text(f"clip_id,path,style,language,origin\n{clips}")
    (tmp_path / "resources/scores.csv").write_text("rater,sample_id,dimension,score\n")
    flow.configure(config)
    planned = flow.planned()
    assert planned["import_ratings"] == 1
    assert planned["prepare_images"] == 1
    # Models of kind command bring their own weights.
    models = [load("models")[name] for name in config["regression"]["models"]]
    files = {file for m in models if m.get("kind") != "command" for file in m["weights"]}
    assert planned["fetch_weights_file"] == len(files) >= 5  # none is on this machine


def test_an_imported_table_is_planned_with_a_metric_per_column(tmp_path):
    config = load("thqa")
    flow = Flow(tmp_path, config)
    path = tmp_path / config["import"]["table"]
    path.parent.mkdir(parents=True)
    rows = [
        f"{image}_voice_en_3504_{method},40.5,3,5.1,.5,2.5\n"
        for image in range(5)
        for method in ("ahead", "sad", "audio")
    ]
    path.write_text("Image,brisque,pi,distance,clipiqa+,Score\n" + "".join(rows))
    planned = flow.planned()
    # 6 regressors; one job for 4 single features and 3 controls; one for the plots of 10 metrics
    assert planned["predict"] == 6
    assert planned["score_metrics"] == planned["plot_scatter"] == 1
    assert sum(planned.values()) == 19
    assert "extract_features" not in planned


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"generation": {"methods": ["sharp", "lat"]}}, "no method 'lat': did you mean 'late'?"),
        ({"fetures": {}}, "config: unknown key 'fetures'; did you mean 'features'?"),
        ({"features": {"slowfst": {"weights": "random"}}}, "did you mean 'slowfast'?"),
        (
            {"features": {"lse": {"weights": "random", "options": {"min_trak": 5}}}},
            "no option 'min_trak'; did you mean 'min_track'?",
        ),
        ({"materials": {"images": "faces.csv"}}, "there is no file 'faces.csv'"),
        (
            {
                "regression": {
                    "metrics": {"x": {"kind": "regressor", "head": "rigde", "inputs": ["clip"]}}
                }
            },
            "did you mean 'ridge'?",
        ),
        (
            {"regression": {"metrics": {"x": {"kind": "zero_shot", "inputs": ["les.lse_c"]}}}},
            "did you mean 'lse'?",
        ),
    ],
)
def test_a_mistake_stops_before_any_job_with_a_sentence(tmp_path, change, sentence):
    said = Flow(tmp_path, load("config") | change).run("-n", ok=False)
    assert sentence in said
    assert "Traceback" not in said


def test_the_linter_finds_nothing(tmp_path):
    Flow(tmp_path, load("config")).run("--lint")


def test_every_rule_has_a_log_an_environment_and_a_script_of_its_name():
    text = "".join(p.read_text() for p in sorted((ROOT / "workflow/rules").glob("*.smk")))
    parts = re.split(r"^ *(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)
    rules = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(rules) == {p.stem for p in (ROOT / "workflow/scripts").glob("*.py")}
    for name, body in rules.items():
        assert f'"../scripts/{name}.py"' in body
        assert "log:" in body, name
        assert '"../envs/' in body, name


def test_the_nine_rooms_have_a_rule_file_a_package_tests_and_a_page():
    rooms = [
        "materials", "pairs", "generation", "conform", "ratings", "features", "regression",
        "correlation", "report",
    ]  # fmt: skip
    for room in rooms:
        assert (ROOT / f"workflow/rules/{room}.smk").is_file()
        assert (ROOT / f"workflow/scripts/sfqa/{room}/__init__.py").is_file()
        assert list((ROOT / f"tests/{room}").glob("test_*.py"))
        assert (ROOT / f"docs/{room}.md").is_file()


def test_the_library_does_not_know_the_workflow_engine():
    for path in (ROOT / "workflow/scripts/sfqa").rglob("*.py"):
        if path.name in ("snakemake_tuning.py", "script_changes.py", "snakemake_events.py"):
            continue  # they change Snakemake, and import it inside functions or for types only
        assert "import snakemake" not in path.read_text(), path
        assert "snakemake." not in path.read_text().replace("snakemake --", ""), path


def test_an_extractor_is_planned_twice_with_other_options(tmp_path):
    """A label after a hyphen makes a second table, whose columns are inputs like any other."""
    config = load("config") | {
        "features": {
            "signal": {"weights": "none"},
            "signal-coarse": {"weights": "none", "options": {"every": 5}},
        }
    }
    names = {"Fine": "signal.sharpness", "Coarse": "signal-coarse.sharpness"}
    metrics = {name: {"kind": "zero_shot", "inputs": [column]} for name, column in names.items()}
    config["regression"] = config["regression"] | {"metrics": metrics}
    said = Flow(tmp_path, config).run("-n")
    assert "features/signal-coarse/" not in said  # planned once the samples are listed
    assert "regression/Coarse/predictions.parquet" in said


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_dry_run_without_the_data_lists_all_that_is_missing(tmp_path, name):
    """Files of the user, label files, official weights and generators, in one message."""
    config = load(name)
    said = Flow(tmp_path, config).run("-n", ok=False)
    assert "Traceback" not in said
    assert "official weights: " in said
    assert "sfqa weights --fetch slowfast_r50" in said
    for key in ("materials.images", "import.folder", "ratings.path"):
        section, entry = key.split(".")
        path = config.get(section, {}).get(entry)
        assert path is None or path in said, key
