"""Rows of users: given out, kept while they grow, and free again with their partition."""

from __future__ import annotations

import numpy as np

from metarec_stream.state.rings import insert
from metarec_stream.state.users import Users

WEIGHTS = np.ones(1, np.float32)


def test_a_user_keeps_the_row_and_its_ring_while_rows_grow() -> None:
    """Room doubles without losing what is there."""
    users = Users(ring=4)
    users.assign(0)
    row = users.row(0, "first")
    insert(users.rings, row, 7, 0, 1.0, 11, 0, 0, WEIGHTS)
    others = {users.row(0, f"user{number}") for number in range(3_000)}
    assert users.row(0, "first") == row
    assert row not in others
    assert len(others) == 3_000
    assert int(users.rings.item[row, 0]) == 7
    assert len(users) == 3_001


def test_a_dropped_partition_frees_its_rows_empty() -> None:
    """Only that partition's users go; a row that comes back is empty."""
    users = Users(ring=4)
    users.assign(0)
    users.assign(1)
    kept, dropped = users.row(0, "same"), users.row(1, "same")
    assert kept != dropped
    insert(users.rings, dropped, 7, 0, 1.0, 11, 0, 0, WEIGHTS)
    assert users.drop(1) == [dropped]
    users.assign(1)
    assert users.find(1, "same") is None
    assert users.row(1, "new") == dropped
    assert int(users.rings.length[dropped]) == 0
    assert int(users.rings.wanted[dropped]) == 0
    assert users.find(0, "same") == kept


def test_a_row_that_is_free_again_has_the_marks_of_a_new_one() -> None:
    """Nothing of its last user is taken for the next one's: partition, offset, hash, disk."""
    users = Users(ring=4)
    users.assign(0)
    new, row = users.row(0, "new"), users.row(0, "gone")
    numbers = np.array([row])
    users.put_hashes(numbers, [(1 << 100) + 1])
    for column in (users.marks.upto, users.marks.dirty, users.marks.stored):
        column[row] = 1
    users.remove([row])
    assert users.row(0, "next") == row
    for name in ("partition", "upto", "dirty", "hash", "stored"):
        column = getattr(users.marks, name)
        assert np.array_equal(column[row], column[new]), name
