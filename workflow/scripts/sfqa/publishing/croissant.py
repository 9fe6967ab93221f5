"""Croissant metadata (mlcommons.org/croissant, version 1.0) of a published folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sfqa.publishing.licences import get_licence_address

Json = dict[str, Any]

_SPECIFICATION = "http://mlcommons.org/croissant/1.0"
#: The JSON-LD context of Croissant 1.0.
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


#: Folders of files, the pattern of their paths, and their media types.
_FILE_SETS = (
    ("videos", "videos/*/*", "video/*"),
    ("images", "images/*.png", "image/png"),
    ("clips", "clips/*.wav", "audio/wav"),
)


@dataclass(frozen=True)
class About:
    """What people wrote about a dataset."""

    title: str
    description: str
    licence: str
    creators: tuple[str, ...] = ()
    homepage: str = ""
    citation: str = ""
    version: str = "1.0.0"


@dataclass(frozen=True)
class SharedTable:
    """A table of the folder: its rows, what one of them is, meanings of columns, its key."""

    name: str
    frame: pd.DataFrame
    row: str
    meanings: Mapping[str, str]
    key: tuple[str, ...]


def build_croissant(
    name: str,
    about: About,
    date: str,
    shared_tables: Sequence[SharedTable],
    digests: Mapping[str, str],
) -> Json:
    """Return the metadata as JSON-LD; it belongs into the folder as ``croissant.json``.

    ``digests``: the sha256 of the files by their paths; a table is ``tables/NAME.csv``. Each table
    is a record set with a field for each column.
    """
    creators = [{"@type": "Person", "name": creator} for creator in about.creators]
    metadata: Json = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _SPECIFICATION,
        "name": name,
        "description": about.description,
        "alternateName": about.title,
        "license": get_licence_address(about.licence),
        "version": about.version,
        "datePublished": date,
    }
    if about.homepage:
        metadata["url"] = about.homepage
    if creators:
        metadata["creator"] = creators
    if about.citation:
        metadata["citeAs"] = about.citation
    metadata["distribution"] = [
        {
            "@type": "cr:FileObject",
            "@id": f"{table.name}.csv",
            "name": f"{table.name}.csv",
            "description": f"one row: {table.row}",
            "contentUrl": f"tables/{table.name}.csv",
            "encodingFormat": "text/csv",
            "sha256": digests[f"tables/{table.name}.csv"],
        }
        for table in shared_tables
    ]
    metadata["distribution"] += [
        {
            "@type": "cr:FileSet",
            "@id": folder,
            "name": folder,
            "description": f"the {folder} that the table samples names",
            "encodingFormat": encoding,
            "includes": pattern,
        }
        for folder, pattern, encoding in _FILE_SETS
        if any(name.startswith(f"{folder}/") for name in digests)
    ]
    metadata["recordSet"] = [_describe_records(table) for table in shared_tables]
    return metadata


def _describe_records(table: SharedTable) -> Json:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{table.name}/{column}",
            "name": column,
            "description": table.meanings.get(column, column.replace("_", " ")),
            "dataType": _name_type(table.frame[column]),
            "source": {
                "fileObject": {"@id": f"{table.name}.csv"},
                "extract": {"column": column},
            },
        }
        for column in table.frame.columns
    ]
    keys = [{"@id": f"{table.name}/{column}"} for column in table.key]
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": f"One row: {table.row}.",
        "key": keys[0] if len(keys) == 1 else keys,
        "field": fields,
    }


def _name_type(values: pd.Series[Any]) -> str:
    """Return the data type of a column; numbers with empty cells are floats."""
    if pd.api.types.is_bool_dtype(values):
        return "sc:Boolean"
    if pd.api.types.is_integer_dtype(values):
        return "sc:Integer"
    return "sc:Float" if pd.api.types.is_float_dtype(values) else "sc:Text"
