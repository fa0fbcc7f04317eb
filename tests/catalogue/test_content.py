"""Attributes become tokens: the same everywhere, at most so many, and held only where there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.catalogue.content import (
    TokenRows,
    item_tokens,
    narrowed,
    profile_tokens,
    widened,
)
from metarec_stream.contract.item import Item
from metarec_stream.contract.task import MOST_TOKENS

texts = st.lists(st.text(max_size=8), max_size=30)
finite = st.floats(allow_nan=False, allow_infinity=False)


def of(item: Item, buckets: int = 4096) -> list[int]:
    """The item's tokens without padding."""
    return [token for token in item_tokens(item, buckets).tolist() if token >= 0]


def test_what_items_share_are_tokens_that_they_share() -> None:
    """A category whatever its case, a word of the title, a price of the same half octave."""
    one = Item(item="a", title="Red Shoes", categories=["Shoes"], price=50.0)
    other = Item(item="b", title="red socks", categories=["shoes "], price=52.0)
    assert len(set(of(one)) & set(of(other))) == 3
    assert len(of(one)) == len(of(other)) == 4
    dear = Item(item="c", price=500.0)
    assert not set(of(dear)) & set(of(one))


def test_a_category_is_not_the_tag_of_that_name() -> None:
    """Each kind of attribute has tokens of its own; what is said twice is one token."""
    category, tag = Item(item="a", categories=["x", "X"]), Item(item="a", tags=["x"])
    assert len(of(category)) == len(of(tag)) == 1
    assert of(category) != of(tag)


def test_tokens_are_the_same_on_every_machine() -> None:
    """They are on the wire and in published versions: these numbers must never change."""
    item = Item(item="a", title="Red", categories=["shoes"], tags=["new"], price=50.0)
    assert of(item) == [3574, 4054, 1954, 1932]


@given(texts, texts, st.text(max_size=200), finite, st.integers(16, 32768))
def test_any_item_has_a_bounded_number_of_tokens_within_the_buckets(
    categories: list[str], tags: list[str], title: str, price: float, buckets: int
) -> None:
    """Whatever was announced, lone surrogates and huge prices included."""
    item = Item(item="a", title=title + "\ud800", categories=categories, tags=tags, price=price)
    tokens = item_tokens(item, buckets)
    told = tokens[tokens >= 0]
    assert tokens.shape == (MOST_TOKENS,)
    assert 1 <= len(told) == len(set(told.tolist()))
    assert told.max() < buckets
    assert (tokens[len(told) :] == -1).all()


def test_attributes_of_a_profile() -> None:
    """Order does not matter, what is null is not there, near numbers share a token."""
    one = profile_tokens({"age": 30, "country": "AT", "plan": None, "trial": True}, 1024)
    other = profile_tokens({"trial": True, "country": "at", "age": 31.5}, 1024)
    np.testing.assert_array_equal(one, other)
    assert (one >= 0).sum() == 3
    assert (profile_tokens({}, 1024) == -1).all()
    assert (profile_tokens({"age": 60}, 1024) != profile_tokens({"age": 30}, 1024)).any()


def test_rows_hold_nothing_before_the_first_token() -> None:
    """Rows without any cost nothing, and what is put is what is there."""
    rows = TokenRows()
    none = np.full((3, MOST_TOKENS), -1, np.int16)
    numbers = np.array([5, 9, 5_000])
    assert not rows.put(numbers, none).any()
    assert len(rows) == 0
    assert rows.of(numbers).shape == (3, 0)
    told = none.copy()
    told[1, :2] = [7, 3]
    assert rows.put(numbers, told).tolist() == [False, True, False]
    np.testing.assert_array_equal(rows.of(numbers), told)
    assert rows.put(numbers, none).tolist() == [False, True, False]
    np.testing.assert_array_equal(rows.of(numbers), none)


def test_padding_comes_and_goes() -> None:
    """Narrowed and widened again, tokens are as they were; none are no column."""
    tokens = np.full((2, MOST_TOKENS), -1, np.int16)
    assert narrowed(tokens).shape == (2, 0)
    tokens[1, :3] = [4, 0, 9]
    assert narrowed(tokens).shape == (2, 3)
    np.testing.assert_array_equal(widened(narrowed(tokens)), tokens)
