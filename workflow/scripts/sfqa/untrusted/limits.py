"""The limits of files from outside, and the error of a file that exceeds one of them."""

from __future__ import annotations

MIB = 2**20

#: Bytes of the list of members of a zip archive, and number of members. The list is read whole.
ARCHIVE_LIST_BYTES = 8 * MIB
ARCHIVE_MEMBERS = 100_000
#: Largest ratio of unpacked to packed bytes of a member, for members of more than
#: ``SMALL_MEMBER_BYTES``. Text of different names and numbers has a ratio below 20.
PACKING_RATIO = 200
SMALL_MEMBER_BYTES = MIB

#: Unpacked bytes of each file of a challenge submission, number of its files, bytes of the zip.
SUBMISSION_FILE_BYTES = 16 * MIB
SUBMISSION_FILES = 1000
SUBMISSION_ZIP_BYTES = 256 * MIB
#: Lines of output.txt per video of the phase, and lines that any output.txt may have.
SUBMISSION_LINES_PER_NAME = 10
SUBMISSION_LINES = 1000
#: Characters of an entry of readme.txt.
README_ENTRY_CHARS = 1000

#: Bytes of model.json in a model file.
MODEL_JSON_BYTES = 16 * MIB
#: Bytes of any other JSON document (a text takes up to four times its bytes), its values (up to
#: 300 bytes each), and how deep objects and lists may be nested.
JSON_BYTES = 32 * MIB
JSON_VALUES = 1_000_000
JSON_DEPTH = 100
#: The same of the list of a dataset's files that the workflow keeps: some 2 million files, of which
#: each has six values and 250 bytes.
FILE_LIST_BYTES = 512 * MIB
FILE_LIST_VALUES = 12_000_000
#: Rows of a table of JSON: 200,000 take some seconds.
JSON_ROWS = 200_000
#: Rows times fields of such a table.
JSON_CELLS = 2_000_000
#: Bytes of the results that the program of a quality model writes.
RESULT_BYTES = 32 * MIB
#: Bytes of a table of text (.csv, .tsv, .txt), which is read whole.
TABLE_TEXT_BYTES = 2048 * MIB
#: Bytes of the list of checksums of a published folder.
CHECKSUM_BYTES = 64 * MIB
#: Bytes of a YAML document, its lines and entries in brackets (20,000 take some seconds without
#: libyaml), how deep lists and mappings may be nested, and its nodes with each alias counted as
#: what it refers to.
YAML_BYTES = MIB
YAML_LINES = 20_000
YAML_DEPTH = 100
YAML_NODES = 200_000

#: Bytes of the arrays of an .npz archive, and characters of the header of an array, as in NumPy.
ARRAY_BYTES = 1024 * MIB
ARRAY_HEADER_CHARS = 10_000

#: Rows and columns of a Parquet file of a user.
TABLE_ROWS = 50_000_000
TABLE_COLUMNS = 15_000
#: Cells that a Parquet file of any size may have, and cells per byte of a larger one. A cell takes
#: up to 64 bytes in memory, and a rating some 540: each row counts as TABLE_ROW_CELLS more.
#: Measured: 6.5 per byte in a million ratings of 8 columns, 4 of which are constant.
SMALL_TABLE_CELLS = 4_000_000
TABLE_CELLS_PER_BYTE = 8
TABLE_ROW_CELLS = 4
#: Bytes that the pages of a Parquet file of any size may unpack to, and its text in all cells; and
#: such bytes per byte of a larger file.
TABLE_UNPACKED_BYTES = 48 * MIB
TABLE_UNPACKED_RATIO = 64
#: Bytes of the footer of a Parquet file, and values of its footer and page headers (some 55 per
#: column and row group).
TABLE_FOOTER_BYTES = 8 * MIB
TABLE_FOOTER_VALUES = 1_200_000

#: Bytes of the description of the tensors in a weights file: data.pkl, or the safetensors header
#: (some 100 bytes per tensor), and its values (some 40 per tensor; a network with
#: its optimizer has four times the tensors).
WEIGHTS_HEADER_BYTES = 4 * MIB
WEIGHTS_VALUES = 450_000

#: Elements of an XML document, how deep they may be nested, different names of elements and
#: attributes (the parser keeps each), and bytes of a tag with its attributes, or of a comment.
XML_ELEMENTS = 2_000_000
XML_DEPTH = 100
XML_NAMES = 10_000
XML_TAG_BYTES = MIB

#: Unpacked bytes of an Excel workbook or of a MATLAB file; also the characters of a sheet, each
#: shared text counted in every cell that shows it.
WORKBOOK_BYTES = 64 * MIB
#: Cells of a sheet (rows with a value times the last column with one), cells of its merged ranges,
#: and values and characters of a MATLAB file.
WORKBOOK_CELLS = 5_000_000
#: Formats of numbers, and formats of cells, of a workbook. Excel has 65,490 of cells.
WORKBOOK_FORMATS = 70_000
#: Elements of the variables of a MATLAB file: four for each text or number in a cell or a struct,
#: which takes some 350 bytes in memory.
MATLAB_ELEMENTS = 1_000_000

#: Characters of a value that a message shows.
SHOWN_CHARS = 80


class RefusedError(ValueError):
    """Raised for content that exceeds a limit or has a forbidden form, with the reason only.

    Callers add the file's path and what to do instead.
    """


def format_bytes(count: int) -> str:
    """Return a number of bytes for a message.

    >>> format_bytes(64 * MIB), format_bytes(1500)
    ('64 MiB', '1,500 bytes')
    """
    return f"{count // MIB:,} MiB" if count >= MIB else f"{count:,} bytes"
