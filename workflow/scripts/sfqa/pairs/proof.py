"""What was proven about the pairs, for the log."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Step:
    """One term of the objective: the value reached, the bound below it, and the work."""

    name: str
    value: Fraction
    bound: Fraction
    nodes: int
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether no better value is there, given the values of the terms before it."""
        return self.bound >= self.value

    @property
    def gap(self) -> float:
        """(value - bound) / value; 0 where it is proven."""
        return 0.0 if self.proven else float((self.value - self.bound) / self.value)


@dataclass(frozen=True)
class Proof:
    """The steps in order; ``settled``: the choice among equally good solutions was finished."""

    steps: tuple[Step, ...]
    settled: bool

    @property
    def proven(self) -> bool:
        """Whether every step is proven."""
        return all(step.proven for step in self.steps)

    def text(self) -> str:
        """Return one line per step, and a warning where a limit was met.

        >>> half = Fraction(1, 2)
        >>> print(Proof((Step("uneven use", half, half, 1, 0.25),), True).text())
        uneven use: value 0.5, bound 0.5, gap 0.00 %, nodes 1, 0.2 s, proven
        """
        lines = [
            f"{s.name}: value {float(s.value):.6g}, bound {float(s.bound):.6g}, "
            f"gap {100 * s.gap:.2f} %, nodes {s.nodes}, {s.seconds:.1f} s, "
            + ("proven" if s.proven else "NOT PROVEN")
            for s in self.steps
        ]
        if not (self.proven and self.settled):
            lines.append(
                "a limit was met, or two solves disagreed: better or other pairs may exist, and "
                "another machine may find them; raise pairs: nodes or seconds"
            )
        return "\n".join(lines)
