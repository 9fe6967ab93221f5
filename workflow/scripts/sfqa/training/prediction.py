"""Scores of a network in evaluation mode, by one process or by all of a group."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from sfqa.errors import format_count, is_out_of_memory
from sfqa.training.piece_sizes import free_cached_memory
from sfqa.training.precision import autocast
from sfqa.training.process_group import count_processes, gather_scores, select_part
from sfqa.training.rows import RowSource, split_rows

LOG = logging.getLogger("sfqa")


def predict_rows(
    network: nn.Module, source: RowSource, rows: Tensor, precision: str, device: str
) -> Tensor:
    """Return the network's scores of some rows, (rows, dims), in evaluation mode.

    After an error of memory half as many rows pass at a time, which changes no more than the last
    digits. A single row that does not fit raises the error.
    """
    network.eval()
    rows_at_once = source.rows_at_once
    while True:
        try:
            with torch.no_grad(), autocast(precision, device):
                pieces = split_rows(rows, rows_at_once)
                return torch.cat([network(inputs) for inputs in source.iterate(pieces, 0)])
        except Exception as error:
            if rows_at_once == 1 or not is_out_of_memory(error):
                raise
        rows_at_once = min(rows_at_once, len(rows)) // 2 or 1
        free_cached_memory()
        LOG.info(
            "predictions did not fit into the memory: %s at a time",
            format_count(rows_at_once, "row"),
        )


def predict_in_group(
    network: nn.Module, source: RowSource, rows: Tensor, precision: str, device: str
) -> Tensor:
    """Return what :func:`predict_rows` returns; each process of a group computes a part of it."""
    if count_processes() == 1:
        return predict_rows(network, source, rows, precision, device)
    part = select_part(rows)
    local = predict_rows(network, source, part, precision, device) if len(part) else None
    return gather_scores(local, device)[1]
