"""Readers of files from outside, with limits that are checked before anything is unpacked.

Each type of file has one reader: :mod:`~sfqa.untrusted.archives` (zip),
:mod:`~sfqa.untrusted.documents` (JSON and YAML), :mod:`~sfqa.untrusted.arrays` (NumPy),
:mod:`~sfqa.untrusted.parquet`, :mod:`~sfqa.untrusted.tensors` (weights),
:mod:`~sfqa.untrusted.workbooks` (Excel), :mod:`~sfqa.untrusted.xml_parts` (XML),
:mod:`~sfqa.untrusted.matlab`. :mod:`~sfqa.untrusted.limits` has the limits; docs/security.md says
which files go through which reader.
"""
