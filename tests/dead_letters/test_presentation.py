"""What people see of dead letters: everything but the users, unless they ask."""

from __future__ import annotations

import msgpack
import pytest
from rich.console import Console

from metarec_stream.dead_letters.letter import Letter
from metarec_stream.dead_letters.presentation import lines_of, table_of
from metarec_stream.dead_letters.selection import Selection
from metarec_stream.errors import Reason
from tests.dead_letters.letters import REJECTED_MS, letter, rejected_record


def shown(made: Letter, show_users: bool = False) -> str:
    """All of a letter."""
    return "\n".join(lines_of(made, show_users))


def listed(made: Letter, show_users: bool = False) -> str:
    """Its row."""
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table_of([made], show_users))
    return captured.get()


def test_users_are_hashed_unless_asked_for() -> None:
    """In the key, the value and a detail that quotes one; the rest is in clear."""
    made = letter(detail="user: control character in 'ann'", reason=Reason.INVALID)
    for text in (shown(made), listed(made)):
        assert "ann" not in text
        assert "invalid" in text
    for text in (shown(made, show_users=True), listed(made, show_users=True)):
        assert "control character in 'ann'" in text
    assert '"user": "ann"' in shown(made, show_users=True)
    assert '"item": "a"' in shown(made)


def test_a_letter_says_where_it_came_from() -> None:
    """Its own place, the record's, when, why, and the headers as they were."""
    text = shown(letter())
    for part in (
        "interactions.dlq/1/7", "interactions/1/40", "2023-11-14 22:13:20.000Z", "late",
        "ts: too late", "content-type: application/json", "trace: 0xff00",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (b"\xc1\x00", "c100"),
        (None, "null"),
        (b"\xc1" * 5_000, "904 bytes more"),
        (msgpack.packb({"user": "ann", "x": b"\x07", "item": "a"}), '"x": "07"'),
    ],
)
def test_any_value_is_shown(value: bytes | None, part: str) -> None:
    """Decoded where it can be, else in hex."""
    headers = () if value and value[:1] != b"{" else (("content-type", b"application/json"),)
    assert part in shown(letter(rejected_record(value, headers=headers)))


def test_what_came_over_the_wire_is_no_markup() -> None:
    """Brackets and control characters neither style the table nor move the cursor."""
    made = letter(detail="[red]x[/red]")
    assert "[red]x[/red]" in listed(made)
    control = rejected_record(headers=(("a", b"\x1b[2J"),))
    assert "\x1b" not in shown(letter(control))


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset({"late", "future"})), True),
        (Selection(reasons=frozenset({"future"})), False),
        (Selection(since_ms=REJECTED_MS, until_ms=REJECTED_MS + 1), True),
        (Selection(since_ms=REJECTED_MS + 1), False),
        (Selection(until_ms=REJECTED_MS), False),
        (Selection(partitions=frozenset({1}), offsets=frozenset({7})), True),
        (Selection(partitions=frozenset({0})), False),
        (Selection(offsets=frozenset({8})), False),
    ],
)
def test_letters_are_selected(selection: Selection, meant: bool) -> None:
    """By reason, time, from the first to before the last, partition and offset."""
    assert selection.has(letter()) == meant
