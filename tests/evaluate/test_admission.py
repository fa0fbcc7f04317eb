"""Rows as a producer would post them, and those that the service would reject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.codec import content_type_of, decode_map
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.admission import admit, posted
from metarec_stream.pipeline.settings import EventsSettings
from tests.evaluate.streams import table_of


def test_a_row_is_posted_with_all_it_has() -> None:
    """User as key; type and value where the row has them."""
    table = replace(
        table_of([("a", "x"), ("b", "y")], ["cart", None]), value=np.array([2.5, np.nan])
    )
    first, second = posted(table, 0, "topic"), posted(table, 1, "topic")
    assert (first.topic, first.partition, first.key) == ("topic", 0, b"a")
    assert first.value is not None
    assert second.value is not None
    message = decode_map(first.value, content_type_of(first.headers))
    assert message == {
        "user": "a", "item": "x", "type": "cart", "ts": int(table.ts[0]), "value": 2.5, "v": 1,
    }  # fmt: skip
    message = decode_map(second.value, content_type_of(second.headers))
    assert message["type"] == "click"
    assert "value" not in message


def test_rejected_rows_are_left_out_counted_and_said() -> None:
    """Control characters, an unknown type, an infinite value, and an erasure."""
    pairs = [("a", "x"), ("b\n", "x"), ("c", "y"), ("d", "z"), ("e", "x"), ("f", "w")]
    types = ["click", "click", "teleport", "click", "erase", "like"]
    values = np.array([1.0, 1.0, 1.0, np.inf, 1.0, 5.0])
    admitted = admit(replace(table_of(pairs, types), value=values), Settings())
    assert admitted.table.user == ["a", "f"]
    assert admitted.table.item == ["x", "w"]
    assert admitted.table.type == ["click", "like"]
    assert admitted.table.value is not None
    assert admitted.table.value.tolist() == [1.0, 5.0]
    assert admitted.table.ts.tolist() == [1_500_000_000_000, 1_500_000_300_000]
    assert "4 rows were rejected" in admitted.notes[0]


def test_configured_types_are_accepted() -> None:
    """A type of the settings is none to reject."""
    settings = Settings(events=EventsSettings(weights={"teleport": 2.0}))
    table = table_of([("a", "x")], ["teleport"])
    assert len(admit(table, settings).table) == 1
    with pytest.raises(Fatal, match="1 rows were rejected, most of them so: invalid: type"):
        admit(table, Settings())
