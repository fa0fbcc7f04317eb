"""Rows: what goes in comes out, whatever numbers a process gives, and damage is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarec_stream.errors import Degraded, Fatal
from metarec_stream.state import row as row_module
from metarec_stream.state.rings import Rings, empty_rings, insert
from metarec_stream.state.row import decode_row, encode_rows, user_key
from metarec_stream.state.row_columns import put_rows

GOLDEN = Path(__file__).parent / "golden" / "row_1.bin"
WEIGHTS = np.array([1.0, 1.0, -1.0], np.float32)
TYPES = ["view", "click", "dislike"]
ITEMS = [f"item {number}" for number in range(9)]

events = st.tuples(
    st.integers(0, 8),
    st.integers(0, 2),
    st.one_of(st.just(np.nan), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(st.integers(0, 50), st.integers(0, 253_402_300_799_999)),
    st.sampled_from([0, 0, 1, 0xFFFFFFFF]),
    st.sampled_from([0, 0, 1, 0xFFFFFFFFFFFFFFFF]),
)


def rings_of(*users: list[tuple[Any, ...]], ring: int = 6) -> Rings:
    """Rings with these events applied, one user a row."""
    rings = empty_rings(len(users), ring)
    for user, entries in enumerate(users):
        for item, kind, value, time, context, event in entries:
            hashed = cast(int, np.uint64(event))
            insert(rings, user, item, kind, value, time, context, hashed, WEIGHTS)
    return rings


def encoded(rings: Rings, number: int = 0, upto: int = 41) -> bytes:
    """The bytes of one row."""
    return encode_rows(rings, np.array([number]), np.array([upto]), ITEMS, TYPES)[0]


def put(content: bytes, ring: int = 6) -> Rings:
    """The row in rings of a process that numbers items and types the other way round."""
    rings = empty_rings(1, ring)
    types = {name: len(TYPES) - number for number, name in enumerate(TYPES)}
    put_rows([decode_row(content, "u")], rings, np.zeros(1, np.int64), turned, types)
    return rings


def all_one_item(items: Sequence[str]) -> NDArray[np.int32]:
    """Numbers for ids that nobody knows."""
    return np.zeros(len(items), np.int32)


def turned(items: Sequence[str]) -> NDArray[np.int32]:
    """Their numbers in a process that met them the other way round."""
    return np.array([8 - ITEMS.index(item) for item in items], np.int32)


@given(st.lists(events, max_size=9), st.lists(events, max_size=9))
def test_a_row_comes_back_as_it_was(
    one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]
) -> None:
    """Every column and counter, where numbers differ, and whoever is encoded beside."""
    rings = rings_of(one, other)
    both = encode_rows(rings, np.array([1, 0]), np.array([7, 41]), ITEMS, TYPES)
    assert both[1] == encoded(rings_of(one))
    back = put(both[1])
    count = int(rings.length[0])
    assert int(back.length[0]) == count
    assert (8 - back.item[0, :count]).tolist() == rings.item[0, :count].tolist()
    assert (3 - back.kind[0, :count]).tolist() == rings.kind[0, :count].tolist()
    for name in ("value", "time", "context", "event"):
        np.testing.assert_array_equal(
            getattr(back, name)[0, :count], getattr(rings, name)[0, :count]
        )
    for name in ("accepted", "wanted", "repeats"):
        assert getattr(back, name)[0] == getattr(rings, name)[0]
    row = decode_row(both[1], "u")
    assert row.upto == 41


@given(st.lists(st.lists(events, max_size=9), max_size=5), st.integers(4, 9))
def test_many_rows_at_once_are_as_one_by_one(users: list[list[tuple[Any, ...]]], ring: int) -> None:
    """Rings of any lengths, some longer than there is room for, put at any places."""
    stored = rings_of(*users, ring=9)
    rows = np.arange(len(users))
    contents = encode_rows(stored, rows, rows, ITEMS, TYPES)
    together = empty_rings(len(users) + 2, ring)
    types = {name: len(TYPES) - number for number, name in enumerate(TYPES)}
    decoded = [decode_row(content, "u") for content in contents]
    put_rows(decoded, together, rows[::-1] + 1, turned, types)
    for user, content in enumerate(contents):
        alone = put(content, ring)
        for name in Rings._fields:
            many, one = getattr(together, name), getattr(alone, name)
            np.testing.assert_array_equal(many[len(users) - user], one[0])


def test_the_bytes_do_not_depend_on_numbers() -> None:
    """Types and items are named: a process that met them in another order writes the same."""
    rings = rings_of([(1, 1, np.nan, 5, 0, 0), (2, 0, 2.5, 6, 3, 9)])
    ids, types = ["item 2", "item 1"], ["click", "view"]
    turned = rings_of([(1, 0, np.nan, 5, 0, 0), (0, 1, 2.5, 6, 3, 9)])
    there = encode_rows(turned, np.array([0]), np.array([41]), ids, types)[0]
    assert there == encoded(rings)


def test_a_longer_ring_is_cut_to_its_newest_events() -> None:
    """The ring may be made shorter by its setting."""
    rings = rings_of([(number, 0, np.nan, number, 0, 0) for number in range(6)])
    back = put(encoded(rings), ring=4)
    assert int(back.length[0]) == 4
    assert back.time[0].tolist() == [5, 4, 3, 2]
    assert int(back.accepted[0]) == 6


def golden_rings() -> Rings:
    """What the golden file holds: late, valued, in context, named, turned down."""
    return rings_of(
        [
            (1, 0, np.nan, 1_700_000_000_000, 0, 0),
            (2, 1, 4.5, 1_700_000_060_000, 7, 123_456_789),
            (2, 2, np.nan, 1_500_000_000_000, 0, 0),
            (1, 1, -0.25, 1_700_000_060_000, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        ]
    )


def test_a_row_of_version_1_is_read_for_ever() -> None:
    """The committed bytes: decoded, and what this release writes for the same state."""
    content = GOLDEN.read_bytes()
    row = decode_row(content, "golden")
    assert (row.version, row.upto, row.accepted, row.wanted) == (1, 41, 4, 3)
    assert row.items == ["item 1", "item 2", "item 1", "item 2"]
    assert row.types == ["click", "view", "dislike"]
    assert list(row.kinds) == [0, 0, 1, 2]
    assert row.repeats == 0b001
    back, expected = put(content), golden_rings()
    assert back.time[0, :4].tolist() == expected.time[0, :4].tolist()
    assert back.event[0, :4].tolist() == [0xFFFFFFFFFFFFFFFF, 123_456_789, 0, 0]
    assert content == encoded(expected)


def test_a_row_of_a_later_release_is_refused() -> None:
    """Fatal, and the message says which version and what to do; also where its shape changed."""
    elements = msgspec.msgpack.decode(GOLDEN.read_bytes())
    for changed in ([2, *elements[1:]], [2, {"all": "new"}]):
        with pytest.raises(Fatal, match=r"row of state/3 u.* version 2, .*up to 1.*later release"):
            decode_row(msgspec.msgpack.encode(changed), "state/3 user")


def test_an_older_row_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version names the way to the next one."""
    current = msgspec.msgpack.decode(GOLDEN.read_bytes())
    monkeypatch.setitem(row_module.UPGRADES, 0, lambda old: [1, *old[1:2], *current[2:]])
    assert decode_row(msgspec.msgpack.encode([0, 99]), "u").upto == 99
    with pytest.raises(Degraded, match="no version -1"):
        decode_row(msgspec.msgpack.encode([-1, *current[1:]]), "u")


