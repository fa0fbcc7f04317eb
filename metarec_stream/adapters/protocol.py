"""What an adapter is: one way of turning a user's interactions into fast weights and a query.

An adapter's online half is compiled functions over arrays with explicit state, so that the
consumer's process needs no torch; its outer half, in a file beside it, trains the slow weights.

Letters: U users, S fast weights a user, n events, R snapshots, L window, N items (capacity),
d dimensions, F features, C situation.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.meta_version import MetaVersion

NOTHING, REFRESH, PUSH, REBUILD = 0, 1, 2, 3
"""What an event does to the window: nothing; its newest item again, now; a new newest item;
or a change that is easiest followed by going through the window anew."""


RERANK_SCORE_SCALE, RERANK_SCORE_LIMIT = 0.25, 20.0
"""The score is an input of the re-ranker, cut to ± the limit, times the scale."""


class FastWeights(NamedTuple):
    """The fast weights of all users: derived state, a function of (ring, meta version)."""

    values: NDArray[np.float32]
    """[U, S]."""
    time: NDArray[np.int64]
    """[U] the event time, in milliseconds, as of which the values are."""
    version: NDArray[np.int64]
    """[U] the meta version that they were made with; -1: not made yet."""


class Steps(NamedTuple):
    """What each event of a batch did, in order."""

    user: NDArray[np.int64]
    """[n] row of the user."""
    item: NDArray[np.int32]
    """[n] the event's item."""
    time: NDArray[np.int64]
    """[n] event time, milliseconds."""
    change: NDArray[np.int8]
    """[n] NOTHING, REFRESH, PUSH or REBUILD."""
    leaving: NDArray[np.int32]
    """[n] item that a PUSH moved out of the window; -1 for none."""
    leaving_time: NDArray[np.int64]
    """[n] its time, milliseconds."""
    window: NDArray[np.int32]
    """[n, L] the window after the event, newest first."""
    window_time: NDArray[np.int64]
    """[n, L]."""
    window_length: NDArray[np.int32]
    """[n]."""
    before: NDArray[np.int32]
    """[n] snapshot to be taken before the event; -1 for none."""
    after: NDArray[np.int32]
    """[n] snapshot to be taken after it; -1 for none."""


class Reranker(NamedTuple):
    """A small network over the strongest candidates; what it says is added to their scores.

    Letters: I inputs (features, score, situation), R hidden units.
    """

    first: NDArray[np.float32]
    """[I, R]."""
    first_bias: NDArray[np.float32]
    """[R]."""
    second: NDArray[np.float32]
    """[R, R]."""
    second_bias: NDArray[np.float32]
    """[R]."""
    last: NDArray[np.float32]
    """[R]."""
    share: NDArray[np.float32]
    """[1] how much of it is added: what was best on events before they were learned."""


class SlowWeights(Protocol):
    """Slow weights laid out for ranking: at least what every adapter's scores are made of."""

    @property
    def embedding(self) -> NDArray[np.float32]:
        """[d, N] what the query is multiplied with; by axis, so that one goes through all items."""
        ...

    @property
    def bias(self) -> NDArray[np.float32]:
        """[N]."""
        ...

    @property
    def theta(self) -> NDArray[np.float32]:
        """[F, C] weights of the features by situation."""
        ...

    @property
    def feature_step(self) -> NDArray[np.float32]:
        """[F] α: how far an event moves a user's own weight of each feature."""
        ...

    @property
    def feature_keep(self) -> NDArray[np.float32]:
        """[F] ρ: what is kept of that weight at each event."""
        ...

    @property
    def reranker(self) -> Reranker: ...

    @property
    def temperature(self) -> NDArray[np.float32]:
        """[1] what scores are divided by before their softmax gives probabilities."""
        ...


Slow = TypeVar("Slow", bound=SlowWeights)


class OnlineAdapter(Protocol[Slow]):
    """The online half. Deterministic; state is handed in and moved in place."""

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int:
        """d: length of a query."""
        ...

    @property
    def window(self) -> int:
        """L: length of the window that the fast weights depend on."""
        ...

    @property
    def fast_size(self) -> int:
        """S: fast weights of a user."""
        ...

    def version_zero(self) -> MetaVersion:
        """The built-in slow weights."""
        ...

    def start_vector(self, item: str) -> NDArray[np.float32]:
        """The vector [d] of an item that the version does not know."""
        ...

    def slow_weights(
        self, version: MetaVersion, numbers: dict[str, int], start: NDArray[np.float32]
    ) -> Slow:
        """The version's weights, tables laid out by local item number, as long as `start` [N, d].

        Raises Degraded where the version does not fit this adapter.
        """
        ...

    def place_item(
        self,
        slow: Slow,
        number: int,
        start: NDArray[np.float32],
        version: MetaVersion,
        row: int | None,
    ) -> None:
        """Give a new local number its rows: the version's, or those of an unknown item."""
        ...

    def values(self, slow: Slow, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the fast weights are made of, for these items [numbers, …]; a copy."""
        ...

    def add_content(
        self,
        slow: Slow,
        version: MetaVersion,
        numbers: NDArray[np.int64],
        tokens: NDArray[np.int16],
    ) -> None:
        """Add to the rows of distinct items, just placed, what the version says of their tokens.

        tokens: [numbers, K], -1 pads.
        """
        ...

    def profile_starts(
        self, version: MetaVersion, tokens: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        """What profiles of these tokens [n, K] add to the start [n, d] of their users' queries."""
        ...

    def grow(self, slow: Slow, capacity: int) -> Slow:
        """The same weights with room for more items."""
        ...

    def rebuild(
        self,
        slow: Slow,
        fast: FastWeights,
        users: NDArray[np.int64],
        window: NDArray[np.int32],
        window_time: NDArray[np.int64],
        window_length: NDArray[np.int32],
    ) -> None:
        """Make the fast weights of some users from their windows [n, L]."""
        ...

    def follow(
        self,
        slow: Slow,
        fast: FastWeights,
        steps: Steps,
        snapshot_time: NDArray[np.int64],
        queries: NDArray[np.float32],
    ) -> None:
        """Move the fast weights along the steps; write the query [R, d] of each snapshot.

        On entry `queries` holds what the users' profiles add to the start, zeros for none.
        """
        ...
