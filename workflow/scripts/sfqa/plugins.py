"""Find the plug-ins of a package, and read what they declare without importing them.

A plug-in is one file; its name is the file's. At its top it declares upper-case constants, such as
``VERSION = 1`` and ``OPTIONS = {...}``. They are read from the source text, because planning needs
them in every job, and importing torch, OpenCV or scikit-learn would take seconds each time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.options import Options, merge_options

#: The name of a plug-in, with or without a label.
_LABEL = re.compile(r"[a-z][a-z0-9_]*(-[A-Za-z0-9_]+)?")


class PluginPackage:
    """The plug-ins of one package: every file in its folder whose name begins with a letter."""

    def __init__(
        self,
        package: str,
        folder: Path,
        noun: str,
        where: str = "",
        declaring: tuple[str, ...] = (),
        has_labels: bool = False,
    ) -> None:
        """Note where the plug-ins are and how messages name them.

        ``noun`` is what one of them is called, ``where`` how a message on its name begins.
        ``declaring`` names modules beside :mod:`sfqa.options` whose functions a constant may call.
        With ``has_labels`` a name may end in a label, as ``image-swin`` (:meth:`drop_label`).
        """
        self.package, self.folder, self.noun, self.where = package, folder, noun, where
        self.declaring, self.has_labels = declaring, has_labels

    def names(self) -> list[str]:
        """Return the names of all plug-ins, sorted."""
        return sorted(path.stem for path in self.folder.glob("[a-z]*.py"))

    def __contains__(self, name: str) -> bool:
        """Return whether there is a plug-in of that name, which may have a label."""
        return self.drop_label(name) in self.names()

    def drop_label(self, name: str) -> str:
        """Return the name of the plug-in's file, without the label after the first hyphen.

        Labels let a configuration use a plug-in several times, each with its own options.
        """
        return name.partition("-")[0] if self.has_labels else name

    def check_name(self, name: str) -> None:
        """Raise :class:`UserError` unless there is a plug-in of that name."""
        if name not in self:
            nearest = hint(self.drop_label(name), self.names())
            raise UserError(f"{self.where}no {self.noun} is called {name!r}; {nearest}")
        if self.has_labels and not _LABEL.fullmatch(name):
            raise UserError(
                f"{self.where}{name!r}: a label has letters, digits and _ ; write it as "
                f"{self.drop_label(name)}-second"
            )

    def read(self, name: str, constant: str, default: Any = None) -> Any:
        """Return a constant of a plug-in without importing it, ``default`` if it has none.

        Raises :class:`UserError` for an unknown name, ``LookupError`` for a constant that cannot
        be read.
        """
        self.check_name(name)
        path = self.folder / f"{self.drop_label(name)}.py"
        return read_constants(path, self.declaring).get(constant, default)

    def version(self, name: str) -> int:
        """Return the VERSION of a plug-in without importing it; raises as :meth:`read`."""
        self.check_name(name)
        return read_version(self.folder / f"{self.drop_label(name)}.py", self.declaring)

    def options(self, name: str) -> Options:
        """Return the declared OPTIONS of a plug-in without importing it; raises as :meth:`read`."""
        declared: Options = self.read(name, "OPTIONS", {})
        return declared

    def merge_options(self, name: str, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a value for every option of a plug-in: the given one, else the default.

        Raises :class:`UserError` for an unknown name, an unknown option and a value that is not
        allowed; ``where`` names the place of the options in messages.
        """
        return merge_options(options, self.options(name), where)

    def load(self, name: str) -> ModuleType:
        """Import a plug-in and return its module; raises :class:`UserError` for an unknown name."""
        self.check_name(name)
        return import_module(f"{self.package}.{self.drop_label(name)}")


def read_version(path: Path, declaring: tuple[str, ...] = ()) -> int:
    """Return the constant ``VERSION`` of a Python file without importing it.

    Raises ``LookupError`` if it has none.
    """
    # OPTIONS of a head may be made by a module that only the package of heads declares.
    version = read_constants(path, declaring, required=("VERSION",)).get("VERSION")
    if not isinstance(version, int):
        raise LookupError(f"{path} has no line 'VERSION = <number>'")
    return version


@cache
def read_constants(
    path: Path,
    declaring: tuple[str, ...] = (),
    required: tuple[str, ...] = ("VERSION", "OPTIONS"),
) -> Mapping[str, Any]:
    """Return the upper-case constants of a Python file without importing it.

    A constant may be made of literals, of earlier constants of the file, and of calls to what the
    file imports from :mod:`sfqa.options` and the modules ``declaring``, such as
    ``Option(25, 1, 200, "steps")``; these import nothing heavy. Other constants
    are left out. Raises ``LookupError`` if one of those ``required`` is there and not made of
    these, since it would be taken for missing.
    """
    constants: dict[str, Any] = {}
    callables: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module in ("sfqa.options", *declaring):
            module = import_module(node.module)
            for alias in node.names:
                callables[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name) or not target.id.isupper():
                continue
            try:
                constants[target.id] = _evaluate(node.value, constants, callables)
            except ValueError as error:
                if target.id in required:
                    raise LookupError(
                        f"{path}, line {node.lineno}: {target.id} is read without importing the "
                        f"file, so it may hold only literals, earlier constants and declared "
                        f"options; {error}"
                    ) from error
    return constants


def _evaluate(node: ast.expr, constants: Mapping[str, Any], callables: Mapping[str, Any]) -> Any:
    """The value of an expression; ``ValueError`` if it is made of more than is allowed."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in callables:
            raise ValueError(f"{node.func.id}() cannot be called")
        arguments = [_evaluate(value, constants, callables) for value in node.args]
        keywords = {k.arg: _evaluate(k.value, constants, callables) for k in node.keywords if k.arg}
        return callables[node.func.id](*arguments, **keywords)
    if isinstance(node, ast.Name):
        if node.id not in constants:
            raise ValueError(f"{node.id} is not known")
        return constants[node.id]
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [_evaluate(element, constants, callables) for element in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.Dict):
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            content = _evaluate(value, constants, callables)
            if key is None:  # **content
                result |= content
            else:
                result[_evaluate(key, constants, callables)] = content
        return result
    return ast.literal_eval(node)
