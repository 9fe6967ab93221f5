import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from sfqa.errors import UserError
from sfqa.generation import adapters, registry

ROOT = Path(__file__).parents[2]
ENTRY = """
{label}:
  name: A
  year: 2025
  backbone: none
  kind: procedural
  adapter: procedural
  version: 1
  reproducible: true
"""


def load(tmp_path: Path, text: str) -> dict[str, registry.Method]:
    path = tmp_path / "methods.yaml"
    path.write_text(text)
    return registry.load_methods(path)


def test_the_demo_methods(methods):
    assert list(methods) == ["sharp", "late", "blurry", "frozen", "drift", "choppy"]
    assert methods["late"].options == {"lip_delay_frames": 6.0}
    assert methods["sharp"].options == {}
    assert all(m.label == label and m.reproducible for label, m in methods.items())


def test_the_papers_twelve_and_lgvqs_six(known_methods):
    kinds = Counter(m.kind for m in known_methods.values())
    assert kinds == {"procedural": 6, "command": 12, "import": 6}
    for label, method in known_methods.items():
        if method.runs_command:
            assert method.source is not None
            assert len(method.source.commit) == 40
            assert method.source.weights.files
            assert (ROOT / method.source.environment).is_file()
            assert Path(method.source.environment).stem == label
            # A default that only the entry knows would be no default of the repository.
            assert all(name in adapters.load(method.adapter).OPTIONS for name in method.options)
    unseeded = {
        label for label, m in known_methods.items() if m.runs_command and not m.reproducible
    }
    assert unseeded == {"SadT", "AniP", "SkyR", "hallo3"}


@pytest.mark.shared
def test_the_registry_agrees_with_the_facts(known_methods, shared_data):
    facts = yaml.safe_load((shared_data.parent / "reference" / "generators.yaml").read_text())
    assert len(facts["methods"]) == 12
    for fact in facts["methods"]:
        method = known_methods[fact["label"]]
        assert (method.name, method.year) == (fact["name"], fact["year"])
        assert method.source is not None
        assert (method.source.repository, method.source.commit) == (fact["repo"], fact["commit"])


def test_as_dict_and_back(known_methods):
    for method in known_methods.values():
        data = json.loads(json.dumps(registry.as_dict(method)))
        expected = adapters.load(method.adapter).VERSION if method.adapter else 0
        assert data["adapter_version"] == expected
        assert registry.from_dict(data) == method


def test_identity_is_what_the_pictures_depend_on(tmp_path):
    text = ENTRY.format(label="a")
    same = load(tmp_path, text)["a"].get_identity()
    assert load(tmp_path, text.replace("name: A", "name: B"))["a"].get_identity() == same
    assert load(tmp_path, text.replace("version: 1", "version: 2"))["a"].get_identity() != same
    changed = load(tmp_path, text + "  options: {noise_sigma: 1}")["a"].get_identity()
    assert changed != same
    assert load(tmp_path, text + "  options: {noise_sigma: 1.0}")["a"].get_identity() == changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: procedural", "kind: procedurl", "unknown kind 'procedurl'; did you mean"),
        ("adapter: procedural", "adapter: precedural", "unknown adapter 'precedural'; did you"),
        ("backbone:", "backbon:", "unknown key 'backbon'; did you mean 'backbone'"),
        ("  year: 2025\n", "", "the key 'year' is missing"),
        ("year: 2025", "year: now", "year is 'now'; give a whole number"),
        ("version: 1", "version: true", "version is True; give a whole number"),
        ("version: 1", "version: 0", "version is 0; give 1 or more"),
        ("reproducible: true", "reproducible: 1", "give true or false"),
        ("a:\n", "a b:\n", "a label has only letters"),
        ("true\n", "true\n  options: {blur_sigma: 1}\n", "did you mean 'blur_sigma_px'"),
        ("true\n", "true\n  options: {scale: 3}\n", "give a number from 0.1 to 1"),
        ("true\n", "true\n  options: {scale: small}\n", "scale is 'small'; give a number"),
        ("true\n", "true\n  options: {scale: .nan}\n", "scale is nan; give a number"),
        ("true\n", "true\n  options: {lip_delay_frames: 1.5}\n", "give a whole number"),
        ("  name: A", "  name: A\n  name: B", "the key 'name' is there twice"),
        ("  name: A", "  name: [", "not valid YAML"),
    ],
)
def test_mistakes_are_told_with_the_right_word(tmp_path, old, new, message):
    text = ENTRY.format(label="a")
    assert old in text
    with pytest.raises(UserError) as caught:
        load(tmp_path, text.replace(old, new))
    assert message in str(caught.value)
    assert "methods.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="the key 'a' is there twice"):
        load(tmp_path, ENTRY.format(label="a") * 2)


