"""Archives, tables and small files that grow: refused by a sentence before they take memory."""

from __future__ import annotations

import json
import re
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hostile_inputs import YAML_TEXTS, make_boosting, make_mlp, make_ridge, pack_members
from outside_readings import Reading, read_files
from scipy import io

from model_metadata import CONFORM, make_model_metadata
from sfqa import cli
from sfqa.challenge.submission import read_zip
from sfqa.identity import digest
from sfqa.regression import model_files
from sfqa.untrusted import limits
from submissions import README, pack, write_lines

ROOT = Path(__file__).parents[2]
MIB = 2**20


def write_submission(path: Path, output: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    members = [("output.txt", output), ("readme.txt", README.encode())]
    path.write_bytes(pack_members(members, method))
    return path


def lie_about_size(path: Path) -> Path:
    """Let the list of members state 10 bytes for the first one."""
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 10)
    path.write_bytes(bytes(data))
    return path


def write_long_list(path: Path) -> Path:
    """Write a zip whose list of members has 9 MiB."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(150):
            archive.writestr(f"{number}" + "x" * 65_000, b"")
    return path


def write_json_bomb(path: Path, method: int) -> Path:
    text = b'{"format":1,"a":"' + b"a" * (17 * MIB) + b'"}'
    path.write_bytes(pack_members([("model.json", text)], method))
    return path


def write_model(path: Path, metadata: dict[str, Any], arrays: dict[str, Any]) -> Path:
    model_files.write(path, metadata, arrays)
    return path


def write_bare_model(path: Path, **content: Any) -> Path:
    """Write a model file of a model.json alone, with its own digest."""
    full = {"format": 1, "arrays": {}, **content}
    full["digest"] = digest(full)
    path.write_bytes(pack_members([("model.json", json.dumps(full).encode())], zipfile.ZIP_STORED))
    return path


def save(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def compress(path: Path) -> Path:
    """Write a weights file again with deflated members, one of them large."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    members.append(("archive/data/1", b"\0" * (20 * MIB)))
    path.write_bytes(pack_members(members, zipfile.ZIP_DEFLATED))
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def write_equal_rows(path: Path) -> Path:
    """Write 1.5 million equal rows of four columns, in a few kilobytes."""
    indices = pa.array(np.zeros(1_500_000, np.int8))
    columns = {
        name: pa.DictionaryArray.from_arrays(indices, pa.array([name]))
        for name in ("rater", "sample_id", "dimension", "score")
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def write_sheet(path: Path, sheet: str) -> Path:
    """Write a workbook with this XML of its sheet."""
    import openpyxl

    openpyxl.Workbook().save(path)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    spaces = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    text = f"<worksheet {spaces}>{sheet}</worksheet>".encode()
    replaced = [(n, text if n == "xl/worksheets/sheet1.xml" else data) for n, data in members]
    path.write_bytes(pack_members(replaced, zipfile.ZIP_DEFLATED))
    return path


def write_matlab(path: Path) -> Path:
    io.savemat(path, {"mos": np.zeros((10_000_000, 1))}, do_compression=True)
    return path


def make_hostile_files(folder: Path) -> dict[str, tuple[str, Path, str]]:
    """Return type, path and what the message says of each file: the cases, and siblings."""
    ridge, ridge_arrays = make_ridge()
    mlp, mlp_arrays = make_mlp()
    boosting, boosting_arrays = make_boosting()
    wide = json.loads(json.dumps(mlp))
    wide["head"]["options"]["hidden"] = [1_000_000, 50_000]
    zeros = b"0" * (17 * MIB)
    cases: dict[str, tuple[str, Path, str]] = {}

    def add(name: str, file_type: str, path: Path, sentence: str) -> None:
        cases[name] = (file_type, path, sentence)

    # 01: packing methods whose unpacked size cannot be limited; siblings: a size that is not true,
    # a list of members that fills the memory.
    for method, word in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")):
        path = write_submission(folder / f"{word}.zip", zeros, method)
        add(f"submission {word}", "submission", path, "more than 16 MiB unpacked")
        liar = lie_about_size(write_bytes(folder / f"liar-{word}.zip", path.read_bytes()))
        add(f"submission {word}, false size", "submission", liar, f"not read ({word}")
    add(
        "submission, list",
        "submission",
        write_long_list(folder / "list.zip"),
        "list of its members",
    )
    # 02: model.json; siblings: deflated, nested.
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED):
        path = write_json_bomb(folder / f"json{method}.sfqa", method)
        add(f"model.json {method}", "model", path, "'model.json' is compressed")
    add("model.json, stored", "model", write_json_bomb(folder / "json.sfqa", 0), "more than 16 MiB")
    deep = write_bytes(folder / "deep.sfqa", pack_members([("model.json", b"[" * 10**6)], 0))
    add("model.json, depth", "model", deep, "nested too deep")
    # 18: model.json whose content contradicts the program; siblings: sizes in arrays and options.
    add("model, empty", "model", write_bare_model(folder / "empty.sfqa"), "it lacks")
    for name, conform, sentence in (
        ("side", {**CONFORM, "short_side": 16000}, "conform.short_side: 16000"),
        ("fps", {**CONFORM, "fps": 200000}, "conform.fps: 200000"),
        ("evil", {**CONFORM, "evil": 1}, "keys that are not allowed"),
    ):
        content = make_model_metadata(conform=conform)
        path = write_bare_model(folder / f"{name}.sfqa", **content)
        add(f"model, {name}", "model", path, sentence)
    head = write_bare_model(folder / "head.sfqa", **make_model_metadata(head="x"))
    add("model, head", "model", head, "head: 'x'")
    none = write_bare_model(folder / "none.sfqa", **make_model_metadata(extractors={}))
    add("model, no extractors", "model", none, "extractors: there is none")
    path = write_model(folder / "wide.sfqa", wide, mlp_arrays)
    add("model, wide network", "model", path, "the parts of the model do not fit together")
    trees = boosting_arrays | {"0/depth.0": np.array(10**12)}
    path = write_model(folder / "depth.sfqa", boosting, trees)
    add("model, deep trees", "model", path, "trees of the depth")
    path = write_model(
        folder / "dims.sfqa", boosting, boosting_arrays | {"0/value.999999999": np.zeros(1)}
    )
    add("model, dimensions", "model", path, "dimensions in")
    lost = {k: v for k, v in ridge_arrays.items() if k != "probe"}
    add(
        "model, no probe",
        "model",
        write_model(folder / "probe.sfqa", ridge, lost),
        "no array 'probe'",
    )
    # 19: weights that are not a state dict; siblings: repeated numbers, a header that lies.
    for name, value, sentence in (
        ("list", [torch.zeros(1)], "holds a list"), ("tensor", torch.zeros(2), "holds a Tensor"),
        ("text", "x", "holds a str"), ("keys", {1: torch.zeros(1)}, "the key 1 is not the name"),
        ("expanded", {"a": torch.zeros(1).expand(10**10)}, "a tensor in it declares"),
    ):  # fmt: skip
        add(f"weights, {name}", "weights", save(folder / f"{name}.pth", value), sentence)
    path = write_bytes(folder / "deep.pth", b"(" * 100_000)
    add("weights, depth", "weights", path, "it is no file of tensors")
    path = write_bytes(folder / "deep2.pth", b"\x80\x02" + b"(" * 100_000)
    add("weights, depth of a pickle", "weights", path, "cannot be read as weights")
    packed = compress(save(folder / "packed.pth", {"a": torch.zeros(1)}))
    add("weights, compressed", "weights", packed, "is compressed")
    path = write_bytes(folder / "a.safetensors", struct.pack("<Q", 2**40) + b"{}")
    add("weights, header", "weights", path, "its header declares")
    # 20: aliases and equal rows; siblings: an alias of itself, merged cells, far cells, MATLAB.
    for file_type in ("study", "config"):
        path = write_bytes(folder / f"{file_type}.yaml", YAML_TEXTS[0].encode())
        add(f"{file_type}, aliases", file_type, path, "when each alias")
        path = write_bytes(folder / f"{file_type}2.yaml", b"a: &a [*a]\n")
        add(f"{file_type}, alias of itself", file_type, path, "stands for a value that contains it")
    add("table, equal rows", "table", write_equal_rows(folder / "rows.parquet"), "6,000,000 cells")
    merged = '<sheetData/><mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    add("table, merged cells", "table", write_sheet(folder / "merged.xlsx", merged), "reaches over")
    far = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 400))
    path = write_sheet(folder / "far.xlsx", f"<sheetData>{far}</sheetData>")
    add("table, far cells", "table", path, "reaches over")
    add("table, MATLAB", "table", write_matlab(folder / "a.mat"), "more than 64 MiB unpacked")
    path = write_bytes(folder / "a.json", b'[{"a": ' + b"9" * 5000 + b"}]")
    add("table, digits", "table", path, "a number in it cannot be read")
    path = write_bytes(folder / "b.json", b'[{"a": ' + b"[" * 300 + b"]" * 300 + b"}]")
    add("table, depth", "table", path, "nested deeper than")
    return cases


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Reading, str]]:
    cases = make_hostile_files(tmp_path_factory.mktemp("hostile"))
    results = read_files([(file_type, path) for file_type, path, _ in cases.values()])
    return {
        name: (reading, sentence)
        for (name, (_, _, sentence)), reading in zip(cases.items(), results, strict=True)
    }


