"""Seeded hostile inputs: model files, submissions, studies and weights, each a small file."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from screen_study import STUDY

from model_metadata import make_model_metadata
from sfqa.identity import digest
from sfqa.regression import heads, model_files
from submissions import NAMES, README, write_lines

#: Values that stand where another one is expected.
VALUES: list[Any] = [
    None, True, "", "x" * 5000, "\x1b]0;title\x07\x1b[2J", "\u202eevil", "=cmd|' /C calc'!A0", -1, 0,
    1e308, 10**30, 2**31, 99999999, 0.5, [], [[]], {}, {"a": {"b": [1, None]}}, ["x"] * 200,
    "../../etc/passwd", "nan", "\ud800", [10**9] * 8, {"": 1},
]  # fmt: skip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def list_entries(content: Any) -> list[tuple[Any, Any]]:
    """Return each container in a nested content with each of its keys."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    entries = [(content, key) for key in keys]
    for key in keys:
        if isinstance(content[key], dict | list):
            entries += list_entries(content[key])
    return entries


def replace_value(numbers: random.Random, content: Any) -> Any:
    """Return a copy of a nested content with one value replaced, removed or added."""
    copied = copy.deepcopy(content)
    entries = list_entries(copied)
    if not entries or numbers.random() < 0.02:
        return numbers.choice(VALUES)
    parent, key = numbers.choice(entries)
    action = numbers.random()
    if action < 0.15:
        del parent[key]
    elif action < 0.25 and isinstance(parent, dict):
        parent[numbers.choice(["evil", "__proto__", "", "a\x1b[31m"])] = numbers.choice(VALUES)
    else:
        parent[key] = numbers.choice(VALUES)
    return copied


def damage_bytes(numbers: random.Random, data: bytes) -> bytes:
    """Return bytes with a few flipped, cut, repeated or inserted."""
    damaged = bytearray(data)
    for _ in range(numbers.randint(1, 5)):
        place = numbers.randrange(max(1, len(damaged)))
        action = numbers.random()
        if action < 0.5 and damaged:
            damaged[place] ^= 1 << numbers.randrange(8)
        elif action < 0.65:
            del damaged[place:]
        elif action < 0.8:
            damaged[place:place] = damaged[place : place + numbers.randint(1, 200)]
        else:
            damaged[place:place] = numbers.randbytes(numbers.randint(1, 9))
    return bytes(damaged)


