"""Build and solve integer linear programs with ``scipy.optimize.milp`` (HiGHS)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

# Status of ``milp`` if the time limit ended the search, and part of its message for the node limit.
_TIME_LIMIT, _NODE_LIMIT = 1, "Solution limit reached"
# Share of the allowed processor time after which a solve that met its wall-clock limit ends.
_ENOUGH = 0.8

#: A linear expression: coefficient by variable; the key None holds the constant.
Expression = dict[int | None, int]


def sum_terms(*terms: tuple[int, Expression | int]) -> Expression:
    """Return the linear expression that sums factor times expression (or variable).

    >>> sum_terms((2, {0: 1, None: 3}), (-1, 0), (1, 4))
    {0: 1, None: 6, 4: 1}
    """
    result: Expression = {}
    for factor, term in terms:
        for variable, coefficient in (term if isinstance(term, dict) else {term: 1}).items():
            result[variable] = result.get(variable, 0) + factor * coefficient
    return result


@dataclass(frozen=True)
class SolverResult:
    """Result of one solve.

    ``x``: values of the variables, or None if no solution was found. ``value``: objective at ``x``.
    ``bound``: lower bound of the objective. ``is_proven``: the bound equals the value. ``limit``:
    the limit that ended the search, ``nodes`` or ``seconds``, or ''. ``seconds``: processor time.
    """

    x: npt.NDArray[np.int64] | None
    value: int
    bound: int
    is_proven: bool
    infeasible: bool
    limit: str
    nodes: int
    seconds: float


class Program:
    """An integer linear program with bounded variables and integer coefficients.

    >>> p = Program(); x, y = p.add_variable(3), p.add_variable(5)
    >>> p.add_row(sum_terms((1, x), (1, y)), 0, 6)
    >>> p.minimise(sum_terms((-2, x), (-1, y))).value
    -9
    """

    def __init__(self) -> None:
        self.lower: list[int] = []
        self.upper: list[int] = []
        self.rows: list[tuple[Expression, float, float]] = []

    def add_variable(self, upper: int, lower: int = 0) -> int:
        """Add an integer variable and return its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        return len(self.lower) - 1

    def add_row(self, expr: Expression, lower: float = -np.inf, upper: float = np.inf) -> None:
        """Add ``lower <= expr <= upper``."""
        constant = expr.get(None, 0)
        terms: Expression = {k: c for k, c in expr.items() if k is not None and c}
        self.rows.append((terms, lower - constant, upper - constant))

    def evaluate(self, expr: Expression, x: npt.NDArray[np.int64]) -> int:
        """Return the value of an expression at a solution."""
        return sum(c * (1 if k is None else int(x[k])) for k, c in expr.items())

    def minimise(
        self,
        objective: Expression,
        extra: Iterable[tuple[Expression, float, float]] = (),
        nodes: int | None = None,
        seconds: float | None = None,
        presolve: bool = True,
    ) -> SolverResult:
        """Minimise ``objective`` under all constraints and the ``extra`` ones (expr, lower, upper).

        ``nodes`` limits the branch-and-bound tree, ``seconds`` the processor time. The solution is
        checked against every constraint in integer arithmetic and discarded if it violates one.
        The bound is the solver's floating-point bound, rounded up because the objective is an
        integer; :func:`sfqa.pairs.solver.solve_counts` says when it counts as proven.
        """
        size = len(self.lower)
        extra_program = Program()
        for row in extra:
            extra_program.add_row(*row)
        rows = self.rows + extra_program.rows
        cost = np.zeros(size)
        for k, c in objective.items():
            if k is not None:
                cost[k] = c
        constant = objective.get(None, 0)
        options: dict[str, Any] = {"mip_rel_gap": 0.0, "presolve": presolve}
        if nodes is not None:
            options["node_limit"] = nodes

        def solve(limit_options: Mapping[str, float]) -> Mapping[str, Any]:
            result: Mapping[str, Any] = milp(
                cost,
                integrality=np.ones(size),
                bounds=Bounds(np.array(self.lower, float), np.array(self.upper, float)),
                constraints=[_build_matrix(rows, size)] if rows else [],
                options={**options, **limit_options},
            )
            return result

        start = time.process_time()
        milp_result, timed_out = _limit_processor_time(solve, seconds)
        elapsed = time.process_time() - start
        x = None if milp_result["x"] is None else np.rint(milp_result["x"]).astype(np.int64)
        if x is not None and not self._satisfies_rows(rows, x):
            x = None
        value = 0 if x is None else self.evaluate(objective, x)
        bound = milp_result.get("mip_dual_bound")
        integer_bound = (
            -(2**62) if bound is None or not np.isfinite(bound) else _round_up(bound) + constant
        )
        return SolverResult(
            x=x,
            value=value,
            bound=integer_bound,
            is_proven=x is not None and integer_bound >= value,
            # Every variable is bounded: "unbounded or infeasible" (4) is infeasible.
            infeasible=milp_result["x"] is None
            and (milp_result["status"] == 2 or "infeasible" in milp_result["message"]),
            limit="seconds"
            if timed_out
            else "nodes"
            if _NODE_LIMIT in milp_result["message"]
            else "",
            nodes=int(milp_result.get("mip_node_count") or 0),
            seconds=elapsed,
        )

    def _satisfies_rows(
        self, rows: list[tuple[Expression, float, float]], x: npt.NDArray[np.int64]
    ) -> bool:
        inside = (np.array(self.lower) <= x).all() and (x <= np.array(self.upper)).all()
        return bool(inside) and all(
            lower <= self.evaluate(expr, x) <= upper for expr, lower, upper in rows
        )


def _limit_processor_time(
    solve: Callable[[Mapping[str, float]], Mapping[str, Any]], seconds: float | None
) -> tuple[Mapping[str, Any], bool]:
    """Solve within ``seconds`` of processor time; return the result and whether they ended it.

    HiGHS limits wall-clock time only. If that ended the search on a busy machine before the
    processor time was used, the solve is repeated with as much more wall-clock time.
    """
    if seconds is None:
        return solve({}), False
    limit = seconds
    while True:
        start, processor_start = time.perf_counter(), time.process_time()
        result = solve({"time_limit": limit})
        used = time.process_time() - processor_start
        if result["status"] != _TIME_LIMIT or time.perf_counter() - start < limit:
            return result, False
        if used >= _ENOUGH * seconds:
            return result, True
        limit *= max(2.0, seconds / max(used, 1e-3 * seconds))


def _round_up(value: float) -> int:
    """Round up after subtracting the solver's tolerance."""
    return int(np.ceil(value - 1e-4 * max(1.0, 1e-6 * abs(value))))


def _build_matrix(rows: list[tuple[Expression, float, float]], size: int) -> LinearConstraint:
    row_indices, columns, values = [], [], []
    for row_index, (expr, _, _) in enumerate(rows):
        for k, c in expr.items():
            row_indices.append(row_index)
            columns.append(k)
            values.append(float(c))
    matrix = csr_array((values, (row_indices, columns)), shape=(len(rows), size))
    return LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows])
