"""The features x of an item for a user, and the situation c of a user: names and order.

The score is s(i) = q·E_i + b_i + Σ_f x_f(i)·(θ_f·c + δ_f), δ the user's own weights.
Tasks and versions carry both by position, so the order here is part of what a meta version means.
"""

from __future__ import annotations

from metarec_stream.catalogue.settings import CONTEXT_SLOTS

POPULARITY_HALF_LIVES = (50.0, 500.0, 5_000.0, 50_000.0)
"""Half-lives of the decayed counts, in accepted events."""

DENSE = (
    *(f"popularity_{int(half_life)}" for half_life in POPULARITY_HALF_LIVES),
    "total_count",
    "events_since_last",
    "seconds_since_last",
    "seconds_since_first",
    *(f"popularity_in_context_{slot}" for slot in range(1, CONTEXT_SLOTS + 1)),
)
"""Features that every item has."""

RING = (
    "in_ring",
    "recency_rank",
    "latest",
    "second_latest",
    "third_latest",
    "fourth_latest",
    "gap",
    "gap_beyond_minute",
    "gap_beyond_hour",
    "gap_beyond_day",
    "ring_count",
    "ring_share",
    "nobody_else_since",
    "latest_and_nobody_else",
    "latest_gap",
    "same_second",
    "own_transition_from_latest",
    "own_transition_from_older",
    "own_transition_soon",
)
"""Features of the items in the user's ring."""

RELATED = (
    "transition_from_latest",
    "transition_from_second",
    "transition_from_older",
    "transition_count",
    "cooccurrence_weighted",
    "cooccurrence_sum",
    "cooccurrence_steep",
    "transition_to_owned",
    "wide_cooccurrence_sum",
    "wide_cooccurrence_mean",
    "cooccurrence_with_latest",
    "cooccurrence_with_second",
    "recent_transition_from_latest",
    "recent_transition_from_second",
    "cooccurrence_in_histories_alike",
)
"""Features of the items that followed or accompanied those in the ring.

After a change of taste the two newest items tell of the new one and all others of the old: what
goes with them is told apart from what goes with the whole window. The last one looks at users in
place of pairs of items: the share of those most like this one who had the item.
"""

FEATURES = (*DENSE, *RING, *RELATED)

SITUATION = (
    "one",
    "log_events",
    "first_event",
    "second_event",
    "log_gap",
    "log_gap_hinge",
    "repeats_fast",
    "repeats_slow",
)
"""The user's situation: what the weights of the features depend on."""
