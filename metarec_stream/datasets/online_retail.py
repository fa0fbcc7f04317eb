"""The bundled Online Retail purchases, as interactions and items.

Daqing Chen: Online Retail. UCI Machine Learning Repository, 2015. doi 10.24432/C5BW33, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item

FILE = Path(__file__).with_name("online_retail.parquet")
ROWS = 240_007
_SLICE = 5_000


def interactions(now_ms: int, limit: int | None = None) -> Iterator[Interaction]:
    """The first `limit` rows in order of time, the last of them happening at `now_ms`.

    An `event_id` names the row, so posting the same rows twice does not apply them twice.
    """
    rows = _rows(limit)
    if rows.is_empty():
        return
    shift = now_ms - 1_000 * int(rows["ts"][-1])
    events = rows.with_row_index("row").select(
        "row",
        _customer().alias("user"),
        "item",
        pl.when("cancel").then(pl.lit("cancel")).otherwise(pl.lit("purchase")).alias("type"),
        (pl.col("ts") * 1_000 + shift).alias("ts"),
        pl.col("qty").cast(pl.Float64).alias("value"),
    )
    for part in events.iter_slices(_SLICE):
        for row, user, item, kind, ts, value in part.iter_rows():
            yield Interaction(
                user=user, item=item, type=kind, ts=ts, value=value, event_id=f"online-retail-{row}"
            )


def items(limit: int | None = None) -> list[Item]:
    """The products of the first `limit` rows: title and price that most of their rows give."""
    rows = _rows(limit)
    named = pl.col("description").is_not_null()
    priced = pl.col("price") > 0
    products = rows.group_by("item", maintain_order=True).agg(
        pl.col("description").filter(named).mode(maintain_order=True).first().alias("title"),
        pl.col("price").filter(priced).mode(maintain_order=True).first(),
    )
    return [
        Item(item=item, title=title, price=price) for item, title, price in products.iter_rows()
    ]


def busiest_customer(limit: int | None = None) -> str:
    """The known customer with the most purchases among the first `limit` rows."""
    counts = (
        _rows(limit)
        .filter(pl.col("user").is_not_null() & ~pl.col("cancel"))
        .group_by("user")
        .len()
        .sort(["len", "user"], descending=[True, False])
    )
    return str(counts["user"][0])


def _rows(limit: int | None) -> pl.DataFrame:
    return pl.read_parquet(FILE, n_rows=limit)


def _customer() -> pl.Expr:
    """The user id: the customer number, or a guest of this invoice."""
    return pl.coalesce(
        pl.col("user").cast(pl.String), pl.concat_str(pl.lit("guest-"), pl.col("invoice"))
    )
