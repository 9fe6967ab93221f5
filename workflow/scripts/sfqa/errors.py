"""The one exception that users see as a sentence."""

from __future__ import annotations


class UserError(Exception):
    """Raised for anything that the user can mend: what is wrong, where, and what to do instead.

    >>> raise UserError("config/a.csv, row 3: no image file 'x.png'; add it or delete the row")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config/a.csv, row 3: no image file 'x.png'; add it or delete the row
    """
