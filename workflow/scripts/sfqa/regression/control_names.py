"""Names of the controls; a separate module, because planning needs nothing else of them."""

from __future__ import annotations

from sfqa.errors import UserError, hint

NAMES = ("random", "constant", "oracle")


def check_control(control: str, metric: str) -> str:
    """Return the name of a control; raises :class:`UserError` for an unknown one.

    >>> check_control("oracle", "upper bound")
    'oracle'
    """
    if control not in NAMES:
        raise UserError(
            f"config, regression.metrics.{metric}.head: no control {control!r}; "
            f"{hint(control, NAMES)}"
        )
    return control
