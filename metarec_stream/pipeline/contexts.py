"""The entries of an event's context that popularity is kept apart by, as buckets."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from metarec_stream.catalogue.popularity import NO_BUCKET
from metarec_stream.catalogue.settings import CONTEXT_SLOTS, CatalogueSettings
from metarec_stream.contract.interaction import Scalar
from metarec_stream.hashing import hash64

_REMEMBERED = 4_096
"""Values whose bucket is not reckoned again."""


class ContextBuckets:
    """The bucket of each slot: a function of the entry's name and value alone."""

    def __init__(self, settings: CatalogueSettings) -> None:
        self._names = settings.context
        self._buckets = settings.context_buckets
        self._unused = (NO_BUCKET,) * (CONTEXT_SLOTS - len(self._names))
        self._none = (NO_BUCKET,) * CONTEXT_SLOTS
        self._known: dict[tuple[str, Scalar, type], int] = {}

    def of(self, context: Mapping[str, Scalar] | None) -> tuple[int, ...]:
        """[context slots] NO_BUCKET where the context does not say."""
        if not context or not self._names:
            return self._none
        return (*(self._bucket(name, context.get(name)) for name in self._names), *self._unused)

    def _bucket(self, name: str, value: Scalar) -> int:
        if value is None:
            return NO_BUCKET
        known = self._known.get((name, value, type(value)))
        if known is None:
            text = msgspec.json.encode([name, value]).decode()
            known = hash64(text) % self._buckets
            if len(self._known) < _REMEMBERED:
                self._known[name, value, type(value)] = known
        return known
