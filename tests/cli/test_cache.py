"""``sfqa cache`` as it is typed; what it rests on is tested in ../test_cache_tools.py."""

from __future__ import annotations

import fcntl
import json

import pyarrow as pa
import pytest

from cached_rows import content, key, make_cached_dataset, put, starts
from sfqa import cache_tools as tools
from sfqa import cli
from sfqa.cache import RowCache


@pytest.fixture
def dataset(tmp_path):
    return make_cached_dataset(tmp_path / "demo")


def test_list_prints_the_counts(dataset, capsys):
    put(dataset, "sharp/0", 7, extractor="clip")
    assert cli.main(["cache", "list", str(dataset)]) == 0
    head, clip, lse, total = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:7] == ["extractor", "files", "rows", "used", "unfinished", "unused", "repeated"]
    assert clip[:7] == ["clip", "1", "1", "0", "1", "0", "0"]
    assert lse[:7] == ["lse", "3", "11", "4", "4", "2", "1"]
    assert total[:7] == ["all", "4", "12", "4", "5", "2", "1"]
    assert int(lse[7]) == content(dataset / "features/lse").size
    assert lse[8] == "0"


def test_list_tells_rows_of_a_cpu_from_those_of_a_gpu(tmp_path, capsys):
    schema = pa.schema([("key", pa.string()), ("costs", pa.string())])
    cache = RowCache(tmp_path / "demo/features/lse/cache", "sharp/0", schema)
    costs = [
        {"device": "Tesla T4", "device_kind": "gpu"}, {"device": "cpu: X", "device_kind": "cpu"},
        {"device": "cpu: an earlier version"}, {"device": "NVIDIA H200"}, {"device": "cpu: Y"}, None,
    ]  # fmt: skip
    for number, cost in enumerate(costs):
        cells = {"key": key(number), "costs": json.dumps(cost) if cost else None}
        cache.put(key(number), pa.RecordBatch.from_pylist([cells], schema))
    assert cli.main(["cache", "list", str(tmp_path / "demo")]) == 0
    head, lse = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[-2:] == ["cpu", "gpu"]
    assert (lse[2], lse[-2:]) == ("6", ["3", "2"])


def test_verify_names_file_and_byte(dataset, capsys):
    assert cli.main(["cache", "verify", str(dataset)]) == 0
    assert capsys.readouterr().out == "11 sound rows in 3 files, nothing damaged\n"
    path = dataset / "features/lse/cache/sharp/0.rows"
    broken = bytearray(path.read_bytes())
    second, third = starts(bytes(broken))[1:3]
    broken[second + 100] ^= 4
    path.write_bytes(bytes(broken[:-7]))
    assert cli.main(["cache", "verify", str(dataset)]) == 1
    first, last, said = capsys.readouterr().out.splitlines()
    assert first == (
        f"{path}, byte {second}: damaged: no sound row in these bytes ({third - second} bytes)"
    )
    assert f"{path}, byte {starts(bytes(broken))[-1]}: torn: " in last
    assert said.startswith("9 sound rows in 3 files, 2 damaged regions")


def test_prune_says_what_it_saved(dataset, capsys):
    size = content(dataset).size
    assert cli.main(["cache", "prune", str(dataset), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1].split()[:5] == ["lse", "3", "3", "11", "8"]
    assert "(3 rows dropped)" in said
    assert "would save" in said
    assert "kept 4 rows of jobs that have no feature table yet" in said
    assert cli.main(["cache", "prune", str(dataset), "--keep", "used"]) == 0
    said = capsys.readouterr().out
    assert "\nsaved " in said
    after = content(dataset).size
    assert said.splitlines()[1].split()[5:] == [str(size), str(after)]


def test_keep_is_one_of_three_words(dataset, capsys):
    assert cli.main(["cache", "prune", str(dataset), "--keep", "usd"]) == 2
    assert "did you mean 'used'?" in capsys.readouterr().err


def test_prune_refuses_while_a_workflow_works_on_the_dataset(dataset, tmp_path, capsys):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    before = content(dataset)
    lock = locks / "0.output.lock"
    for text in ("demo/samples.parquet\ndemo/features/lse/sharp/0.parquet\n", f"{dataset}/x\n", ""):
        lock.write_text(text)
        assert cli.main(["cache", "prune", str(dataset)]) == 2
        assert "a workflow is at work here" in capsys.readouterr().err
        assert content(dataset) == before
    lock.write_text("another/features/lse/sharp/0.parquet\n")
    assert cli.main(["cache", "prune", str(dataset)]) == 0
    lock.unlink()
    assert cli.main(["cache", "prune", str(dataset)]) == 0


def test_prune_refuses_while_another_command_works_in_the_dataset(dataset, capsys):
    with tools.lock_folder(dataset):
        assert cli.main(["cache", "prune", str(dataset)]) == 2
    assert "another sfqa works in this folder" in capsys.readouterr().err


def test_prune_refuses_while_a_job_holds_a_file(dataset, capsys):
    path = dataset / "features/lse/cache/late/0.rows"
    with open(path, "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert cli.main(["cache", "prune", str(dataset)]) == 2
    assert f"{path}: a job writes this file" in capsys.readouterr().err
    assert cli.main(["cache", "prune", str(dataset)]) == 0
