"""A small builder of integer linear programs over ``scipy.optimize.milp`` (HiGHS)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

#: A linear expression: coefficient by variable; the key None holds the constant.
Expr = dict[int | None, int]


def total(*terms: tuple[int, Expr | int]) -> Expr:
    """Return the sum of factor times expression or variable.

    >>> total((2, {0: 1, None: 3}), (-1, 0), (1, 4))
    {0: 1, None: 6, 4: 1}
    """
    result: Expr = {}
    for factor, term in terms:
        for variable, coefficient in (term if isinstance(term, dict) else {term: 1}).items():
            result[variable] = result.get(variable, 0) + factor * coefficient
    return result


@dataclass(frozen=True)
class Answer:
    """What the solver says: the values (None: none found), objective, bound, and how it ended."""

    x: npt.NDArray[np.int64] | None
    value: int
    bound: int
    proven: bool
    infeasible: bool
    timed_out: bool
    nodes: int
    seconds: float


class Program:
    """Integer variables, linear rows with whole coefficients, solved for one objective at a time.

    >>> p = Program(); x, y = p.variable(3), p.variable(5)
    >>> p.row(total((1, x), (1, y)), 0, 6)
    >>> p.minimise(total((-2, x), (-1, y))).value
    -9
    """

    def __init__(self) -> None:
        self.lower: list[int] = []
        self.upper: list[int] = []
        self.rows: list[tuple[Expr, float, float]] = []

    def variable(self, upper: int, lower: int = 0) -> int:
        """Add an integer variable and return its number."""
        self.lower.append(lower)
        self.upper.append(upper)
        return len(self.lower) - 1

    def row(self, expr: Expr, lower: float = -np.inf, upper: float = np.inf) -> None:
        """Add ``lower <= expr <= upper``."""
        constant = expr.get(None, 0)
        terms: Expr = {k: c for k, c in expr.items() if k is not None and c}
        self.rows.append((terms, lower - constant, upper - constant))

    def value(self, expr: Expr, x: npt.NDArray[np.int64]) -> int:
        """Return the value of an expression at a solution."""
        return sum(c * (1 if k is None else int(x[k])) for k, c in expr.items())

    def minimise(
        self,
        objective: Expr,
        extra: Iterable[tuple[Expr, float, float]] = (),
        nodes: int | None = None,
        seconds: float | None = None,
        presolve: bool = True,
    ) -> Answer:
        """Return the least ``objective`` with the rows and ``extra`` rows (expr, lower, upper).

        ``nodes`` limits the branch-and-bound tree, ``seconds`` the wall clock. The point is
        checked against every row in whole numbers, and dropped where it breaks one. The bound is
        the solver's, in floating point, rounded up because the objective is whole: see
        :func:`sfqa.pairs.solver.solve` for how far it is trusted.
        """
        start = time.perf_counter()
        size = len(self.lower)
        more = Program()
        for row in extra:
            more.row(*row)
        rows = self.rows + more.rows
        cost = np.zeros(size)
        for k, c in objective.items():
            if k is not None:
                cost[k] = c
        constant = objective.get(None, 0)
        options: dict[str, Any] = {"mip_rel_gap": 0.0, "presolve": presolve}
        if nodes is not None:
            options["node_limit"] = nodes
        if seconds is not None:
            options["time_limit"] = seconds
        found: Mapping[str, Any] = milp(
            cost,
            integrality=np.ones(size),
            bounds=Bounds(np.array(self.lower, float), np.array(self.upper, float)),
            constraints=[_matrix(rows, size)] if rows else [],
            options=options,
        )
        took = time.perf_counter() - start
        x = None if found["x"] is None else np.rint(found["x"]).astype(np.int64)
        if x is not None and not self._holds(rows, x):
            x = None
        value = 0 if x is None else self.value(objective, x)
        bound = found.get("mip_dual_bound")
        whole = -(2**62) if bound is None or not np.isfinite(bound) else _ceil(bound) + constant
        return Answer(
            x=x,
            value=value,
            bound=whole,
            proven=x is not None and whole >= value,
            # Every variable is bounded: "unbounded or infeasible" (4) is infeasible.
            infeasible=found["x"] is None
            and (found["status"] == 2 or "infeasible" in found["message"]),
            timed_out=seconds is not None and took >= seconds,
            nodes=int(found.get("mip_node_count") or 0),
            seconds=took,
        )

    def _holds(self, rows: list[tuple[Expr, float, float]], x: npt.NDArray[np.int64]) -> bool:
        inside = (np.array(self.lower) <= x).all() and (x <= np.array(self.upper)).all()
        return bool(inside) and all(
            lower <= self.value(expr, x) <= upper for expr, lower, upper in rows
        )


def _ceil(value: float) -> int:
    """Round up, with room for the solver's tolerance."""
    return int(np.ceil(value - 1e-4 * max(1.0, 1e-6 * abs(value))))


def _matrix(rows: list[tuple[Expr, float, float]], size: int) -> LinearConstraint:
    where, columns, values = [], [], []
    for number, (expr, _, _) in enumerate(rows):
        for k, c in expr.items():
            where.append(number)
            columns.append(k)
            values.append(float(c))
    matrix = csr_array((values, (where, columns)), shape=(len(rows), size))
    return LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows])
