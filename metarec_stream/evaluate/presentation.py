"""An evaluation's result as a table for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from metarec_stream.evaluate.metrics import HIT_RATES, LIST_LENGTH

_MEASURES = ("mrr", *(f"hr@{k}" for k in HIT_RATES), f"ndcg@{LIST_LENGTH}")


def result_table(result: dict[str, Any]) -> Table:
    """One row a model, and one for each of its slices that has events."""
    dataset = result["dataset"]
    title = f"{dataset['events']:,} events, {dataset['users']:,} users, {dataset['items']:,} items"
    table = Table(title=title)
    table.add_column("model")
    for name in (*_MEASURES, f"coverage@{LIST_LENGTH}", "scored", "events/s"):
        table.add_column(name, justify="right")
    for model, found in result["models"].items():
        table.add_row(model, *_cells(found), f"{found['events_per_second']:,.0f}", style="bold")
        for name, slice_ in found["slices"].items():
            if slice_["scored"]:
                table.add_row(f"  {name.replace('_', ' ')}", *_cells(slice_), "")
    return table


def _cells(found: dict[str, Any]) -> list[str]:
    shares = (*_MEASURES, f"coverage@{LIST_LENGTH}")
    return [*(_share(found.get(name)) for name in shares), f"{found['scored']:,}"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
