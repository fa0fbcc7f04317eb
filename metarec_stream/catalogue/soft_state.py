"""The soft state of a process, with its growth as items come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metarec_stream.catalogue.histories import Histories, empty_histories, forget_histories
from metarec_stream.catalogue.items import Availability, Items
from metarec_stream.catalogue.neighbours import Relations, empty_relations
from metarec_stream.catalogue.popularity import NEVER, Popularity, empty_popularity
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.growth import grown, grown_rows


class Soft(NamedTuple):
    """The soft state as compiled code takes it."""

    popularity: Popularity
    relations: Relations
    histories: Histories
    availability: Availability


class SoftState:
    """Items, their popularity and their relations; approximate by contract."""

    def __init__(self, settings: CatalogueSettings, half_lives: tuple[float, ...]) -> None:
        self.items = Items()
        capacity = self.items.capacity
        self._popularity = empty_popularity(
            capacity, half_lives, len(settings.context), settings.context_buckets
        )
        self._relations = empty_relations(capacity, settings.neighbours, settings.half_life_events)
        self._histories = empty_histories(capacity)

    def arrays(self) -> Soft:
        """All of it, with room for every item numbered so far."""
        capacity = self.items.capacity
        if capacity > len(self._popularity.total):
            self._popularity = _grown_popularity(self._popularity, capacity)
            self._relations = _grown_relations(self._relations, capacity)
            self._histories = self._histories._replace(
                holder=grown(self._histories.holder, capacity),
                held=grown(self._histories.held, capacity),
            )
        return Soft(self._popularity, self._relations, self._histories, self.items.availability)

    def forget(self, users: list[int]) -> None:
        """What is kept of single users goes for these rows."""
        forget_histories(self._histories, np.array(users, np.int64))


def _grown_relations(relations: Relations, capacity: int) -> Relations:
    return relations._replace(
        transitions=grown_rows(relations.transitions, capacity),
        cooccurrence=grown_rows(relations.cooccurrence, capacity),
        wide_cooccurrence=grown_rows(relations.wide_cooccurrence, capacity),
        recent_transitions=grown_rows(relations.recent_transitions, capacity),
    )


def _grown_popularity(popularity: Popularity, capacity: int) -> Popularity:
    return popularity._replace(
        counts=grown(popularity.counts, capacity, axis=1),
        bucket_counts=grown(popularity.bucket_counts, capacity, axis=2),
        total=grown(popularity.total, capacity),
        last_event=grown(popularity.last_event, capacity, NEVER),
        last_time=grown(popularity.last_time, capacity, NEVER),
        first_time=grown(popularity.first_time, capacity, NEVER),
        last_user=grown(popularity.last_user, capacity, -1),
    )