@pytest.mark.parametrize("text", ["", "[]", "a:\n"])
def test_empty_files_and_entries(tmp_path, text):
    with pytest.raises(UserError, match=r"no methods in it|the entry is empty"):
        load(tmp_path, text)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml: the methods file cannot be read"):
        registry.load_methods(tmp_path / "nowhere.yaml")


def test_unknown_label_lists_the_known_ones(methods):
    assert registry.get_method(methods, "late").label == "late"
    with pytest.raises(UserError, match=r"did you mean 'sharp'\? the known labels are blurry, cho"):
        registry.get_method(methods, "sharpe")
    with pytest.raises(UserError, match="no method 'x': the known labels are blurry"):
        registry.get_method(methods, "x")


COMMAND = """
{label}:
  name: A
  year: 2025
  backbone: none
  kind: command
  adapter: sonic
  version: 1
  reproducible: true
  repository: owner/name
  commit: 51a74aec29e100d1505b97da7c03e4db6411dcb9
  licence: MIT
  environment: workflow/envs/generators/sonic.yaml
  weights: {{folder: checkpoints, files: [checkpoints/a.pth], by_hand: from its page}}
  minutes: 5
  memory_gb: 8
"""


def test_a_commands_identity_holds_its_commit_and_not_its_limits(tmp_path):
    text = COMMAND.format(label="a")
    same = load(tmp_path, text)["a"].get_identity()
    assert load(tmp_path, text.replace("minutes: 5", "minutes: 50"))["a"].get_identity() == same
    assert load(tmp_path, text.replace("51a74aec", "61a74aec"))["a"].get_identity() != same


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "adapter: sonic",
            "adapter: procedural",
            "the adapter 'procedural' is for kind procedural",
        ),
        ("  minutes: 5\n", "", "the key 'minutes' is missing"),
        ("minutes: 5", "minutes: 0", "minutes is 0; give a number above 0"),
        ("minutes: 5", "minutes: long", "minutes is 'long'; give a number"),
        ("kind: command", "kind: import", "unknown key 'adapter'"),
        ("kind: command", "kind: procedural", "unknown key 'repository'"),
        ("commit: 51a74", "commit: main5", "commit"),
        ("checkpoints/a.pth", "../a.pth", "a.pth"),
        ("minutes: 5", "minutes: 5\n  expect: {fps: 25}", "unknown key 'expect'"),
    ],
)
def test_mistakes_in_a_command_entry(tmp_path, old, new, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, COMMAND.format(label="a").replace(old, new))
    assert message in str(caught.value)
    assert "methods.yaml, method a" in str(caught.value)


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{fsp: 25}", "did you mean 'fps'"),
        ("{fps: fast}", "give a number"),
        ("{fps: 0}", "above 0"),
    ],
)
def test_mistakes_in_what_is_expected_of_an_import(tmp_path, expect, message):
    entry = ENTRY.format(label="a").replace("procedural\n  adapter: procedural", "import")
    assert load(tmp_path, entry + "  expect: {fps: 24}\n")["a"].expect == {"fps": 24.0}
    with pytest.raises(UserError, match=message):
        load(tmp_path, entry + f"  expect: {expect}\n")
