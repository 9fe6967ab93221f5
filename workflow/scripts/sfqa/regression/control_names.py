"""Which controls there are; planning a workflow needs no more of them."""

from __future__ import annotations

from sfqa.errors import UserError, hint

NAMES = ("random", "constant", "oracle")


def known(control: str, metric: str) -> str:
    """Return the name of a control; raises :class:`UserError` where there is none such.

    >>> known("oracle", "upper bound")
    'oracle'
    """
    if control not in NAMES:
        raise UserError(
            f"config, metrics.{metric}.head: no control {control!r}; {hint(control, NAMES)}"
        )
    return control
