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
        """Move the fast weights along the steps; write the query [R, d] of each snapshot."""
        ...