def test_each_file_is_refused_by_a_sentence_that_names_the_reason(
    readings: dict[str, tuple[Reading, str]],
) -> None:
    for name, (reading, sentence) in readings.items():
        reading.check()
        assert sentence in reading.text, (name, reading)


def test_no_file_takes_memory_before_it_is_refused(
    readings: dict[str, tuple[Reading, str]],
) -> None:
    for name, (reading, _) in readings.items():
        assert reading.mb < 120, (name, reading)
        assert reading.seconds < 3, (name, reading)


@pytest.mark.parametrize("line", [b"a,1\n", b"a\n", b"\n", b"\xff\n", b"v00.mp4,1\n"])
def test_millions_of_short_lines_are_read_in_seconds(tmp_path: Path, line: bytes) -> None:
    output = line * (limits.SUBMISSION_FILE_BYTES // len(line))
    path = write_submission(tmp_path / "s.zip", output, zipfile.ZIP_STORED)
    started = time.monotonic()
    errors = read_zip(path, [f"v{number:04}.mp4" for number in range(1000)]).errors
    assert time.monotonic() - started < 5
    expected = "the file is empty" if line == b"\n" else "more than 11,000 lines"
    assert any(expected in error for error in errors), errors[:3]
    assert len(errors) < 40


def test_a_submission_of_ordinary_size_is_read_as_before(tmp_path: Path) -> None:
    names = [f"method/video{number:05}.mp4" for number in range(20_000)]
    scores = {name: number / 7 for number, name in enumerate(names)}
    path = pack(tmp_path / "s.zip", {"output.txt": write_lines(scores), "readme.txt": README})
    submission = read_zip(path, names)
    assert (submission.errors, submission.notes) == ([], [])
    assert submission.scores == scores


def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.yaml").write_text(YAML_TEXTS[0])
    config = tmp_path / "config.yaml"
    config.write_text(
        "dataset: d\ngeneration:\n  methods:\n" + re.sub("(?m)^", "  ", YAML_TEXTS[0])
    )
    (tmp_path / "talk.mp4").write_bytes(b"")
    model = write_bare_model(tmp_path / "empty.sfqa")
    rows = write_equal_rows(tmp_path / "rows.parquet")
    for arguments in (
        ["rate", "links", str(study)],
        ["estimate", "--config", str(config)],
        ["score", str(tmp_path / "talk.mp4"), "--model", str(model)],
        ["mos", str(rows)],
    ):
        assert cli.main(arguments) == 2, arguments
        text = capsys.readouterr().err
        assert text.startswith("sfqa: "), text
        assert len(text) < 600, text


def test_the_page_states_every_limit() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"(?m)^\| ([A-Z_]+) \| ([\d,]+)(?: MiB)? \|", text))
    inner = {"MIB", "SHOWN_CHARS", "SMALL_MEMBER_BYTES"}
    constants = {n: v for n, v in vars(limits).items() if n.isupper() and n not in inner}
    assert set(table) == set(constants)
    for name, value in constants.items():
        shown = value // MIB if name.endswith("BYTES") else value
        assert table[name] == f"{shown:,}", name


