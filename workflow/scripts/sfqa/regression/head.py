"""The contract of a head: from features to predicted MOS, fitted for many problems at once.

A head is a file in ``heads/`` with a class ``Head`` derived from one of these:

:class:`sfqa.regression.network_head.NetworkHead`
    a torch network: the head says only how to build it; training, restoring and the options of
    training are inherited;
:class:`ModelHead`
    any other model whose numbers can be stored in a model file;
:class:`RefittedHead`
    a model that cannot be stored as plain arrays, such as those of scikit-learn: a model file
    holds its train rows, and it is fitted again whenever it scores.

No head sees a MOS of a test row. At its top the file declares constants, which are read without
importing it (:mod:`sfqa.regression.heads` lists them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError
from sfqa.regression.problems import Features, Matrix, Models, Problem

if TYPE_CHECKING:  # it imports the reader of Parquet, which a plan does without
    from sfqa.regression.blocks import HeadInput


def check_input_count(head: str, inputs: Sequence[str], roles: Sequence[str]) -> None:
    """Check that there is an input for each role; raises :class:`UserError` that names them."""
    if len(inputs) != len(roles):
        raise UserError(
            f"head {head}: inputs {', '.join(inputs) or 'none'}; it reads {len(roles)}, in this "
            f"order: {', '.join(roles)}"
        )


class BaseHead:
    """What all heads have: ``name``, that of the file, and ``version``, its constant VERSION."""

    def __init__(self, name: str, version: int) -> None:
        self.name, self.version = name, version

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return how the head reads each of its inputs, if it reads blocks (DESIGN = "blocks").

        ``inputs`` are their names in the configuration, in order. Raises
        :class:`~sfqa.errors.UserError` for a number of inputs that the head cannot read.
        """
        raise NotImplementedError(f"head {self.name} reads a matrix; for blocks, list its inputs")


class ModelHead(BaseHead, ABC):
    """A head whose models can be stored: :meth:`fit` makes them, :meth:`restore` reads them."""

    @abstractmethod
    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> Models:
        """Fit a model for every problem and return them.

        ``x`` holds the features of all rows, ``work`` is a folder for checkpoints, ``device`` is
        'cpu' or 'cuda:N'. A problem that cannot be fitted gets a reason. Raises
        :class:`~sfqa.errors.UserError` for options that do not go together.
        """

    @abstractmethod
    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> Models:
        """Return models from the arrays that their ``state`` gave, fitted with these options."""

    def describe_training(
        self, x: Features, dims: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what a model file says about the training; by default nothing.

        ``x`` are the features of the fit, ``dims`` the number of dimensions of a model.
        """
        return {}


class RefittedHead(BaseHead, ABC):
    """A head without a state that could be stored; it fits one problem at a time."""

    @abstractmethod
    def fit_predict(
        self,
        x_train: Matrix,
        y_train: Floats,
        x_validation: Matrix,
        y_validation: Floats,
        x_all: Matrix,
        options: Mapping[str, Any],
        seed: int,
        groups: Ints | None = None,
    ) -> Floats:
        """Fit on the train rows and return predictions, float64 (rows of x_all, dims).

        ``x`` is float32 (rows, columns), ``y`` float64 (rows, dims) without NaN. ``groups`` has a
        code for each train row, then for each validation row, None if the protocol has no groups: a
        head that searches by cross-validation keeps rows of equal codes in one fold.
        """
