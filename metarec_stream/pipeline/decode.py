"""From a record's bytes to an interaction that the rest of the pipeline can trust."""

from __future__ import annotations

from functools import lru_cache

from metarec_stream.contract.codec import (
    MAX_TIME_MS,
    check_finite,
    check_id,
    check_text,
    check_time,
    check_version,
    content_type_of,
    convert_map,
    decode_map,
    shown,
)
from metarec_stream.contract.interaction import ERASE, Interaction, Scalar
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.contract.transport import Record
from metarec_stream.errors import Reason, Rejected
from metarec_stream.pipeline.settings import EventsSettings, GuardSettings

MAX_CONTEXT_ENTRIES = 32
MAX_REC_ID_BYTES = 512
"""Above any `rec_id` of our own, whatever bound is set for ids: a topic, a partition, an offset."""

_cached_partition_of = lru_cache(maxsize=16_384)(partition_of)


class Decoder:
    """Decodes and validates interactions: a pure function of the record and the settings.

    `type: erase` is a control interaction: it is decoded, needs no item, and has no weight.
    """

    def __init__(self, guard: GuardSettings, events: EventsSettings) -> None:
        self._max_value_bytes = guard.max_value_bytes
        self._max_id_bytes = guard.max_id_bytes
        self._types = frozenset(events.table()) | {ERASE}

    def decode(self, record: Record) -> Interaction:
        """The record's interaction, its `ts` filled in from the record's timestamp where absent.

        Unknown fields are ignored; an empty `event_id` counts as none. Raises Rejected:
        `too-large` before anything is decoded, then `undecodable`, then `unsupported-version`
        before any other field is read, then `invalid`, the detail beginning with the field.
        """
        value = record.value
        if value is None:
            raise Rejected(Reason.UNDECODABLE, "null value: interactions cannot be deleted")
        if len(value) > self._max_value_bytes:
            detail = f"{len(value)} bytes, at most {self._max_value_bytes} are allowed"
            raise Rejected(Reason.TOO_LARGE, detail)
        message = decode_map(value, content_type_of(record.headers))
        check_version(message)
        record_time = _record_time(record)
        if message.get("ts") is None:
            message["ts"] = record_time
        if message.get("event_id") == "":
            del message["event_id"]
        interaction = convert_map(message, Interaction)
        self._check(interaction)
        return interaction

    def _check(self, interaction: Interaction) -> None:
        max_id_bytes = self._max_id_bytes
        check_id("user", interaction.user, max_id_bytes)
        if interaction.item or interaction.type != ERASE:
            check_id("item", interaction.item, max_id_bytes)
        if interaction.type not in self._types:
            self._refuse_type(interaction.type)
        if interaction.ts is not None and not 0 <= interaction.ts <= MAX_TIME_MS:
            check_time("ts", interaction.ts)
        if interaction.value is not None:
            check_finite("value", interaction.value)
        if interaction.event_id is not None:
            check_id("event_id", interaction.event_id, max_id_bytes)
        if interaction.rec_id:
            check_id("rec_id", interaction.rec_id, MAX_REC_ID_BYTES)
        if interaction.domain:
            check_id("domain", interaction.domain, max_id_bytes)
        if interaction.context:
            _check_context(interaction.context)

    def _refuse_type(self, unknown: str) -> None:
        known = ", ".join(sorted(self._types))
        detail = f"type: {shown(unknown)} is none of {known}; add it to METAREC_EVENTS__WEIGHTS"
        raise Rejected(Reason.INVALID, detail)


def is_misplaced(record: Record, user: str, partitions: int) -> bool:
    """Whether the record's key is not the user, or its partition not the one the key leads to.

    Such a record is accepted and counted: its user's events may lie in two partitions.
    """
    key = record.key
    if key is None or key != user.encode():
        return True
    return _cached_partition_of(key, partitions) != record.partition


def forget_keys() -> None:
    """Keys that were seen are kept, to be quick: none of them from here on."""
    _cached_partition_of.cache_clear()


def _record_time(record: Record) -> int:
    if record.timestamp < 0:
        # Nothing would hold its event time to the present: one year 9999 and all else is late.
        raise Rejected(Reason.INVALID, "ts: the record has no timestamp to check it against")
    return record.timestamp


def _check_context(context: dict[str, Scalar]) -> None:
    if len(context) > MAX_CONTEXT_ENTRIES:
        detail = f"context: {len(context)} entries, at most {MAX_CONTEXT_ENTRIES} are allowed"
        raise Rejected(Reason.INVALID, detail)
    for name, entry in context.items():
        check_text("context", name)
        if isinstance(entry, str):
            check_text("context", entry)
        elif isinstance(entry, float):
            check_finite("context", entry)
        elif isinstance(entry, int) and not -(1 << 63) <= entry < 1 << 64:
            raise Rejected(Reason.INVALID, f"context: {shown(entry)} does not fit 64 bits")
