"""Buckets of an event's context."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.catalogue.popularity import NO_BUCKET
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.pipeline.contexts import ContextBuckets

SCALARS = st.one_of(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.booleans())


@given(value=SCALARS, other=SCALARS)
def test_a_bucket_is_a_function_of_name_and_value(
    value: str | int | bool, other: str | int | bool
) -> None:
    """Whatever was asked before, and however else the context looks; it is within the buckets."""
    settings = CatalogueSettings(context=("region", "device"), context_buckets=8)
    fresh, used = ContextBuckets(settings), ContextBuckets(settings)
    used.of({"region": other, "device": value})
    context = {"region": value, "hour": other}
    assert fresh.of(context) == used.of(context)
    region, device, *unused = fresh.of(context)
    assert 0 <= region < 8
    assert [device, *unused] == [NO_BUCKET] * 3


def test_one_and_true_are_two_values() -> None:
    """Python holds them equal; JSON does not, and neither do the buckets."""
    buckets = ContextBuckets(CatalogueSettings(context=("flag",), context_buckets=1_024))
    assert buckets.of({"flag": 1})[0] != buckets.of({"flag": True})[0]


def test_without_names_nothing_is_kept_apart() -> None:
    """Contexts are then what they were before: stored, not counted."""
    assert set(ContextBuckets(CatalogueSettings()).of({"region": "north"})) == {NO_BUCKET}
    named = ContextBuckets(CatalogueSettings(context=("region",)))
    assert set(named.of(None)) == {NO_BUCKET}