def pack_members(
    members: list[tuple[str, bytes]], method: int, numbers: random.Random | None = None
) -> bytes:
    """Return a zip; with ``numbers`` a member may be a link, be doubled or be a bomb."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            if numbers and numbers.random() < 0.1:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, data)
    return packed.getvalue()


# --- model files ---


def make_ridge() -> tuple[dict[str, Any], dict[str, Any]]:
    rows = np.array([[1.0], [2.0]])
    arrays = {
        "0/mean": np.zeros(1), "0/weights": np.ones((1, 1)), "0/intercept": np.zeros(1),
        "probe/x": rows, "probe": rows, "seen": np.arange(3, dtype=np.uint64),
    }  # fmt: skip
    return make_model_metadata(), arrays


def make_mlp() -> tuple[dict[str, Any], dict[str, Any]]:
    network = torch.nn.Sequential(
        torch.nn.Linear(1, 4), torch.nn.Identity(), torch.nn.Linear(4, 1)
    ).double()
    torch.nn.init.zeros_(network[2].weight)
    torch.nn.init.zeros_(network[2].bias)
    state = {f"0/network.{k}": v.numpy() for k, v in network.state_dict().items()}
    arrays = {
        **state, "0/shape.x": np.array([1]), "0/mean.x": np.zeros(1), "0/factor.x": np.ones(1),
        "0/y_mean": np.zeros(1), "0/y_sd": np.ones(1), "probe/x": np.ones((2, 1)),
        "probe": np.zeros((2, 1)), "seen": np.arange(3, dtype=np.uint64),
    }  # fmt: skip
    options = {**heads.merge_number_options("mlp", {}), "hidden": [4]}
    head = {"name": "mlp", "version": heads.read_version("mlp"), "refit": False, "options": options}
    return make_model_metadata(head=head), arrays


def make_boosting() -> tuple[dict[str, Any], dict[str, Any]]:
    trees = {
        "left": np.array([1, 1, 2]), "right": np.array([2, 1, 2]), "feature": np.zeros(3, np.int64),
        "threshold": np.zeros(3), "value": np.zeros(3), "roots": np.zeros(1, np.int64),
        "depth": np.array(1), "start": np.array(0.0),
    }  # fmt: skip
    arrays = {
        **{f"0/{name}.0": value for name, value in trees.items()}, "probe/x": np.ones((2, 1)),
        "probe": np.zeros((2, 1)), "seen": np.arange(3, dtype=np.uint64),
    }  # fmt: skip
    head = {
        "name": "boosting", "version": heads.read_version("boosting"), "refit": False,
        "options": heads.merge_number_options("boosting", {}),
    }  # fmt: skip
    return make_model_metadata(head=head), arrays


def change_array(numbers: random.Random, values: Any) -> Any:
    """Return an array of another shape, type or content."""
    return numbers.choice([
        lambda: np.full_like(values, 99999999 if values.dtype.kind in "iu" else np.nan),
        lambda: values.astype(np.float16), lambda: values[None], lambda: values.ravel()[:0],
        lambda: np.zeros((3, 0, 5)), lambda: values.astype(bool), lambda: -values.astype(float),
        lambda: np.full(values.shape, 10**15),
    ])()  # fmt: skip


def write_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return a .npy file without content whose header declares this."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def make_model(numbers: random.Random, folder: Path) -> bytes:
    metadata, arrays = numbers.choice([make_ridge, make_mlp, make_boosting])()
    for _ in range(numbers.choice([0, 0, 1, 2])):
        name = numbers.choice(sorted(arrays))
        if numbers.random() < 0.3:
            del arrays[name]
        else:
            arrays[name] = change_array(numbers, arrays[name])
    if numbers.random() < 0.05:
        arrays["0/value.999999999"] = np.zeros(1)
    path = folder / "model.sfqa"
    model_files.write(path, metadata, arrays)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    content = json.loads(members[0][1])
    for _ in range(numbers.choice([0, 1, 1, 3])):
        if not isinstance(content, dict | list):
            break
        content = replace_value(numbers, content)
    if isinstance(content, dict) and numbers.random() < 0.9:
        content["digest"] = digest_if_possible(content)
    members[0] = ("model.json", json.dumps(content).encode("utf-8", "surrogatepass"))
    action = numbers.random()
    if action < 0.05:
        members[0] = ("model.json", b'{"format":1,"a":"' + b"a" * 30_000_000 + b'"}')
    elif action < 0.1:
        members[0] = ("model.json", b"[" * 100_000)
    elif action < 0.2:
        shape, dtype = numbers.choice([
            ((10**12,), "<f8"), ((-1,), "<f8"), ((2,), "|O"), ((2**40, 2**40), "|V0"), ((), "<U9999999"),
        ])  # fmt: skip
        members[-1] = (members[-1][0], write_header(shape, dtype))
    method = numbers.choice(METHODS) if numbers.random() < 0.15 else zipfile.ZIP_STORED
    data = pack_members(members, method, numbers if numbers.random() < 0.1 else None)
    return damage_bytes(numbers, data) if numbers.random() < 0.15 else data


def digest_if_possible(content: dict[str, Any]) -> str:
    try:
        return digest({k: v for k, v in content.items() if k != "digest"})
    except (ValueError, TypeError):
        return ""


# --- submissions ---


def make_submission(numbers: random.Random, folder: Path) -> bytes:
    lines = write_lines({name: numbers.random() for name in NAMES}).splitlines(keepends=True)
    action = numbers.random()
    if action < 0.06:
        output = numbers.choice([b"a,1\n", b"\n", b",", b"a\n", b"\xff\n", b"v00.mp4,1\n", b'"'])
        output *= numbers.choice([100, 3_000_000])
    else:
        for _ in range(numbers.randint(0, 6)):
            line = numbers.choice([
                "=1+1,2\n", "\x1b[31m,1\n", "v00.mp4,nan\n", "a,b,c\n", '"a\n', "," * 50, "\u202e,1\n",
                "v00.mp4," + "9" * 5000 + "\n", "x" * 200_000, "\r", "v00,1e999\n", "\x00", "名,1\n",
            ])  # fmt: skip
            lines.insert(numbers.randrange(len(lines)), line)
        output = "".join(lines).encode()
    readme = numbers.choice([
        README.encode(), b"", README.encode() + b"Other description : " + b"=x\x1b[2J" * 200_000,
        b"\n" * 100_000, b"\xff\xfe" + b"a" * 99, b"runtime per video [s] : =HYPERLINK(1)\x07\n",
    ])  # fmt: skip
    members = [("output.txt", output), ("readme.txt", readme)]
    for _ in range(numbers.choice([0, 0, 1, 3])):
        name = numbers.choice([
            "\x1b]0;T\x07\x1b[2J.txt", "../../x", "/etc/passwd", "a/output.txt", "C:\\x", "x" * 60_000,
            "output.txt", "\x1b[31mq/readme.txt", "a" * 300 + "/output.txt", "OUTPUT.TXT",
        ])  # fmt: skip
        members.insert(numbers.randrange(3), (name, b"x"))
    if numbers.random() < 0.05:
        members = [(f"{n}.txt", b"") for n in range(numbers.choice([2000, 70_000]))]
    method = numbers.choice([*METHODS, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED])
    data = pack_members(members, method, numbers if numbers.random() < 0.2 else None)
    return damage_bytes(numbers, data) if numbers.random() < 0.25 else data


# --- study files ---

_ALIASES = "- &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"- &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
YAML_TEXTS = [
    _ALIASES, "a: &a [*a]\n", "&a a: *a\n", "[" * 5000, "{" * 5000, "- " * 3000,
    "title: 2001-99-99\n", "replays: 0x" + "f" * 6000, "replays: " + "9" * 6000,
    "a: !!python/object/apply:os.system [id]\n", "? [a]\n: b\n", "title: !!binary x\n",
    "title: !!int ''\n", "title: !!bool x\n", "title: !!timestamp x\n", "<<: 1\n",
    "base: &b {a: 1}\n<<: [*b, *b]\n", "%YAML 9.9\n---\n", "a: 1\n---\nb: 2\n", "\x1b[2J: 1\n",
    "title: '" + "x" * 2_000_000 + "'\n", "a: 1\na: 2\n", "scale: {low: .inf, high: -.inf}\n",
    "dimensions: " + "[a," * 200 + "]" * 200, "scale: {step: 1:1:1:1:1:1:1:1:1:1}\n",
    "scale: {low: " + "1" * 400 + "}\n", "- a\n" * 100_000,
]  # fmt: skip


def make_study(numbers: random.Random, folder: Path) -> bytes:
    content: Any = STUDY
    for _ in range(numbers.choice([0, 1, 1, 2, 4])):
        if not isinstance(content, dict | list):
            break
        content = replace_value(numbers, content)
    text = yaml.safe_dump(content, allow_unicode=True)
    action = numbers.random()
    if action < 0.25:
        text = numbers.choice(YAML_TEXTS)
    elif action < 0.35:
        text += numbers.choice(YAML_TEXTS)
    data = text.encode("utf-8", "surrogatepass")
    return damage_bytes(numbers, data) if numbers.random() < 0.25 else data


# --- weights ---


class Code:
    """What a hostile weights file holds: unpickled, it would run a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def make_weights(numbers: random.Random, folder: Path) -> bytes:
    state = {"a.weight": torch.zeros(3, 4), "a.bias": torch.zeros(3)}
    value = numbers.choice([
        state, {"state_dict": state}, [torch.zeros(1)], torch.zeros(2), "x", {1: torch.zeros(1)}, {},
        {"a": None}, {"module.a": torch.zeros(1), "a": torch.zeros(1)}, {"model": {"model": 1}},
        {"a": torch.zeros(1).expand(10**9)}, {"\x1b[2J" * 100: torch.zeros(1)}, {"a": Code()},
        {"a": torch.zeros(2, 2).to_sparse()}, {"state_dict": [1]}, {("a", 1): torch.zeros(1)},
    ])  # fmt: skip
    stored = io.BytesIO()
    torch.save(value, stored, _use_new_zipfile_serialization=numbers.random() < 0.7)
    data = stored.getvalue()
    action = numbers.random()
    if action < 0.1 and data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        members.append(("archive/data/9", b"\0" * 20_000_000))
        return pack_members(members, zipfile.ZIP_DEFLATED)
    if action < 0.25:
        return numbers.choice([
            b"(" * 100_000, b"\x80\x02" + b"(" * 100_000, b"\x80\x02" + b"]" * 100_000, b"", b"\x80",
            pickle.dumps(Code()), b"\x80\x02X" + struct.pack("<i", 2**31 - 1),
            b"\x80\x04\x8e" + struct.pack("<Q", 2**40), numbers.randbytes(300), b"PK\x03\x04" + b"\0" * 99,
            b"\x80\x02\x8a\xff" + b"\x7f" * 255, pickle.dumps({"a": [1] * 1000}, 2),
        ])  # fmt: skip
    return damage_bytes(numbers, data) if numbers.random() < 0.4 else data


