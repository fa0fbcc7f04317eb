"""The recommender: everything that a process remembers, and what records do to it.

Does no input or output. Hard state (guards, rings) is a function of the partitions' records;
fast weights follow from the rings and the meta version; soft state is approximate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from metarec_stream.adapters.protocol import NOTHING
from metarec_stream.adapters.value_sum.adapter import ValueSum
from metarec_stream.adapters.value_sum.online import ValueSumWeights
from metarec_stream.catalogue.content import item_tokens
from metarec_stream.catalogue.settings import CONTEXT_SLOTS
from metarec_stream.catalogue.soft_state import SoftState
from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.codec import encode_interaction
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.transport import Record
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.ablation import FAST_WEIGHTS, OWN_WEIGHTS, RERANKER, kept_features
from metarec_stream.pipeline.accept import Accepted, Admission
from metarec_stream.pipeline.adapt import (
    Adapted,
    Events,
    adapt_events,
    empty_steps,
    empty_trail,
    picked,
)
from metarec_stream.pipeline.announced import announced_items, announced_profiles
from metarec_stream.pipeline.answer import empty_lists
from metarec_stream.pipeline.cold_users import ColdUsers, most_in_memory
from metarec_stream.pipeline.erasure import forget_erased, receipts_of, rows_of
from metarec_stream.pipeline.event_weights import EventWeights
from metarec_stream.pipeline.features import FEATURES, POPULARITY_HALF_LIVES, SITUATION
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.live_version import LiveVersion, PreparedVersion
from metarec_stream.pipeline.observations import observations_of
from metarec_stream.pipeline.observe import empty_observed
from metarec_stream.pipeline.outcomes import OutcomeMetrics
from metarec_stream.pipeline.prequential import PrequentialMetrics
from metarec_stream.pipeline.profiles import Profiles
from metarec_stream.pipeline.publish import Known, recommendations, task_blocks
from metarec_stream.pipeline.rank import Ranked, Room, Weights, empty_room, rank_events
from metarec_stream.pipeline.read_rows import RowReader
from metarec_stream.pipeline.recall import recall
from metarec_stream.pipeline.restore import Restore
from metarec_stream.pipeline.restored_rows import restored_rows
from metarec_stream.pipeline.results import BatchResult
from metarec_stream.pipeline.sampling import answered_events, draw_seeds, sampled_events
from metarec_stream.pipeline.seen import SeenItems, nothing_seen
from metarec_stream.pipeline.slates import Slates, no_slates
from metarec_stream.pipeline.snapshots import empty_snapshots
from metarec_stream.pipeline.together import asked_then_applied, of_the_events
from metarec_stream.state.row_store import RowStore
from metarec_stream.state.users import Users


@dataclass(frozen=True, slots=True)
class RankProtocol:
    """How sampled events are ranked before they are applied."""

    lists: bool = False
    """Whether the list that would have been shown is kept."""
    negatives: int = 0
    """If above 0, the event's item is ranked among so many candidates drawn at random."""
    slates: Slates | None = None
    """If given, events are ranked among the items of their own list."""
    together: bool = False
    """Whether all events of one time in a batch are ranked before any of them is applied."""
    without: frozenset[str] = frozenset()
    """What is left out of the recommender, of `ablation.PARTS`."""


EVERY_CANDIDATE = RankProtocol()
Prepared = PreparedVersion[ValueSumWeights]
"""A version laid out for the adapter that this recommender runs."""


