"""The value-sum adapter: its functions as one object that meets the protocol."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.protocol import FastWeights, Reranker, Steps
from metarec_stream.adapters.value_sum import online
from metarec_stream.adapters.value_sum.content import add_means
from metarec_stream.adapters.value_sum.online import ValueSumWeights
from metarec_stream.adapters.value_sum.parameters import (
    CONTENT,
    NAME,
    PROFILE,
    hashed_value,
    shape_in,
    version_zero,
)
from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.errors import Degraded
from metarec_stream.growth import grown


class ValueSum:
    """Learned value sums, the default adapter."""

    name = NAME

    def __init__(
        self, settings: ValueSumSettings, features: tuple[str, ...], situation: int
    ) -> None:
        self._settings = settings
        self._zero = version_zero(settings, features, situation)

    @property
    def dimensions(self) -> int:
        """D."""
        return self._settings.dimensions

    @property
    def window(self) -> int:
        """L."""
        return self._settings.window

    @property
    def fast_size(self) -> int:
        """S: the sums Z_h and the sums of their weights."""
        return self._settings.time_scales * (self._settings.dimensions + 1)

    def version_zero(self) -> MetaVersion:
        """The built-in slow weights."""
        return self._zero

    def start_vector(self, item: str) -> NDArray[np.float32]:
        """The value vector [d] of an item that the version does not know."""
        return hashed_value(item, self.dimensions)

    def slow_weights(
        self, version: MetaVersion, numbers: dict[str, int], start: NDArray[np.float32]
    ) -> ValueSumWeights:
        """The version's weights, tables laid out by local item number.

        `start` [N, d] are the value vectors of the items without the version; its length is the
        tables' capacity. Raises Degraded where the version does not fit.
        """
        self._check(version)
        given = version.parameters
        here = [(number, row) for row, item in enumerate(version.items)
                if (number := numbers.get(item)) is not None and number < len(start)]  # fmt: skip
        at = np.array([number for number, _ in here], np.int64)
        rows = np.array([row for _, row in here], np.int64)
        value = start.copy()
        embedding = np.zeros((self.dimensions, len(start)), np.float32)
        bias = np.zeros(len(start), np.float32)
        value[at] = given["value"][rows]
        taste = given["taste"]
        embedding[:, at] = (given["embedding"][rows] + taste * given["value"][rows]).T
        bias[at] = given["bias"][rows] + taste * given["prior"][rows]
        return ValueSumWeights(
            value=value,
            embedding=embedding,
            bias=bias,
            mixing=np.ascontiguousarray(given["mixing"]),
            start=np.ascontiguousarray(given["start"]),
            gain=np.ascontiguousarray(given["gain"]),
            step=1.0 / (1.0 + np.exp(-given["step_decay"].astype(np.float64))),
            agreement=np.ascontiguousarray(given["agreement"]),
            rate=np.exp(-given["log_time_scale"].astype(np.float64)) / 1000.0,
            theta=np.ascontiguousarray(given["theta"]),
            feature_step=np.exp(given["feature_step"]),
            feature_keep=(1 / (1 + np.exp(-given["feature_keep"]))).astype(np.float32),
            reranker=Reranker(
                *(np.ascontiguousarray(given[f"rerank_{name}"]) for name in Reranker._fields)
            ),
            temperature=np.exp(given["temperature"]),
            version=np.array([version.version], np.int64),
        )

    def place_item(
        self, slow: ValueSumWeights, number: int, start: NDArray[np.float32],
        version: MetaVersion, row: int | None,
    ) -> None:  # fmt: skip
        """Give a new local number its rows: the version's, or those of an unknown item."""
        given = version.parameters
        slow.value[number] = start if row is None else given["value"][row]
        slow.embedding[:, number] = 0.0
        slow.bias[number] = 0.0
        if row is not None:
            taste = given["taste"]
            slow.embedding[:, number] = given["embedding"][row] + taste * given["value"][row]
            slow.bias[number] = given["bias"][row] + (taste * given["prior"][row])[0]

    def values(self, slow: ValueSumWeights, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The value vectors [numbers, d] of these items."""
        return slow.value[numbers]

    def add_content(
        self,
        slow: ValueSumWeights,
        version: MetaVersion,
        numbers: NDArray[np.int64],
        tokens: NDArray[np.int16],
    ) -> None:
        """Add to the rows of items, just placed, what the version says of their tokens."""
        told = {table: version.parameters[name] for table, name in CONTENT.items()}
        add_means(slow.value, numbers, tokens, told["value"])
        add_means(slow.embedding.T, numbers, tokens, version.parameters["taste"] * told["value"])
        add_means(slow.embedding.T, numbers, tokens, told["embedding"])
        add_means(slow.bias, numbers, tokens, told["bias"])

    def profile_starts(
        self, version: MetaVersion, tokens: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        """What profiles of these tokens [n, K] add to the start [n, d] of their users' queries."""
        starts = np.zeros((len(tokens), self.dimensions), np.float32)
        add_means(starts, np.arange(len(tokens)), tokens, version.parameters[PROFILE])
        return starts

    def grow(self, slow: ValueSumWeights, capacity: int) -> ValueSumWeights:
        """The same weights with room for more items."""
        return slow._replace(
            value=grown(slow.value, capacity),
            embedding=grown(slow.embedding, capacity, axis=1),
            bias=grown(slow.bias, capacity),
        )

    def rebuild(
        self,
        slow: ValueSumWeights,
        fast: FastWeights,
        users: NDArray[np.int64],
        window: NDArray[np.int32],
        window_time: NDArray[np.int64],
        window_length: NDArray[np.int32],
    ) -> None:
        """Make the fast weights of some users from their windows [n, L]."""
        online.rebuild(slow, fast, users, window, window_time, window_length)

    def follow(
        self,
        slow: ValueSumWeights,
        fast: FastWeights,
        steps: Steps,
        snapshot_time: NDArray[np.int64],
        queries: NDArray[np.float32],
    ) -> None:
        """Move the fast weights along the steps; write the query [R, d] of each snapshot.

        On entry `queries` holds what the users' profiles add to the start, zeros for none.
        """
        online.follow(slow, fast, steps, snapshot_time, queries)

    def _check(self, version: MetaVersion) -> None:
        if version.adapter != NAME:
            raise Degraded(
                f"meta version {version.version} is for adapter {version.adapter!r}, "
                f"this process runs {NAME!r}: keep the live version; set both alike"
            )
        for name, expected in self._zero.parameters.items():
            shape = shape_in(version, name, expected)
            given = version.parameters.get(name)
            if given is None or given.shape != shape:
                raise Degraded(
                    f"meta version {version.version}: parameter {name!r} has shape "
                    f"{None if given is None else given.shape}, expected {shape}: keep the live "
                    "version; the learner's and the consumer's value_sum settings must be alike"
                )
            if not np.isfinite(given).all():
                raise Degraded(
                    f"meta version {version.version}: parameter {name!r} is not finite: keep the "
                    "live version; look at the learner's loss"
                )
