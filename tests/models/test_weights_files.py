"""The registry of official weights files: strict, and complete for what the project has."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sfqa.errors import UserError
from sfqa.features import base, official
from sfqa.features.weights import Weights, read_state, resolve_weights
from sfqa.identity import sha256_file
from sfqa.models.weights_files import KeyRules, from_dict, load_weights_files

ROOT = Path(__file__).parents[2]
ENTRY: dict[str, Any] = {
    "file": "net.pth", "publisher": "they", "licence": "MIT", "extractor": "slowfast",
    "url": "https://example.org/net.pth",
}  # fmt: skip


def load(tmp_path: Path, **changes: Any) -> Any:
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    path = tmp_path / "weights.yaml"
    path.write_text(yaml.safe_dump({"net": entry}))
    return official.load_registry(path)["net"]


def test_every_extractor_with_weights_has_an_official_file() -> None:
    entries = official.load_registry()
    # The repository of a model of kind command has its own weights.
    extractors = {
        name
        for name in base.list_extractors()
        if base.has_weights(name) and not base.is_command(name)
    }
    assert {entry.extractor for entry in entries.values()} == extractors
    for name in extractors:
        assert official.find_official_file(entries, name, {}).extractor == name
    for model in ("resnet50", "vit_b_16"):
        entry = official.find_official_file(entries, "spatial", {"model": model})
        assert entry.options == {"model": model}


def test_no_configuration_has_a_digest_of_zeros() -> None:
    for path in (ROOT / "config").rglob("*.yaml"):
        assert not re.search(r"sha256: \"?0{8}", path.read_text()), path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"licence": None}, "the key 'licence' is missing"),
        ({"licence": "CC-BY-NC-4.0"}, "add 'non-commercial use only'"),
        ({"licens": "MIT"}, "unknown key 'licens'; did you mean 'licence'?"),
        ({"url": "http://example.org/x"}, "give an https address"),
        ({"url": None}, "give url, hub with path, or by_hand"),
        ({"hub": "o/n"}, "both url and hub are given"),
        ({"url": None, "hub": "o/n"}, "path is missing"),
        ({"path": "a"}, "path goes with hub"),
        ({"file": "../x"}, "give a plain name"),
        ({"sha256": "0" * 64, "sha256_source": "x"}, "leave it out: the first accepted"),
        ({"sha256": "12ab", "sha256_source": "x"}, "8 at least"),
        ({"sha256": "12345678ab"}, "sha256_source is missing"),
        ({"size": "big"}, "give a whole number"),
        ({"extractor": "slowfst"}, "did you mean 'slowfast'?"),
        ({"extractor": "signal"}, "the extractor signal loads no weights"),
        ({"options": {"sise": 3}}, "did you mean 'size'?"),
        ({"keys": {"wraper": "x"}}, "did you mean 'wrapper'?"),
        ({"keys": {"ignore": "x"}}, "give a list of patterns"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, changes: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        load(tmp_path, **changes)


def test_a_name_that_occurs_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("net: {file: a}\nnet: {file: b}\n")
    with pytest.raises(UserError, match="is there twice"):
        load_weights_files(path)


def test_options_without_an_official_file_name_those_with_one() -> None:
    entries = official.load_registry()
    with pytest.raises(UserError, match="there are clip_vit_b_32_laion2b for model: ViT-B-32"):
        official.find_official_file(entries, "clip", {"model": "ViT-L-14"})


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def build() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 4))


def load_into(path: Path, keys: KeyRules | None) -> torch.nn.Module:
    return Weights("official", "x", path, keys=keys).load(build)


def test_wrapper_prefix_and_ignored_keys_are_data(tmp_path: Path) -> None:
    state = build().state_dict()
    inner = {f"module.net.{key}": value for key, value in state.items()}
    inner["module.net.head.weight"] = torch.zeros(3)
    path = save(tmp_path / "w.pt", {"weights": inner, "epoch": 3})
    rules = KeyRules("weights", "module.net.", ("head.*",))
    assert torch.equal(load_into(path, rules).state_dict()["0.weight"], state["0.weight"])
    with pytest.raises(UserError, match="no state dict 'state' in it"):
        load_into(path, KeyRules("state", "module.net."))


@pytest.mark.parametrize("keys", [None, KeyRules(), KeyRules("", "modul.")])
def test_a_wrong_prefix_never_loads_nothing(tmp_path: Path, keys: KeyRules | None) -> None:
    state = {f"net.{key}": value for key, value in build().state_dict().items()}
    path = save(tmp_path / "w.pt", state)
    with pytest.raises(UserError) as caught:
        load_into(path, keys)
    sentence = str(caught.value)
    assert "0 of 4 keys match" in sentence
    assert "4 missing (0.weight, 0.bias, 1.weight, ...)" in sentence
    assert "4 unexpected (net.0.weight, net.0.bias, net.1.weight, ...)" in sentence


def test_a_partly_matching_file_is_counted(tmp_path: Path) -> None:
    state = build().state_dict()
    state["1.weight"] = torch.zeros(5, 2)
    del state["1.bias"]
    path = save(tmp_path / "w.pt", dict(state))
    with pytest.raises(UserError) as caught:
        load_into(path, KeyRules())
    sentence = str(caught.value)
    assert "2 of 4 keys match, 1 missing (1.bias), 1 of another shape" in sentence
    assert "1.weight (5, 2), not (4, 2)" in sentence


class Malice:
    """What a pickle can do."""

    def __reduce__(self) -> Any:
        return print, ("code in the file ran",)


def cut_file(path: Path) -> None:
    torch.save({"0.weight": torch.zeros(999)}, path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_text("version https://git-lfs"), "it is no file of tensors"),
        (cut_file, "its archive is incomplete or damaged"),
        (
            lambda path: path.write_bytes(pickle.dumps({"a": Malice()}, 2)),
            "it holds print, which is code and was not run",
        ),
        (
            lambda path: torch.save({"model": Malice()}, path),
            "it holds print, which is code and was not run",
        ),
    ],
    ids=["text", "cut", "code", "code in an archive"],
)
def test_files_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, write: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "net.pth")
    with pytest.raises(UserError) as raised:
        load_into(tmp_path / "net.pth", KeyRules("model"))
    assert f"net.pth: cannot be read as weights ({reason}" in str(raised.value)
    assert "weights_only" not in str(raised.value)
    assert capsys.readouterr().out == ""


def test_a_file_with_the_keys_of_two_networks_is_refused(tmp_path: Path) -> None:
    state = build().state_dict()
    both = {**state, **{f"module.{key}": tensor + 1 for key, tensor in state.items()}}
    path = save(tmp_path / "net.pth", both)
    with pytest.raises(UserError, match=r"4 of 8 keys are there with and without .*'module\.'"):
        Weights("official", "x", path).load(build)


@pytest.mark.parametrize("value", [0.5, "text", [1.0]], ids=["number", "text", "list"])
def test_a_value_that_is_no_tensor_does_not_match(tmp_path: Path, value: Any) -> None:
    """Also where the network's tensor has no axes."""
    net = build()
    net.register_buffer("scale", torch.tensor(1.0))
    path = save(tmp_path / "net.pth", {**net.state_dict(), "scale": value})
    with pytest.raises(UserError, match=r"4 of 5 keys match, 1 of another shape \(scale"):
        Weights("official", "x", path).load(lambda: net)


