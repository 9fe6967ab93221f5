"""The proof of optimality of the pairs, as it is written to the log."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Step:
    """One term of the objective: attained value, lower bound, and the work of the solver.

    ``seconds``: processor time. ``limit``: the limit that ended the search, ``nodes`` or
    ``seconds``, or ''.
    """

    name: str
    value: Fraction
    bound: Fraction
    nodes: int
    seconds: float
    limit: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether no better value exists, given the values of the earlier terms."""
        return self.bound >= self.value

    @property
    def relative_gap(self) -> float:
        """(value - bound) / value; 0 if the step is proven."""
        return 0.0 if self.is_proven else float((self.value - self.bound) / self.value)


@dataclass(frozen=True)
class Proof:
    """The steps in order. ``settled``: the tie-break between equal optima was completed.

    ``tie_limit``: the limit that ended the tie-break, or ''.
    """

    steps: tuple[Step, ...]
    settled: bool
    tie_limit: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether every step is proven."""
        return all(step.is_proven for step in self.steps)

    def format_proof(self, with_times: bool = True) -> str:
        """Return one line per step, and a warning if the optimum is not proven.

        ``with_times`` adds the work of the solver, which differs from run to run.

        >>> half = Fraction(1, 2)
        >>> print(Proof((Step("uneven use", half, half, 1, 0.25),), True).format_proof())
        uneven use: value 0.5, bound 0.5, gap 0.00 %, nodes 1, 0.2 s, proven
        """
        lines = [
            f"{s.name}: value {float(s.value):.6g}, bound {float(s.bound):.6g}, "
            f"gap {100 * s.relative_gap:.2f} %, "
            + (f"nodes {s.nodes}, {s.seconds:.1f} s, " if with_times else "")
            + ("proven" if s.is_proven else "NOT PROVEN")
            for s in self.steps
        ]
        return "\n".join([*lines, *self._describe_limits()])

    def _describe_limits(self) -> list[str]:
        if self.is_proven and self.settled:
            return []
        limits = {step.limit for step in self.steps if not step.is_proven} - {""}
        limits |= {self.tie_limit} - {""} if not self.settled else set()
        alternatives = "better pairs" if not self.is_proven else "other pairs that are as good"
        if not limits:
            return [f"two solves disagreed; {alternatives} may exist"]
        machine = " and another machine may find them;" if "seconds" in limits else ";"
        return [
            f"the search ended at the limit pairs: {' and '.join(sorted(limits))}, and the best "
            f"pairs found are used; {alternatives} may exist{machine} raise the limit to search on"
        ]