def make_safetensors(numbers: random.Random, folder: Path) -> bytes:
    header: Any = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    for _ in range(numbers.choice([0, 1, 2])):
        if isinstance(header, dict) and header:
            header = replace_value(numbers, header)
    text = json.dumps(header).encode()
    length = numbers.choice([len(text)] * 5 + [2**63, 2**31, 0, len(text) + 1])
    data = struct.pack("<Q", length) + text + b"\0" * 16
    return damage_bytes(numbers, data) if numbers.random() < 0.3 else data


#: The maker of each type of file, its type for reading_child.py, and the end of its name.
MAKERS: list[tuple[str, str, Callable[[random.Random, Path], bytes]]] = [
    ("model", ".sfqa", make_model), ("submission", ".zip", make_submission),
    ("study", ".yaml", make_study), ("weights", ".pth", make_weights),
    ("model", ".sfqa", make_model), ("submission", ".zip", make_submission),
    ("study", ".yaml", make_study), ("weights", ".safetensors", make_safetensors),
]  # fmt: skip


def write_inputs(folder: Path, seeds: range) -> list[tuple[str, Path]]:
    """Write one file for each seed; return type and path of each."""
    jobs = []
    for seed in seeds:
        file_type, suffix, maker = MAKERS[seed % len(MAKERS)]
        path = folder / f"{seed}{suffix}"
        path.write_bytes(maker(random.Random(seed), folder))
        jobs.append((file_type, path))
    return jobs