def test_tensors_that_cannot_be_converted_are_counted(tmp_path: Path) -> None:
    """As those of another network, whose layout the conversion does not fit."""

    def convert(state: dict[str, Any], _: Any) -> dict[str, Any]:
        return {"0.weight": torch.cat([state["0.weight"], torch.zeros(1, 9)]), **state}

    state = {**build().state_dict(), "1.bias": torch.zeros(7)}
    with pytest.raises(UserError, match=r"3 of 4 keys match, 1 of another shape \(1.bias"):
        Weights("official", "x", save(tmp_path / "net.pth", state)).load(build, convert=convert)


def test_counters_of_batch_normalisation_may_be_missing(tmp_path: Path) -> None:
    network = torch.nn.BatchNorm1d(3)
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    path = save(tmp_path / "w.pt", state)
    Weights("official", "x", path, keys=KeyRules()).load(lambda: torch.nn.BatchNorm1d(3))


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = build().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    assert torch.equal(read_state(tmp_path / "w.safetensors")["0.weight"], state["0.weight"])
    (tmp_path / "bad.safetensors").write_bytes(b"123456789")
    with pytest.raises(UserError, match="cannot be read as weights"):
        read_state(tmp_path / "bad.safetensors")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(UserError, match=r"cannot be read as weights \(EOFError\)"):
        read_state(tmp_path / "empty.pth")


def test_official_weights_resolve_to_the_file_of_the_folder(tmp_path: Path) -> None:
    entry = load(tmp_path, keys={"wrapper": "state"})
    spec = official.add_official_file({"weights": "official"}, entry, tmp_path)
    with pytest.raises(UserError, match="are missing; sfqa weights net says how"):
        resolve_weights(spec, "slowfast")
    path = save(tmp_path / "net.pth", {"state": {}})
    weights = resolve_weights(spec, "slowfast")
    assert (weights.kind, weights.path, weights.keys) == ("official", path, KeyRules("state"))
    assert weights.identity == sha256_file(path)
    with pytest.raises(UserError, match="which this dataset used before"):
        resolve_weights({**spec, "sha256": "a" * 64}, "slowfast")


def test_a_job_looks_into_mirrors_that_are_folders(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pth", {"a": torch.zeros(1)})
    mirrors = ["https://example.org", str(tmp_path)]
    entry = load(tmp_path)
    spec = official.add_official_file({"weights": "official"}, entry, tmp_path / "w", mirrors)
    assert spec["official"]["mirrors"] == [str(tmp_path)]
    assert resolve_weights(spec, "slowfast").path == path


def test_jobs_do_not_depend_on_the_publishers_words(tmp_path: Path) -> None:
    specs = [
        official.add_official_file({}, load(tmp_path, **changes), "w")
        for changes in ({}, {"licence": "other"}, {"url": "https://example.org/other.pth"})
    ]
    assert specs[0] == specs[1] == specs[2]
    assert from_dict(specs[0]["official"]["entry"]).file == "net.pth"
