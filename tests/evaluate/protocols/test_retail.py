"""Online Retail's lines, in their order and shuffled within each invoice."""

from __future__ import annotations

from collections import defaultdict

from metarec_stream.evaluate.protocols.retail import InvoiceLines, retail, retail_shuffled
from tests.evaluate.streams import table_of

_INVOICES = ["p"] * 5 + ["q"] * 4 + ["r"] * 6
_LINES = InvoiceLines(
    # q and r are of the same minute.
    table_of(
        [(f"of {invoice}", f"i{row}") for row, invoice in enumerate(_INVOICES)],
        seconds=[0] * 5 + [60] * 10,
    ),
    _INVOICES,
)


def _by_user(user: list[str], item: list[str]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, bought in zip(user, item, strict=True):
        found[name].append(bought)
    return found


def test_lines_are_shuffled_within_their_invoice() -> None:
    """Each invoice keeps its place, time and products; their order changes with the seed alone."""
    plain, shuffled = retail(_LINES), retail_shuffled(_LINES, 1)
    assert shuffled.table.user == plain.table.user
    assert shuffled.table.ts.tolist() == plain.table.ts.tolist()
    assert shuffled.table.item != plain.table.item
    before = _by_user(plain.table.user, plain.table.item)
    after = _by_user(shuffled.table.user, shuffled.table.item)
    assert {name: sorted(items) for name, items in after.items()} == {
        name: sorted(items) for name, items in before.items()
    }
    assert retail_shuffled(_LINES, 1).table.item == shuffled.table.item
    assert retail_shuffled(_LINES, 2).table.item != shuffled.table.item


def test_repeats_are_kept_and_the_last_half_is_scored() -> None:
    """Among products sold so far."""
    protocol = retail(_LINES).protocol
    assert (protocol.repeats, protocol.candidates) == ("include", "seen")
    assert protocol.first_scored(15) == 7
