"""The description of the tensors in a weights file: its calls are checked before they are made."""

from __future__ import annotations

import pickletools
from collections.abc import Sized
from pathlib import Path
from typing import IO, Any

from sfqa.shown_text import show_controls
from sfqa.untrusted import limits
from sfqa.untrusted.archives import open_archive
from sfqa.untrusted.limits import RefusedError

#: What a state dict calls, of all that PyTorch allows (with ``weights_only``). Not among them:
#: ``bytearray`` and the classes of tensors, whose arguments are sizes.
_CALLS = frozenset((
    "collections.OrderedDict", "collections.Counter", "builtins.set", "__builtin__.set",
    "builtins.complex", "__builtin__.complex", "_codecs.encode", "torch.Size", "torch.device",
    "torch.serialization._get_layout", "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._utils._rebuild_sparse_tensor",
))  # fmt: skip
_PUT = frozenset(("BINPUT", "LONG_BINPUT"))
_GET = frozenset(("BINGET", "LONG_BINGET"))
_ADD = frozenset(("APPEND", "APPENDS", "SETITEM", "SETITEMS"))
_CALL = frozenset(("REDUCE", "BUILD", "NEWOBJ"))
#: Further opcodes of the pickles that ``torch.save`` writes; PyTorch reads no others.
_VALUES = frozenset((
    "PROTO", "GLOBAL", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BINPERSID", "STOP",
))  # fmt: skip
#: Pickles of a file of the time before archives: number, version, system, content, storages.
_LEGACY_PICKLES = 5


class _Global(str):
    """The name of a function or class."""

    __slots__ = ()


def check_archive_pickles(path: Path) -> None:
    """Check the description in an archive of ``torch.save`` as :func:`check_pickles` does."""
    with open_archive(path) as archive:
        # PyTorch finds the member whatever the case of its name is.
        members = [m for m in archive.infolist() if m.filename.lower().endswith("data.pkl")]
        if not members:
            raise RefusedError("its archive has no description of tensors (data.pkl)")
        for member in members:
            with archive.open(member) as file:
                check_pickles(file, 1)


def check_pickles(file: IO[bytes], count: int = _LEGACY_PICKLES) -> None:
    """Raise :class:`RefusedError` unless pickles only describe tensors in few collections.

    Each operation is followed without being carried out, so that nothing is built. A call copies
    its arguments, which may be the same ones again and again: what is copied counts, too.
    """
    try:
        for _ in range(count):
            _check_pickle(file)
    except RefusedError:
        raise
    # Of pickletools, of an empty stack, and of values that are added to no collection.
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError("it is no file of tensors") from error


def _check_pickle(file: IO[bytes]) -> None:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    cost = 0
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        cost += 1
        if name in _PUT:
            memo[argument] = stack[-1]
        elif name in _GET:
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _ADD or name in _CALL or name in _VALUES:
            values = _pop_values(stack, marks, opcode)
            if name in _ADD:
                stack[-1].extend(values)
            elif name == "BUILD":
                cost += _measure(values[-1:])
                stack.append(values[0])
            elif name == "REDUCE":
                cost += _measure(values[1])
                stack.append(_call(*values))
            elif name == "NEWOBJ":  # an object of a class, as settings and whole networks are
                is_class = isinstance(values[0], _Global)
                raise RefusedError(_describe_call(values[0] if is_class else "an object"))
            elif name == "GLOBAL":
                stack.append(_Global(str(argument).replace(" ", ".", 1)))
            elif opcode.stack_after:
                stack.append(values if argument is None else argument)
        else:
            raise RefusedError(f"it is no file of tensors (it has the operation {name} of pickles)")
        if cost > limits.WEIGHTS_VALUES:
            raise RefusedError(
                f"the description of its tensors has more than {limits.WEIGHTS_VALUES:,} values"
            )


def _pop_values(stack: list[Any], marks: list[int], opcode: pickletools.OpcodeInfo) -> list[Any]:
    """Remove what an operation takes from the stack, without the list that it adds to."""
    before = list(opcode.stack_before)
    if pickletools.markobject in before:
        start = marks.pop()
    else:
        start = len(stack) - len(before) + (opcode.name in _ADD)
    if start < 0:
        raise IndexError(start)
    values = stack[start:]
    del stack[start:]
    return values


def _call(function: Any, arguments: Any) -> list[Any]:
    """Return the values of what a call would return; raises for one that is not allowed."""
    names = [function]
    if function == "torch._tensor._rebuild_from_type_v2":  # calls its first argument
        names.append(arguments[0])
    for name in names:
        if not isinstance(name, _Global):
            raise RefusedError("it is no file of tensors (it calls what it has built)")
        if name not in _CALLS:
            raise RefusedError(_describe_call(name))
    return list(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list) else []


def _describe_call(name: str) -> str:
    """Return why a function or class may not be called."""
    plain_name = name.removeprefix("__builtin__.").removeprefix("builtins.")
    shown_name = show_controls(plain_name[:100], keep="")
    if name.startswith("torch.") and not name.startswith("torch.nn."):
        return f"it calls {shown_name}, which makes no plain tensor of its numbers"
    return f"it holds {shown_name}, which is code and was not run"


def _measure(values: Any) -> int:
    """Return how many values a call with these arguments may copy: up to two levels."""
    total = 0
    for value in values:
        if isinstance(value, Sized) and not isinstance(value, _Global):
            total += len(value)
            if isinstance(value, list):
                total += sum(len(v) for v in value if isinstance(v, Sized))
    return total