def test_every_reader_of_the_package_is_one_of_these() -> None:
    """A file from outside is read by ``sfqa.untrusted``; the other calls are of our own files."""
    calls = re.compile(
        r"\b(zipfile\.ZipFile\(|tarfile\.|json\.loads?\(|yaml\.(?:safe_)?load\(|np\.load\("
        r"|load_workbook\(|expat\.|ElementTree|pq\.(?:read_table|ParquetFile)\(|pd\.read_parquet\(|torch\.load\(|load_file\()"
    )
    package = ROOT / "workflow" / "scripts" / "sfqa"
    outside = {
        f"{path.relative_to(package).as_posix()}: {call}"
        for path in package.rglob("*.py")
        if path.parent.name != "untrusted"
        for call in calls.findall(path.read_text(encoding="utf-8"))
    }
    assert outside <= OWN_FILES, (
        f"read files from outside by sfqa.untrusted, or name your own files in OWN_FILES: "
        f"{sorted(outside - OWN_FILES)}"
    )


#: Files that read what this program wrote: its schemas, tables, caches and databases. The others
#: write archives, run in the environment of a program, or parse what a user types. ``store.py`` is
#: the reader of the tables of a results folder.
OWN_FILES = {
    "cache_records.py: json.loads(", "cache_tools.py: pq.read_table(", "cli/_extract.py: yaml.safe_load(",
    "challenge/example_submission.py: zipfile.ZipFile(", "cli/site.py: pq.read_table(",
    "configuration.py: yaml.safe_load(", "correlation/fit_cache.py: json.loads(",
    "features/programs/ask_videollama2.py: json.loads(", "features/rows.py: json.loads(",
    "options.py: yaml.safe_load(", "publishing/content.py: json.loads(", "raw_form.py: json.loads(",
    "ratings/screen/export.py: json.loads(", "ratings/screen/progress.py: json.loads(",
    "ratings/screen/raters.py: json.loads(", "ratings/screen/request_checks.py: json.loads(",
    "reference.py: yaml.safe_load(", "regression/blocks.py: np.load(", "workers.py: json.loads(",
    "regression/model_files.py: zipfile.ZipFile(", "regression/network_fits.py: np.load(",
    "regression/network_fits.py: torch.load(", "report/manifest.py: json.loads(",
    "report/manifest.py: pq.read_table(", "report/site.py: zipfile.ZipFile(",
    "shard_index.py: pq.ParquetFile(", "store.py: json.loads(", "store.py: pq.ParquetFile(",
    "repositories/supervisor.py: json.loads(", "results_lock.py: json.loads(",
    "ratings/screen/origins.py: json.loads(", "regression/fit_processes.py: np.load(",
    "training/processes.py: json.loads(",
    "store.py: pq.read_table(", "training/checkpoints.py: zipfile.ZipFile(",
}  # fmt: skip
