"""Protocols on Online Retail: what known customers buy, lines in their order or shuffled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarec_stream.evaluate.dataset import EventTable
from metarec_stream.evaluate.protocol import Protocol
from metarec_stream.evaluate.protocols.trial import Trial, chosen_rows


@dataclass(frozen=True, slots=True)
class InvoiceLines:
    """Purchases of known customers without cancellations, in the order of time."""

    table: EventTable
    invoice: list[str]
    """The invoice that each row is a line of."""


def retail(lines: InvoiceLines) -> Trial:
    """The last half, among the products sold so far, repeats included."""
    protocol = Protocol(score_from=0.5, candidates="seen", repeats="include")
    return Trial(lines.table, protocol, ("hr@10", "mrr"))


def retail_shuffled(lines: InvoiceLines, seed: int) -> Trial:
    """The same with the lines of each invoice in random order.

    A clerk enters what lies together: their order tells of the shelf, not of the customer.
    """
    places = np.random.default_rng(seed).random(len(lines.table))
    # An invoice keeps the place of its first line: numbers are by first appearance.
    numbers: dict[str, int] = {}
    invoice = [numbers.setdefault(name, len(numbers)) for name in lines.invoice]
    order = np.lexsort((places, np.array(invoice), lines.table.ts))
    names = [lines.invoice[row] for row in order.tolist()]
    return retail(InvoiceLines(chosen_rows(lines.table, order), names))
