"""Read the tables that users bring: one reader with one set of guards for every file.

:func:`read_table` returns the cells of a file by column, with the row numbers that a spreadsheet
shows and notes on everything that was left out. Sheets, features, ratings, MOS, labels, tags,
details, answers, predictions and phases of a challenge are all read with it.
"""

from sfqa.user_tables.reader import read_table
from sfqa.user_tables.table import UserTable

__all__ = ["UserTable", "read_table"]
