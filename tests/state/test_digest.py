"""The digest: order and history do not matter, content does."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.state.digest import Digest, row_hash

rows = st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), max_size=8)


@given(rows, rows, st.integers())
def test_changing_rows_one_by_one_gives_the_digest_of_what_is_there(
    before: dict[bytes, bytes], after: dict[bytes, bytes], seed: int
) -> None:
    """Rows come, change and go in any order."""
    digest = Digest.of(before.items())
    keys = sorted(before.keys() | after.keys())
    random.Random(seed).shuffle(keys)
    for key in keys:
        old = row_hash(key, before[key]) if key in before else 0
        digest.replace(old, row_hash(key, after[key]) if key in after else 0)
    assert digest == Digest.of(after.items())
    assert Digest.from_bytes(digest.to_bytes()) == digest
    assert (digest == Digest.of(before.items())) == (before == after)


def test_where_the_key_ends_matters() -> None:
    """The same bytes, split elsewhere, are another row."""
    assert row_hash(b"ua", b"b") != row_hash(b"u", b"ab")


def test_nothing_has_the_digest_zero() -> None:
    """An empty partition, and one that became empty."""
    assert Digest.of([]).to_bytes() == bytes(16)
    assert repr(Digest()) == f"Digest({'0' * 32})"
