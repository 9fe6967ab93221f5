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
import pyarrow as pa
import pyarrow.parquet as pq
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
    "scale: {low: " + "1" * 400 + "}\n", "- a\n" * 100_000, "[" * 19_000, "- " * 300_000, "? " * 300_000,
    "".join(f"{n}: {n}\n" for n in range(19_990)), "a: " + "0:" * 400_000 + "0.0",
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


# --- tables, documents and pickles that grow ---


def make_json(numbers: random.Random, folder: Path) -> bytes:
    rows: Any = [{"sample_id": f"s{n}", "score": n / 7} for n in range(20)]
    for _ in range(numbers.choice([0, 1, 2])):
        if isinstance(rows, dict | list):
            rows = replace_value(numbers, rows)
    data = json.dumps(rows).encode("utf-8", "surrogatepass")
    size = numbers.choice([10, 1000, 300_000])
    if numbers.random() < 0.6:
        data = numbers.choice([
            b"[" * 101 + b'"' + b'\\"' * size, b"[" * size, b'{"a":' * size, b"[" + b"{}," * size + b"{}]",
            b"[" + b"[]," * 2 * size + b"0]", b'[{"a":NaN,"b":-Infinity}]', b'[{"a":1,"a":2}]', b"[{}]" + b" " * size,
            b'{"a":1}\n' * size, b"\n" * size, b'["\xf0\x9f\x98\x80' + b"a" * size + b'"]', b'[{"a":1e999}]',
            b"[" + b",".join(b'{"k%d":1}' % n for n in range(min(size, 20_000))) + b"]",
            b'{"columns":[' + b",".join(b'"%d"' % n for n in range(size)) + b'],"data":[]}',
        ])  # fmt: skip
    return damage_bytes(numbers, data) if numbers.random() < 0.3 else data


def make_parquet(numbers: random.Random, folder: Path) -> bytes:
    size, rows = numbers.choice([10, 10_000, 200_000]), numbers.choice([1, 1000, 20_000])
    repeated = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array(["a" * size])
    )
    column = numbers.choice([
        lambda: repeated, lambda: pa.array(np.zeros(rows)), lambda: pa.nulls(rows * 100, pa.int8()),
        lambda: pa.array(["a" * size], pa.string()), lambda: pa.array([b"x" * size] * 99, pa.binary(size)),
        lambda: pa.ListArray.from_arrays(pa.array([0, rows * 50], pa.int32()), pa.nulls(rows * 50, pa.int8())),
        lambda: pa.array([{"a": {"b": [1]}}] * rows), lambda: pa.array(["=1", "\x1b[2J"] * rows),
    ])()  # fmt: skip
    table = pa.table({f"c{n}": column for n in range(numbers.choice([1, 1, 3]))})
    if numbers.random() < 0.1:
        table = table.replace_schema_metadata({"pandas": numbers.choice(["[" * 10**6, "{}", "x"])})
    options: dict[str, Any] = {"compression": numbers.choice(["zstd", "gzip", "none"])}
    if numbers.random() < 0.2 and all(pa.types.is_string(c.type) for c in table.columns):
        options |= {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}
    packed = io.BytesIO()
    pq.write_table(table, packed, **options)
    data = packed.getvalue()
    action = numbers.random()
    if action < 0.2:  # only the footer, which the checksums of pages do not cover
        return data[: len(data) // 2] + damage_bytes(numbers, data[len(data) // 2 :])
    if action < 0.3:
        footer = numbers.choice(
            [b"\x19" * 9999, b"\x19\xfc\xff\xff\x03" + b"\x48\x01s\x15\x02\0" * 65_535]
        )
        return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
    return damage_bytes(numbers, data) if action < 0.5 else data


def pack_pickle(pickled: bytes) -> bytes:
    """Return an archive of ``torch.save`` with this description of its one tensor."""
    stored, packed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(4)}, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(packed, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, pickled if name.endswith("data.pkl") else source.read(name))
    return packed.getvalue()


