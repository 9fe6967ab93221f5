"""Compare the protocols of a configuration with the samples, before the first job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa import identity
from sfqa.early_checks.default_protocols import choose_protocols, describe_choice
from sfqa.early_checks.known_samples import KnownSamples
from sfqa.errors import UserError
from sfqa.splits.group_counts import check_counts
from sfqa.splits.protocol_options import CROSS, check_protocol, name_protocol

#: Of the random trials of a protocol as many are drawn by the check.
_CHECKED_TRIALS = 20


def derive_protocols(samples: KnownSamples, seed: int) -> tuple[list[dict[str, Any]], str]:
    """Return the default protocols that the samples allow, and a sentence on those left out.

    The sentence is '' if all are used. Raises :class:`UserError` if the samples allow none, and
    for mistakes in the tables that they are listed from.
    """
    key = identity.digest(["default", samples.key, seed])
    stored = samples.memory.recall("default_protocols", key)
    if stored is not None:
        return list(stored["protocols"]), str(stored["sentence"])

    def find_obstacle(protocol: Mapping[str, Any]) -> str:
        try:
            check_protocol_on(samples, protocol, seed)
        except UserError as error:
            return str(error).removeprefix(f"{name_protocol(protocol)}: ").partition(";")[0]
        return ""

    protocols, left_out = choose_protocols(samples.counts, find_obstacle)
    sentence = describe_choice(protocols, left_out)
    samples.memory.remember(
        "default_protocols", key, {"protocols": protocols, "sentence": sentence}
    )
    return protocols, sentence


def check_protocol_on(samples: KnownSamples, protocol: Mapping[str, Any], seed: int) -> None:
    """Raise :class:`UserError` if the samples do not allow a protocol.

    Of a dataset that is built, only the numbers of images, clips, methods and labels are known.
    """
    where = name_protocol(protocol)
    check_protocol(protocol, where)
    if protocol["kind"] == CROSS:
        return  # tests every sample
    check_counts(protocol, samples.counts, where)
    if samples.are_built:
        if protocol["kind"] == "listed_trials":
            from sfqa.splits.trial_lists import read_trial_lists  # loads pandas

            read_trial_lists(protocol["lists"], where)
        return
    from sfqa.splits.protocols import check_splits

    trials = None if protocol["kind"] == "listed_trials" else _CHECKED_TRIALS
    check_splits(samples.rows, protocol, seed, trials)


def check_protocols(
    samples: KnownSamples,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
    list_files: Sequence[str] = (),
) -> None:
    """Raise :class:`UserError` for the first protocol that the samples do not allow.

    ``list_files`` are the files with published trials. The result is remembered until samples,
    protocols or these files change.
    """
    stamps = {path: identity.read_stamp(path) for path in list_files}
    key = identity.digest([samples.key, list(map(dict, protocols)), seed, stamps])
    if samples.memory.recall("protocols", key):
        return
    for protocol in protocols:
        check_protocol_on(samples, protocol, seed)
    samples.memory.remember("protocols", key, True)
