"""The bundled purchases, as they are posted."""

from __future__ import annotations

from itertools import islice, pairwise

import polars as pl

from metarec_stream.datasets import online_retail

NOW = 1_800_000_000_000


def test_every_row_is_one_interaction_and_the_last_one_is_now() -> None:
    """All 240,007 rows come, in order of time, and the newest happens at the time asked for."""
    times = [event.ts or 0 for event in online_retail.interactions(NOW)]
    assert len(times) == online_retail.ROWS
    assert times[-1] == NOW
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_the_shift_is_that_of_the_rows_chosen() -> None:
    """With a limit the last row of the limit is now, and distances in time stay."""
    times = [event.ts or 0 for event in online_retail.interactions(NOW, limit=1_000)]
    seconds = pl.read_parquet(online_retail.FILE)["ts"][:1_000].to_list()
    assert times[-1] == NOW
    assert times[-1] - times[0] == 1_000 * (seconds[-1] - seconds[0])


def test_rows_become_the_contracts_interactions() -> None:
    """A purchase, a cancellation and a sale without a customer, against the raw rows."""
    raw = pl.read_parquet(online_retail.FILE).head(3_000)
    events = list(online_retail.interactions(NOW, limit=3_000))
    for row, event in zip(raw.iter_rows(named=True), events, strict=True):
        guest = f"guest-{row['invoice']}"
        assert event.user == (guest if row["user"] is None else str(row["user"]))
        assert event.type == ("cancel" if row["cancel"] else "purchase")
        assert (event.item, event.value) == (row["item"], row["qty"])
    assert {event.type for event in events} == {"cancel", "purchase"}
    assert any(event.user.startswith("guest-") for event in events)


def test_event_ids_name_the_rows() -> None:
    """Ids are distinct, and the same whatever the limit and the time of posting."""
    few = [event.event_id for event in online_retail.interactions(NOW, limit=500)]
    many = [event.event_id for event in islice(online_retail.interactions(NOW + 5), 500)]
    assert few == many
    assert len(set(few)) == 500


def test_products_have_the_name_that_most_rows_give() -> None:
    """A row that calls a product `?` does not name it; every product of the rows is there."""
    products = {item.item: item for item in online_retail.items()}
    assert len(products) == 3_645
    assert products["85123A"].title == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert products["85123A"].price == 2.95
    assert len(online_retail.items(limit=10)) == 10


def test_the_busiest_customer_is_a_known_one() -> None:
    """Guests buy more in total, and are not it."""
    assert online_retail.busiest_customer(60_000) == "12748"


def test_no_rows() -> None:
    """A limit of 0 posts nothing."""
    assert list(online_retail.interactions(NOW, limit=0)) == []
