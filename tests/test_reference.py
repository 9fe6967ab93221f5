"""The pages that are made from the code are what the code says; pins agree everywhere."""

from __future__ import annotations

import re

import yaml

from sfqa import reference


def test_the_pages_are_up_to_date():
    how = "run: PYTHONPATH=workflow/scripts python -m sfqa.reference"
    assert (reference.ROOT / "docs/outputs.md").read_text() == reference.outputs_page(), how
    assert (reference.ROOT / "config/README.md").read_text() == reference.config_page(), how


def test_every_key_of_the_schema_has_a_meaning():
    def walk(schema, path):
        for key, part in schema.get("properties", {}).items():
            assert isinstance(part, dict), f"{path}{key}: a comma outside quotes?"
            if not path.startswith("regression.protocols"):
                assert part.get("description"), f"{path}{key}"
            walk(part, f"{path}{key}.")
            for inner in (part.get("additionalProperties"), part.get("items")):
                if isinstance(inner, dict):
                    walk(inner, f"{path}{key}.")

    walk(yaml.safe_load(reference.SCHEMA.read_text()), "")


def test_environments_pin_the_versions_of_the_requirements():
    text = (reference.ROOT / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.MULTILINE))
    seen = set()
    for path in (reference.ROOT / "workflow/envs").glob("*.yaml"):
        environment = yaml.safe_load(path.read_text())
        for line in environment["dependencies"][-1]["pip"]:
            name, version = line.split("==")
            assert pins[name] == version, f"{path.name}: {name}"
            seen.add(name)
    # What plans the workflow, writes its report, serves a study and completes words runs beside the jobs.
    beside = {"jsonschema", "pygments", "shtab", "starlette", "uvicorn"}
    assert set(pins) - seen <= beside, "a package that no environment has"


def test_every_dependency_has_its_reason():
    text = (reference.ROOT / "docs/dependencies.md").read_text()
    for file in ("requirements.txt", "requirements-dev.txt"):
        for name in re.findall(
            r"^([\w.-]+)==", (reference.ROOT / file).read_text(), flags=re.MULTILINE
        ):
            assert name in text or name.startswith("types-"), name
