"""Which items may be recommended."""

from __future__ import annotations

from metarec_stream.catalogue.items import EXCLUDED, Items, make_known


def test_an_item_is_available_from_its_first_interaction() -> None:
    """A number alone does not make it a candidate."""
    items = Items()
    number = items.number("a")
    assert items.availability.penalty[number] == EXCLUDED
    make_known(items.availability, number)
    make_known(items.availability, number)
    assert items.availability.penalty[number] == 0
    assert items.availability.available[0] == 1
    assert items.availability.frontier[0] == 1


def test_a_deleted_item_comes_back_only_when_announced() -> None:
    """Interactions do not bring it back."""
    items = Items()
    items.announce(["a", "b"])
    items.delete("a")
    make_known(items.availability, items.number("a"))
    assert items.availability.penalty[0] == EXCLUDED
    assert items.availability.available[0] == 1
    items.announce(["a"])
    assert items.availability.penalty[0] == 0
    assert items.availability.available[0] == 2


def test_numbers_stay_while_room_grows() -> None:
    """Thousands of items keep their numbers and their state."""
    items = Items()
    items.announce(["first"])
    numbers = [items.number(f"item{number}") for number in range(5_000)]
    assert numbers == list(range(1, 5_001))
    assert items.number("first") == 0
    assert items.availability.penalty[0] == 0
    assert items.availability.penalty[items.capacity - 1] == EXCLUDED
