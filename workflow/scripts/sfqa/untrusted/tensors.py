"""The reader of weights files: no code runs, and no tensor is larger than its stored numbers."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from sfqa.shown_text import show_controls
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive
from sfqa.untrusted.limits import RefusedError, format_bytes
from sfqa.untrusted.pickles import check_archive_pickles, check_pickles

#: First byte of a pickle of protocol 2 or later, as torch.save wrote before it wrote archives.
_PICKLE = b"\x80"
_SAFETENSORS_SUFFIX = ".safetensors"


def load_tensors(path: Path, *, mmap: bool | None = None) -> Any:
    """Return what ``torch.save`` or safetensors stored in a file, without running code in it.

    ``mmap``: whether the numbers are mapped; by default they are if the file allows it. Raises
    :class:`RefusedError` for a file that would take far more memory than its size, and the errors
    of PyTorch and safetensors; :func:`describe_load_error` makes a reason of each of them.
    """
    import torch

    if path.suffix == _SAFETENSORS_SUFFIX:
        from safetensors.torch import load_file

        check_safetensors(path)
        return load_file(path)
    is_archive = is_zipfile(path)
    if is_archive:
        check_torch_archive(path)
        check_archive_pickles(path)
    else:
        _check_legacy_file(path)
    use_map = is_archive if mmap is None else mmap and is_archive
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=use_map)
    storages: dict[int, int] = {}
    for tensor in _iterate_tensors(stored):
        _check_storage(tensor)
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    total, size = sum(storages.values()), path.stat().st_size
    if total > size:  # a file of the time before archives may leave the numbers out
        raise RefusedError(f"its tensors declare {total:,} bytes, and the file has {size:,}")
    return stored


def _check_legacy_file(path: Path) -> None:
    """Raise :class:`RefusedError` for a file that is not one of those before archives."""
    with open(path, "rb") as file:
        first_bytes = file.read(2)
        if first_bytes == b"PK":
            raise RefusedError("its archive is incomplete or damaged")
        if not first_bytes:
            return  # PyTorch has a sentence for it
        if not first_bytes.startswith(_PICKLE):
            raise RefusedError("it is no file of tensors")
        file.seek(0)
        check_pickles(file)
    try:  # PyTorch would unpack it, whatever the name of its first member begins with
        tarfile.open(path, "r:").close()
    except tarfile.TarError:
        return
    raise RefusedError("it is a tar archive, as PyTorch wrote before 2017; save it again")


def check_torch_archive(path: Path) -> None:
    """Raise :class:`RefusedError` for an archive that ``torch.save`` does not write.

    Its members are not compressed, so that they cannot be larger than the file.
    """
    with open_archive(path) as archive:
        size = path.stat().st_size
        check_members(archive, size, size, stored=True)
        for member in archive.infolist():
            is_data = "/data/" in member.filename
            if not is_data and member.file_size > limits.WEIGHTS_HEADER_BYTES:
                raise RefusedError(
                    f"the description of its tensors has more than "
                    f"{format_bytes(limits.WEIGHTS_HEADER_BYTES)}"
                )


def check_safetensors(path: Path) -> None:
    """Raise :class:`RefusedError` for a safetensors file with an impossible header length."""
    with open(path, "rb") as file:
        check_safetensors_header(file.read(8), path.stat().st_size)


def check_safetensors_header(first_bytes: bytes, size: int) -> None:
    """Raise :class:`RefusedError` unless the first 8 of ``size`` bytes state a possible length."""
    length = int.from_bytes(first_bytes, "little")
    if size < 8 or length > min(size - 8, limits.WEIGHTS_HEADER_BYTES):
        raise RefusedError(f"its header declares {length:,} bytes of {size:,}")


def describe_load_error(error: BaseException) -> str:
    """Return why a file cannot be read, without PyTorch's advice to run the code in it.

    >>> describe_load_error(RuntimeError("PytorchStreamReader failed reading zip archive"))
    'its archive is incomplete or damaged'
    """
    message = str(error)
    if code := re.search(r"Unsupported global: GLOBAL (\S+)", message):
        return f"it holds {code[1][:100]}, which is code and was not run"
    if message.startswith("Weights only load failed"):
        return "it is no file of tensors"
    if "PytorchStreamReader" in message:
        return "its archive is incomplete or damaged"
    # An empty file raises an error without a message.
    first_line = (message.splitlines() or [type(error).__name__])[0][:150]
    return show_controls(first_line, keep="")


def _iterate_tensors(stored: Any) -> Iterator[Any]:
    """Yield the tensors in nested dicts, lists and tuples, each collection once."""
    import torch

    queue, visited = [stored], set[int]()
    while queue:
        value = queue.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in visited:
            visited.add(id(value))
            queue.extend(value.values() if isinstance(value, dict) else value)


def _check_storage(tensor: Any) -> None:
    """Raise :class:`RefusedError` for a tensor that repeats its stored numbers by its strides."""
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise RefusedError(f"it has a tensor of the layout {tensor.layout}; save plain tensors")
    declared = tensor.numel() * tensor.element_size()
    if declared > tensor.untyped_storage().nbytes():
        raise RefusedError(
            f"a tensor in it declares {declared:,} bytes and stores "
            f"{tensor.untyped_storage().nbytes():,}"
        )