#: Calls that PyTorch allows and that take far more memory than their bytes.
PICKLES = [
    b"}X\1\0\0\0ac%b\nJ\0\xa3\xe1\x11\x85Rs." % name
    for name in (b"builtins\nbytearray", b"__builtin__\nbytearray", b"torch\nTensor", b"torch\nFloatTensor")
] + [
    b"}X\1\0\0\0actorch._tensor\n_rebuild_from_type_v2\n"
    b"(cbuiltins\nbytearray\nctorch\nTensor\nJ\0\xa3\xe1\x11\x85}tRs.",
    b"]ctorch\nTensor\nJ\0\xa3\xe1\x11\x85\x81a.",
    b"](" + b"]" * 4_000_000 + b"e.",
    b"](ccollections\nOrderedDict\nq\0](" + b"K\1K\1\x86" * 4000 + b"eq\1\x85R" + b"h\0h\1\x85R" * 9000 + b"e.",
    b"](ccollections\nOrderedDict\nq\0)R}(" + b"".join(b"M%sK\0" % struct.pack("<H", n) for n in range(9000))
    + b"uq\1b" + b"h\0)Rh\1b" * 9000 + b"e.",
    b"](c_codecs\nencode\nq\2X\x40\x42\x0f\0" + b"a" * 10**6 + b"q\0X\6\0\0\0latin1q\1\x86R"
    + b"h\2h\0h\1\x86R" * 9000 + b"e.",
    b"}r\xff\xff\xff\x7f.", b"\x96" + b"\xff" * 5 + b"\0\0\0.", b"]" * 99_999 + b"a" * 99_998 + b".",
]  # fmt: skip


def make_pickle(numbers: random.Random, folder: Path) -> bytes:
    data = pack_pickle(b"\x80\x02" + numbers.choice(PICKLES))
    return damage_bytes(numbers, data) if numbers.random() < 0.2 else data


def make_arrays(numbers: random.Random, folder: Path) -> bytes:
    """Return an .npz archive of one array, or two of a name, with a wrong header or values."""
    shape = numbers.choice(
        ["(1,)", f"(0, {10**30})", "(True, 1)", "(-1,)", "(0, 10)", "1", "(1," * 99, f"({10**18},)"]
    )
    code = numbers.choice(
        ["'<f8'", "'<U2'", "'|b1'", "'|V0'", "'|O'", "[('a','<f8',(9999999,))]", "'<M8[s]'", "1"]
    )
    order = numbers.choice(["False", "True", "1", "None"])
    header = f"{{'descr': {code}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header = numbers.choice(
        [header] * 8 + [b"-" * 9999, b"(" * 9999, header + b" " * 60_000, b"{[1]: 2}"]
    )
    content = numbers.choice([b"\0", b"\xff", b"\x07"]) * numbers.choice([8, 8, 1, 0])
    member = b"\x93NUMPY\x02\0" + struct.pack("<I", len(header)) + header + content
    data = bytearray(
        pack_members([("a.npy", member)] * numbers.choice([1, 1, 2]), zipfile.ZIP_STORED)
    )
    if numbers.random() < 0.2:
        place = data.rindex(b"PK\1\2")
        offset, value = numbers.choice([(6, 99), (8, 0x20), (8, 0x40), (8, 1)])
        data[place + offset] = value
    return damage_bytes(numbers, bytes(data)) if numbers.random() < 0.2 else bytes(data)


#: The maker of each type of file, its type for reading_child.py, and the end of its name.
MAKERS: list[tuple[str, str, Callable[[random.Random, Path], bytes]]] = [
    ("model", ".sfqa", make_model), ("submission", ".zip", make_submission),
    ("study", ".yaml", make_study), ("weights", ".pth", make_weights),
    ("table", ".json", make_json), ("table", ".parquet", make_parquet),
    ("arrays", ".npz", make_arrays), ("weights", ".safetensors", make_safetensors),
    ("weights", ".pth", make_pickle), ("table", ".jsonl", make_json),
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
