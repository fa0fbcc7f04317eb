"""Outputs of the size that may be sent, and dead letters for what may not."""

from __future__ import annotations

import structlog

from metarec_stream.config import Settings
from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.transport import Output, Record
from metarec_stream.errors import Fatal, Reason, Rejected

RECORD_OVERHEAD_BYTES = 128
"""Upper bound of what Kafka's format adds to one record, its batch's header included."""
HEADER_OVERHEAD_BYTES = 10
"""Upper bound of the two lengths that it adds to a record's header."""
POSITION_HEADERS = ("metarec-topic", "metarec-partition", "metarec-offset")

log = structlog.get_logger()


def fitting(output: Output, settings: Settings) -> Output:
    """The output itself if it may be sent; a dead letter that is too large without its value.

    Raises Fatal for any other output over `kafka.max_message_bytes`: its size follows from the
    settings, not from a record.
    """
    limit = settings.kafka.max_message_bytes
    size = _size(output)
    if size <= limit:
        return output
    if output.topic != settings.topics.dead_letters_topic():
        raise Fatal(
            f"an output for {output.topic}/{output.partition} has {size} bytes, over "
            f"kafka.max_message_bytes = {limit}: raise that and the topic's max.message.bytes, or "
            "lower rank.top_k (recommendations), learn.strongest or learn.random (tasks)"
        )
    return _emptied(output, limit)


def _emptied(letter: Output, limit: int) -> Output:
    """A dead letter that says `too-large` in place of a record that no dead letter can hold."""
    last = dict(letter.headers)
    said = {name: last[name] for name in POSITION_HEADERS}
    where = "/".join(content.decode() for content in said.values())
    said["metarec-reason"] = Reason.TOO_LARGE.value.encode()
    said["metarec-detail"] = (
        f"{_size(letter)} bytes with key and headers, over kafka.max_message_bytes = {limit}: "
        f"only {where} holds them"
    ).encode()
    log.warning("dead_letter_emptied", where=where, bytes=_size(letter), limit=limit)
    return Output(letter.topic, letter.partition, None, b"", tuple(said.items()))


def _size(output: Output) -> int:
    """Upper bound of the bytes that Kafka's format takes for it, uncompressed."""
    size = RECORD_OVERHEAD_BYTES + len(output.key or b"") + len(output.value or b"")
    for name, content in output.headers:
        size += HEADER_OVERHEAD_BYTES + 4 * len(name) + len(content or b"")
    return size


def in_place_of_outputs(record: Record, settings: Settings, emptied: bool) -> list[Output]:
    """The dead letter of a record whose outputs the brokers refuse; without its bytes if need be.

    The record itself was accepted, and stays learned.
    """
    detail = "the brokers refuse what this record leads to; it was accepted and is learned"
    rejected = Rejected(Reason.TOO_LARGE, detail)
    letter = dead_letter(record, rejected, settings.topics.dead_letters_topic())
    if emptied:
        return [_emptied(letter, settings.kafka.max_message_bytes)]
    return [letter]
