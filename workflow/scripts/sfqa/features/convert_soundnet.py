"""Convert SoundNet's ``sound8.npy`` to a file without code, which is what the workflow loads.

    python -m sfqa.features.convert_soundnet sound8.npy resources/weights/sound8.safetensors

The published file is a pickle, and loading a pickle can run code. It is read here by a reader that
knows dictionaries, texts, numbers and arrays of numbers, and refuses everything else. Not even
NumPy sees the pickle: the bytes of each array are checked against its shape.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from sfqa.errors import UserError


class _NumberType:
    """Stands in for ``numpy.dtype``: 'O' is any object, others are plain numbers such as 'f4'."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"O\d?|[biuf]\d", code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r:.20}")
        self.code, self.byte_order = code, "<"

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] == ">":
            self.byte_order = ">"


class _PickledArray:
    """Stands in for ``numpy.ndarray``, whose own reader believes what a file says of its memory."""

    def __init__(self) -> None:
        self.content: Any = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, number_type, is_fortran, data = state
        if number_type.code.startswith("O"):
            (self.content,) = data
            return
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        numbers = np.frombuffer(raw, number_type.byte_order + number_type.code)
        self.content = numbers.reshape(shape, order="F" if is_fortran else "C")


def _make_array(*_: object) -> _PickledArray:
    return _PickledArray()


def _encode_latin1(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")


#: What stands in for the functions and classes that a pickled array is made of, by module and name.
_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _make_array,
    ("numpy._core.multiarray", "_reconstruct"): _make_array,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _NumberType,
    ("_codecs", "encode"): _encode_latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays in dictionaries; any other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for one of the allowed functions and classes."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return _STAND_INS[module, name]


def read_pickled_array(path: Path) -> Any:
    """Return the object inside an ``.npy`` file of one pickled object, such as ``sound8.npy``.

    Raises :class:`UserError` for another file, and for one that holds anything but arrays.
    """
    try:
        with open(path, "rb") as file:
            _read_header(file)
            stored = _ArrayUnpickler(file, encoding="latin1").load()
        return _unwrap_arrays(stored.content)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:
        reason = str(error)[:200] or type(error).__name__
        raise UserError(
            f"{path}: is not SoundNet's sound8.npy ({reason}); get the published file"
        ) from error


def _unwrap_arrays(stored: Any) -> Any:
    """Return what was read with arrays in place of those that stood in for them."""
    if isinstance(stored, dict):
        return {key: _unwrap_arrays(value) for key, value in stored.items()}
    return stored.content if isinstance(stored, _PickledArray) else stored


def _read_header(file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = read[version](file)
    if shape != () or not dtype.hasobject:
        raise ValueError(f"an array of shape {shape} and type {dtype}, not one object")


def convert_file(source: Path, target: Path) -> None:
    """Write ``sound8.npy`` as a state dict of SoundNet in safetensors' format.

    Raises :class:`UserError` for a file that is not SoundNet's.
    """
    from safetensors.numpy import save_file

    from sfqa import store
    from sfqa.features.soundnet_net import convert_layers

    layers = read_pickled_array(source)
    try:
        state = convert_layers(layers)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{source}: is not SoundNet's sound8.npy ({error}); get the published file"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with store.replacing(target) as temporary:
        save_file(state, temporary)


def main(arguments: Sequence[str]) -> int:
    """Convert the file of the first argument to that of the second; returns the exit status."""
    if len(arguments) != 2:
        print("usage: python -m sfqa.features.convert_soundnet sound8.npy OUT.safetensors")
        return 2
    try:
        convert_file(Path(arguments[0]), Path(arguments[1]))
    except UserError as error:
        print(f"sfqa: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