class Recommender:
    """All state of a consumer's partitions, and the steps from records to outputs."""

    def __init__(
        self,
        settings: Settings,
        metrics: ConsumerMetrics,
        clock: Clock,
        *,
        seen: SeenItems | None = None,
        protocol: RankProtocol = EVERY_CANDIDATE,
        store: RowStore | None = None,
    ) -> None:
        """`store`: where users beyond `state.max_hot_users` or `max_hot_bytes` are kept."""
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._seen = seen
        self._protocol = protocol
        self._prequential = PrequentialMetrics(metrics)
        self._outcomes = OutcomeMetrics(metrics, settings)
        self._weights = EventWeights(settings.events)
        self._unwanted_kind = len(self._weights.of_kind)
        self._weights_and_unwanted = np.append(self._weights.of_kind, np.float32(0))
        self._users = Users(settings.state.ring)
        self.hard = HardState(settings, self._users, self._distrust)
        self._admission = Admission(settings, self.hard.guards)
        self._profiles = Profiles(settings.value_sum.profile_buckets)
        self._soft = SoftState(settings.catalogue, POPULARITY_HALF_LIVES)
        self._adapter = ValueSum(settings.value_sum, FEATURES, len(SITUATION))
        self._live = LiveVersion(self._adapter, self._soft.items, self._users.capacity)
        self._rows = RowReader(settings, self._users, self._soft.items)
        most = most_in_memory(settings.state, self._users.row_nbytes)
        if store is not None and most is not None:
            self.hard.cold = ColdUsers(
                self.hard, store, self._rows, self.items, metrics, most, self._forget
            )
        self._room = self._room_for(self._soft.items.capacity)
        self._counted: dict[int, int] = {}
        self.input_partitions: int | None = None
        """Partitions of the input topic, where known: to count records in the wrong one."""

    @property
    def meta_version(self) -> int:
        """Version that ranks."""
        return self._live.version.version

    @property
    def items(self) -> list[str]:
        """Item ids by local number."""
        return self._soft.items.ids

    @property
    def users(self) -> Users:
        """The hard state of all users."""
        return self._users

    def warm_up(self) -> None:
        """Compile, or load from the cache, everything that a batch runs; leaves no trace."""
        metrics = ConsumerMetrics(CollectorRegistry())
        trial = Recommender(self._settings, metrics, self._clock, protocol=self._protocol)
        trial.assign(0)
        records = []
        for offset, item in enumerate("abab"):
            value, headers = encode_interaction(Interaction(user="user", item=item, ts=offset))
            records.append(MemoryRecord("", 0, offset, 0, None, value, headers))
        trial.process(records[:3])
        trial.swap(trial.prepare(self._adapter.version_zero()))
        trial.replay(records[3:])
        trial.recall(0)

    def assign(self, partition: int) -> None:
        """Start a partition with empty state."""
        self.hard.assign(partition)

    def drop(self, partition: int) -> None:
        """Forget a partition: its users, their fast weights, its guard."""
        self._forget(self.hard.drop(partition))

    def process(self, records: Sequence[Record]) -> BatchResult:
        """Learn and rank the records, in order; what has to be sent is in the result."""
        started = self._clock.monotonic()
        decoded = self._admission.decode(records)
        started = self._lap("decode", started)
        accepted = self._admission.admit(records, decoded, self.input_partitions, self._counted)
        self._outcomes.count(accepted)
        started = self._lap("guard", started)
        seeds = draw_seeds(self._settings.seed, accepted.partitions, accepted.offsets)
        fresh = self._uncounted(accepted)
        events = self._events(
            accepted, seeds, fresh & sampled_events(seeds, self._settings),
            answered_events(accepted, self._settings),
        )  # fmt: skip
        origin = np.arange(len(accepted))
        if self._protocol.together:
            events, origin = asked_then_applied(events)
        adapted = self._adapt(events)
        started = self._lap("adapt", started)
        counting = self._counting_once(events, fresh[origin])
        ranked = self._rank(counting, adapted, self._slates(accepted, origin))
        result = self._result(records, accepted, events, adapted, ranked, origin)
        self._note_counted(records)
        forget_erased(self.hard, self._profiles)
        self._lap("rank", started)
        self._prequential.count(result.observations)
        return result

    def replay(self, records: Sequence[Record]) -> None:
        """Move the state along records that were answered before; nothing is ranked or counted."""
        decoded = self._admission.decode(records)
        accepted = self._admission.admit(records, decoded, None, self._counted)
        nothing = np.zeros(len(accepted), np.bool_)
        events = self._events(accepted, np.zeros(len(accepted), np.uint64), nothing, nothing)
        adapted = self._adapt(events)
        fresh = self._uncounted(accepted)
        if fresh.any():
            self._rank(picked(events, fresh), adapted.of(fresh), no_slates())
        self._note_counted(records)
        self.hard.replayed()

    @property
    def has_soft_state(self) -> bool:
        """Whether it has ever counted an event."""
        return bool(self._counted)

    def note_counted(self, partition: int, offset: int) -> None:
        """The soft state holds the partition's records below this offset; 0 forgets that."""
        if offset == 0:
            self._counted.pop(partition, None)
        else:
            self._counted[partition] = max(offset, self._counted.get(partition, 0))

    def restore(self, partition: int) -> Restore:
        """What fills an empty partition from its changelog."""
        rows = restored_rows(self.hard, self._rows, partition)
        return Restore(self.hard, rows, partition)

    def recall(self, partition: int) -> None:
        """The newest users of a partition that was restored are found by those alike again."""
        rings, weights = self._users.rings, self._weights.of_kind
        recall(self._soft.arrays().histories, rings, self._users.rows(partition), weights)

    def apply_items(self, records: Sequence[Record]) -> None:
        """Announce and delete items as records of the items topic say; bad ones are counted.

        The content of a deleted item stays: it tells of those who had to do with the item.
        """
        most, items = self._settings.guard.max_id_bytes, self._soft.items
        new_from = len(items)
        content: dict[int, NDArray[np.int16]] = {}
        for key, item in announced_items(records, most, self._metrics.rejected_items):
            if item is None:
                items.delete(key)
                continue
            items.announce([key])
            buckets = self._settings.value_sum.content_buckets
            content[items.number(key)] = item_tokens(item, buckets)
        if content:
            numbers = np.fromiter(content, np.int64, len(content))
            self._live.put_content(numbers, np.stack(list(content.values())), new_from)

    def apply_profiles(self, records: Sequence[Record]) -> None:
        """Take up users' attributes as records of the users topic say; bad ones are counted."""
        most = self._settings.guard.max_id_bytes
        for user, profile in announced_profiles(records, most, self._metrics.rejected_profiles):
            self._profiles.put(user, profile.attributes if profile else {})

    def announce(self, items: Sequence[str]) -> None:
        """These items may be recommended from now on."""
        self._soft.items.announce(items)
        self._live.follow_items()

    def prepare(self, version: MetaVersion) -> Prepared:
        """Lay a version out for a swap; may run on another thread than the rest.

        Raises Degraded where it does not fit.
        """
        return self._live.prepare(version)

    def swap(self, prepared: Prepared) -> None:
        """Rank with this version from the next batch on."""
        self._live.swap(prepared)
        self._metrics.swaps.inc()
        self.export()

    def export(self) -> None:
        """Bring the gauges of state up to date."""
        version = self._live.version
        self._metrics.meta_version.set(version.version)
        self._metrics.meta_version_created.set(version.created_ms / 1e3)
        self._metrics.users.set(len(self._users))
        self._metrics.state_bytes.set(self._users.nbytes())
        self.hard.cold.export()
        self._metrics.items.set(int(self._soft.items.availability.available[0]))

    def _events(
        self,
        accepted: Accepted,
        seeds: NDArray[np.uint64],
        sampled: NDArray[np.bool_],
        answered: NDArray[np.bool_],
    ) -> Events:
        """The accepted events in arrays; users and items get their numbers."""
        users = rows_of(accepted, self.hard)
        items = [self._soft.items.number(item) for item in accepted.items]
        self._live.follow_items()
        self._profiles.place(users, accepted.users)
        return Events(
            user=np.array(users, np.int64),
            item=np.array(items, np.int32),
            kind=np.array(accepted.kinds, np.int8),
            value=np.array(accepted.values, np.float64),
            time=np.array(accepted.times, np.int64),
            context=np.array(accepted.contexts, np.uint32),
            buckets=np.array(accepted.buckets, np.int16).reshape(-1, CONTEXT_SLOTS),
            event=np.array(accepted.event_ids, np.uint64),
            sampled=sampled,
            answered=answered,
            applied=self.hard.touch(np.array(users, np.int64), accepted.offsets),
            seed=seeds,
        )

    def _adapt(self, events: Events) -> Adapted:
        """Events into the rings, fast weights along with them."""
        self._make_room()
        rings = self._users.rings
        self._live.make_room(len(rings.length))
        if FAST_WEIGHTS not in self._protocol.without:
            self._live.refresh(events.user, rings, self._weights.of_kind)
        room = int(events.sampled.sum() + events.answered.sum())
        snapshots = empty_snapshots(room, self._settings.state.ring, self._adapter.window)
        steps = empty_steps(events, self._adapter.window)
        trail = empty_trail(len(events.user))
        adapt_events(
            events, rings, self._weights.of_kind, self._room.scratch.mark, steps, trail,
            snapshots,
        )  # fmt: skip
        if FAST_WEIGHTS in self._protocol.without:
            steps.change[:] = NOTHING
            snapshots.window[:] = -1
        profiles = self._profiles.of(events.user)
        queries = self._live.follow(steps, snapshots.time, profiles)
        return Adapted(steps, trail, snapshots, queries)

    def _slates(self, accepted: Accepted, origin: NDArray[np.int64]) -> NDArray[np.int32]:
        if self._protocol.slates is None:
            return no_slates()
        return self._protocol.slates.of(np.array(accepted.offsets, np.int64)[origin])

    def _rank(self, events: Events, adapted: Adapted, slates: NDArray[np.int32]) -> Ranked:
        """Through the events again, with the soft state moving along."""
        learn = self._settings.learn
        observations = int((adapted.steps.before >= 0).sum())
        answers = int((adapted.steps.after >= 0).sum())
        listed = self._settings.rank.top_k if self._protocol.lists else 0
        observed = empty_observed(observations, listed, 1 + learn.strongest + learn.random)
        lists = empty_lists(answers, self._settings.rank.top_k)
        had = (events.user, events.item, events.applied)
        seen = self._seen.link(*had) if self._seen else nothing_seen()
        weights = self._ranking_weights(adapted)
        rank_events(
            events, self._weights_and_unwanted, adapted.steps, adapted.trail, adapted.snapshots,
            weights, self._soft.arrays(), seen, slates, self._protocol.negatives, self._room,
            observed, lists,
        )  # fmt: skip
        return Ranked(observed, lists)

    def _ranking_weights(self, adapted: Adapted) -> Weights:
        slow, without = self._live.slow, self._protocol.without
        step, reranker = slow.feature_step, slow.reranker
        if without & {FAST_WEIGHTS, OWN_WEIGHTS}:
            step = np.zeros_like(step)
        if RERANKER in without:
            reranker = reranker._replace(share=np.zeros_like(reranker.share))
        return Weights(
            adapted.queries, slow.embedding, slow.bias, slow.theta, step, slow.feature_keep,
            reranker, slow.temperature, self._live.own,
        )  # fmt: skip

    def _uncounted(self, accepted: Accepted) -> NDArray[np.bool_]:
        """Which events [n] the soft state does not hold yet.

        It keeps what it learned from a batch that was undone, or from a partition that was given
        up: done again, or taken over again, these events move the hard state alone.
        """
        places = zip(accepted.partitions, accepted.offsets, strict=True)
        fresh = [offset >= self._counted.get(partition, 0) for partition, offset in places]
        return np.array(fresh, np.bool_)

    def _counting_once(self, events: Events, fresh: NDArray[np.bool_]) -> Events:
        """The same for ranking: what the soft state holds already passes it as nothing wanted."""
        if fresh.all():
            return events
        return events._replace(
            kind=np.where(fresh, events.kind, self._unwanted_kind).astype(np.int8)
        )

    def _distrust(self, kept: NDArray[np.int64], gone: list[int]) -> None:
        """These users' rings went back: their fast weights follow at the next touch."""
        self._live.distrust(kept)
        self._forget(gone)

    def _forget(self, users: list[int]) -> None:
        """These rows are nobody's from now on."""
        self._live.forget(users)
        self._soft.forget(users)

    def _note_counted(self, records: Sequence[Record]) -> None:
        self.hard.passed(records)
        for record in records:
            self.note_counted(record.partition, record.offset + 1)

    def _make_room(self) -> None:
        """Room to work in for every item numbered so far."""
        if self._soft.items.capacity > len(self._room.taken):
            self._room = self._room_for(self._soft.items.capacity)

    def _room_for(self, items: int) -> Room:
        learn, listed = self._settings.learn, self._settings.rank.top_k
        room = empty_room(
            items, self._settings.state.ring, learn.strongest, 1 + learn.strongest + learn.random,
            listed, self._settings.value_sum.rerank_units,
        )  # fmt: skip
        room.scratch.kept[:] = kept_features(self._protocol.without)
        return room

    def _result(
        self,
        records: Sequence[Record],
        accepted: Accepted,
        events: Events,
        adapted: Adapted,
        ranked: Ranked,
        origin: NDArray[np.int64],
    ) -> BatchResult:
        offsets = {record.partition: record.offset + 1 for record in records}
        lists = ranked.lists._replace(event=origin[ranked.lists.event])
        asked, observed, learned = adapted, ranked.observed, ranked.observed
        if self._protocol.together:
            happens = events.applied
            asked, observed = of_the_events(~happens, origin, adapted, ranked.observed)
            adapted, learned = of_the_events(happens, origin, adapted, ranked.observed)
            events = picked(events, happens)
        answers = recommendations(
            lists, accepted, self.items, self._settings, self.meta_version,
            self._adapter.name, self._clock.now_ms(),
        )  # fmt: skip
        tasks, task_events = task_blocks(
            learned, adapted, accepted,
            self._weights.of(events.kind, events.value), self.items,
            self._settings, self.meta_version,
            Known(self._live.content_of, self._profiles.of(events.user)),
        )  # fmt: skip
        return BatchResult(
            offsets=offsets,
            observations=observations_of(observed, asked, events, accepted),
            outputs=[
                *accepted.dead_letters,
                *answers,
                *tasks,
                *receipts_of(self.hard, self._profiles),
            ],
            answered=[accepted.timestamps[event] for event in lists.event.tolist()],
            recommendations=len(answers),
            tasks=task_events,
        )

    def _lap(self, stage: str, started: float) -> float:
        now = self._clock.monotonic()
        self._metrics.stage_seconds.labels(stage).observe(now - started)
        return now
