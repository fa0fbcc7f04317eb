"""The live meta version, laid out by this process's item numbers, and the users' fast weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import FastWeights, OnlineAdapter, Slow, Steps
from metarec_stream.catalogue.content import TokenRows
from metarec_stream.catalogue.items import Items
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.growth import grown
from metarec_stream.pipeline.adapt import windows_of
from metarec_stream.pipeline.feature_weights import FeatureWeights, no_feature_weights
from metarec_stream.pipeline.features import FEATURES
from metarec_stream.state.rings import Rings


@dataclass(slots=True)
class PreparedVersion(Generic[Slow]):
    """A meta version laid out for the items numbered before its preparation."""

    version: MetaVersion
    slow: Slow
    rows: dict[str, int]
    """Row of each item in the version's tables."""
    items: int
    """Items that are laid out; later ones are placed at the swap."""
    contents: int = 0
    """Changes of contents that it knows; items whose content changed later are placed likewise."""


class LiveVersion(Generic[Slow]):
    """What ranks now: slow weights for every item numbered, and fast weights of the users."""

    def __init__(self, adapter: OnlineAdapter[Slow], items: Items, users: int) -> None:
        self._adapter = adapter
        self._items = items
        self._start = np.zeros((items.capacity, adapter.dimensions), np.float32)
        self._started = 0
        self._content = TokenRows()
        self._contents = 0
        self._changed = np.zeros(0, np.int64)
        self._fast = FastWeights(
            values=np.zeros((users, adapter.fast_size), np.float32),
            time=np.zeros(users, np.int64),
            version=np.full(users, -1, np.int64),
        )
        self._own = no_feature_weights(users, len(FEATURES))
        self._live = self.prepare(adapter.version_zero())

    @property
    def version(self) -> MetaVersion:
        """The version that ranks."""
        return self._live.version

    @property
    def slow(self) -> Slow:
        """Its weights by local item number, for all items numbered at the last `follow_items`."""
        return self._live.slow

    @property
    def fast(self) -> FastWeights:
        """The users' fast weights, as far as they were touched."""
        return self._fast

    @property
    def own(self) -> FeatureWeights:
        """The users' own weights of the features; they outlive a swap."""
        return self._own

    def prepare(self, version: MetaVersion) -> PreparedVersion[Slow]:
        """Lay a version out; may run on another thread than the rest.

        Raises Degraded where it does not fit.
        """
        placed, contents = self._started, self._contents
        start = self._start
        slow = self._adapter.slow_weights(version, self._items.numbers, start)
        self._add_content(slow, version, np.arange(min(placed, len(self._content))))
        rows = {item: row for row, item in enumerate(version.items)}
        return PreparedVersion(version, slow, rows, placed, contents)

    def swap(self, prepared: PreparedVersion[Slow]) -> None:
        """Rank with this version from now on; fast weights follow at their users' next touch."""
        self._live = prepared
        self._place(np.flatnonzero(self._changed[: prepared.items] > prepared.contents))
        self.follow_items()

    def follow_items(self) -> None:
        """Make room and place vectors for items numbered since the last call."""
        ids = self._items.ids
        if self._items.capacity > len(self._start):
            self._start = grown(self._start, self._items.capacity)
        while self._started < len(ids):
            self._start[self._started] = self._adapter.start_vector(ids[self._started])
            self._started += 1
        live = self._live
        if len(live.slow.bias) < len(self._start):
            live.slow = self._adapter.grow(live.slow, len(self._start))
        self._place(np.arange(live.items, len(ids)))
        live.items = len(ids)

    def put_content(
        self, numbers: NDArray[np.int64], tokens: NDArray[np.int16], new_from: int
    ) -> None:
        """Distinct items have these tokens [numbers, MOST_TOKENS] from now on.

        Where that changes the values of items that windows may hold, those with numbers below
        `new_from`, the fast weights of all users are made anew at their next touch.
        """
        self.follow_items()
        changed = numbers[self._content.put(numbers, tokens)]
        if len(changed) == 0:
            return
        if len(self._changed) < self._items.capacity:
            self._changed = grown(self._changed, self._items.capacity)
        self._contents += 1
        self._changed[changed] = self._contents
        before = self._adapter.values(self.slow, changed)
        self._place(changed)
        other = (before != self._adapter.values(self.slow, changed)).any(1)
        if (changed[other] < new_from).any():
            self._fast.version[:] = -1

    def content_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int16]:
        """The tokens [numbers, K] of items, -1 pads; K is 0 where nothing has any."""
        return self._content.of(numbers)

    def _place(self, numbers: NDArray[np.int64]) -> None:
        """Give items their rows in the live version's tables."""
        live, ids = self._live, self._items.ids
        for number in numbers.tolist():
            row = live.rows.get(ids[number])
            self._adapter.place_item(live.slow, number, self._start[number], live.version, row)
        self._add_content(live.slow, live.version, numbers)

    def _add_content(self, slow: Slow, version: MetaVersion, numbers: NDArray[np.int64]) -> None:
        if len(self._content) and len(numbers):
            self._adapter.add_content(slow, version, numbers, self._content.of(numbers))

    def forget(self, users: list[int]) -> None:
        """These rows have no fast weights any more."""
        users = [user for user in users if user < len(self._fast.version)]
        self._fast.version[users] = -1
        for weights in (self._fast.values, self._fast.time, *self._own):
            weights[users] = 0

    def distrust(self, users: NDArray[np.int64]) -> None:
        """The rings of these rows changed behind their fast weights: rebuilt at the next touch."""
        self._fast.version[users[users < len(self._fast.version)]] = -1

    def make_room(self, users: int) -> None:
        """For so many rows of users."""
        if users > len(self._fast.time):
            self._fast = FastWeights(
                values=grown(self._fast.values, users),
                time=grown(self._fast.time, users),
                version=grown(self._fast.version, users, -1),
            )
            self._own = FeatureWeights(*(grown(weights, users) for weights in self._own))

    def refresh(self, users: NDArray[np.int64], rings: Rings, weights: NDArray[np.float32]) -> None:
        """Rebuild, from their rings, the fast weights that another version made."""
        touched = np.unique(users)
        stale = touched[self._fast.version[touched] != self.version.version]
        if len(stale) == 0:
            return
        windows = windows_of(rings, stale, weights, self._adapter.window)
        self._adapter.rebuild(self.slow, self._fast, stale, *windows)

    def follow(
        self, steps: Steps, snapshot_time: NDArray[np.int64], profiles: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        """Move the fast weights along the steps; the query [R, d] of each snapshot.

        profiles: [steps, K] tokens of the users' profiles, -1 pads.
        """
        queries = np.zeros((len(snapshot_time), self._adapter.dimensions), np.float32)
        if profiles.shape[1]:
            starts = self._adapter.profile_starts(self.version, profiles)
            for taken in (steps.before, steps.after):
                queries[taken[taken >= 0]] = starts[taken >= 0]
        self._adapter.follow(self.slow, self._fast, steps, snapshot_time, queries)
        return queries