@given(st.integers(0, len(GOLDEN.read_bytes()) - 1 if GOLDEN.exists() else 0), st.integers(0, 255))
def test_damage_is_degraded_or_another_row(place: int, byte: int) -> None:
    """Whatever one byte becomes: nothing but Degraded (or a newer version's Fatal) is raised."""
    content = bytearray(GOLDEN.read_bytes())
    content[place] = byte
    try:
        row = decode_row(bytes(content), "u")
        rings = empty_rings(1, 6)
        types = dict.fromkeys(row.types, 0)
        put_rows(
            [row], rings, np.zeros(1, np.int64), lambda ids: np.zeros(len(ids), np.int32), types
        )
    except (Degraded, Fatal):
        return
    assert rings.length[0] == len(row.items)


@pytest.mark.parametrize("cut", [0, 1, 10, 60])
def test_half_a_row_is_damaged(cut: int) -> None:
    """The message names the row."""
    with pytest.raises(Degraded, match="row of state/0 u is damaged"):
        decode_row(GOLDEN.read_bytes()[:cut], "state/0 u")


def test_a_type_that_the_settings_do_not_know_any_more_ends_the_process() -> None:
    """Its events would otherwise silently change their meaning."""
    row = decode_row(GOLDEN.read_bytes(), "u")
    known = {"view": 0, "click": 1}
    with pytest.raises(Fatal, match=r"type 'dislike'.*METAREC_EVENTS__WEIGHTS"):
        put_rows([row], empty_rings(1, 6), np.zeros(1, np.int64), turned, known)


def test_the_key_of_a_row_is_the_user_after_a_letter() -> None:
    """So that no user can be taken for the header."""
    assert user_key("h") == b"uh"
