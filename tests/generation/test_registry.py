from pathlib import Path

import pytest

from sfqa.errors import UserError
from sfqa.generation import adapters, registry

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


def test_as_dict_and_back(methods):
    for method in methods.values():
        data = registry.as_dict(method)
        assert data["adapter_version"] == adapters.load("procedural").VERSION
        assert registry.from_dict(data) == method


def test_identity_is_what_the_pictures_depend_on(tmp_path):
    text = ENTRY.format(label="a")
    same = load(tmp_path, text)["a"].identity()
    assert load(tmp_path, text.replace("name: A", "name: B"))["a"].identity() == same
    assert load(tmp_path, text.replace("version: 1", "version: 2"))["a"].identity() != same
    changed = load(tmp_path, text + "  options: {noise_sigma: 1}")["a"].identity()
    assert changed != same
    assert load(tmp_path, text + "  options: {noise_sigma: 1.0}")["a"].identity() == changed


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
    assert registry.method(methods, "late").label == "late"
    with pytest.raises(UserError, match=r"did you mean 'sharp'\? the known labels are blurry, cho"):
        registry.method(methods, "sharpe")
    with pytest.raises(UserError, match="no method 'x': the known labels are blurry"):
        registry.method(methods, "x")
