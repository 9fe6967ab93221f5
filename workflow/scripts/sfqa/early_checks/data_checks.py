"""Check the user's data for the plan of a run, before the first job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfqa.early_checks.default_protocols import DEFAULT_PROTOCOLS
from sfqa.early_checks.known_samples import KnownSamples
from sfqa.early_checks.protocols import derive_protocols
from sfqa.early_checks.sheet_files import check_sheet
from sfqa.errors import UserError, hint


def complete_protocols(
    config: Mapping[str, Any], samples: KnownSamples, has_mos: bool, needs_data: bool
) -> tuple[list[dict[str, Any]], str]:
    """Return the protocols of a complete configuration, by default those that the samples allow.

    The second value is a sentence on the default protocols that are left out, '' without any.
    Without MOS no protocol is used, and all default protocols are returned; so are they without
    ``needs_data`` if the user's data cannot be read. Raises :class:`UserError` if the samples allow
    no default protocol, and if the main protocol is not a protocol.
    """
    if config["regression"]["protocols"]:
        return config["regression"]["protocols"], ""
    protocols, sentence = [dict(protocol) for protocol in DEFAULT_PROTOCOLS], ""
    if has_mos:
        try:
            protocols, sentence = derive_protocols(samples, config["seed"])
        except UserError:
            if needs_data:
                raise
    names = [protocol["name"] for protocol in protocols]
    main = config["correlation"].get("protocol", names[0])
    if main not in names:
        raise UserError(
            f"config, correlation.protocol: {main!r} is not a protocol; {hint(main, names)}. "
            f"{sentence}".rstrip()
        )
    return protocols, sentence


def check_sheets(config: Mapping[str, Any], samples: KnownSamples) -> list[str]:
    """Return a sentence for each sheet with missing files, if the configuration skips them.

    Raises :class:`UserError` for mistakes in the sheets, for missing files that are not skipped,
    and if there are too few images and clips for the pairs.
    """
    column = "path" if samples.are_built else "video"
    notes = [
        check_sheet(sheet, paths, column, config["missing"])
        for sheet, paths in samples.list_sheet_paths().items()
    ]
    if samples.are_built:
        samples.check_pair_count()
    return list(filter(None, notes))
