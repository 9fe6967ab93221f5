"""The proof of optimality of the pairs, as it is written to the log."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Step:
    """One term of the objective: attained value, lower bound, and the work of the solver."""

    name: str
    value: Fraction
    bound: Fraction
    nodes: int
    seconds: float

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
    """The steps in order. ``settled``: the tie-break between equal optima was completed."""

    steps: tuple[Step, ...]
    settled: bool

    @property
    def is_proven(self) -> bool:
        """Whether every step is proven."""
        return all(step.is_proven for step in self.steps)

    def format_proof(self) -> str:
        """Return one line per step, and a warning if a limit was reached.

        >>> half = Fraction(1, 2)
        >>> print(Proof((Step("uneven use", half, half, 1, 0.25),), True).format_proof())
        uneven use: value 0.5, bound 0.5, gap 0.00 %, nodes 1, 0.2 s, proven
        """
        lines = [
            f"{s.name}: value {float(s.value):.6g}, bound {float(s.bound):.6g}, "
            f"gap {100 * s.relative_gap:.2f} %, nodes {s.nodes}, {s.seconds:.1f} s, "
            + ("proven" if s.is_proven else "NOT PROVEN")
            for s in self.steps
        ]
        if not (self.is_proven and self.settled):
            lines.append(
                "a limit was reached, or two solves disagreed: better or other pairs may exist, "
                "and another machine may find them; raise pairs: nodes or seconds"
            )
        return "\n".join(lines)
