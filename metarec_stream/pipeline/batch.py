"""A batch, from poll to commit: the order of its steps is what makes it exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Output, Record, Source, Transaction
from metarec_stream.errors import Fatal, Reason
from metarec_stream.metrics import ConsumerMetrics

if TYPE_CHECKING:
    from metarec_stream.pipeline.results import BatchResult

RECORD_OVERHEAD_BYTES = 128
"""Upper bound of what Kafka's format adds to one record, its batch's header included."""
HEADER_OVERHEAD_BYTES = 10
"""Upper bound of the two lengths that it adds to a record's header."""
POSITION_HEADERS = ("metarec-topic", "metarec-partition", "metarec-offset")

log = structlog.get_logger()


class Processor(Protocol):
    """The recommender, as far as a batch needs it."""

    def process(self, records: Sequence[Record]) -> BatchResult: ...


def run_batch(
    source: Source,
    transaction: Transaction,
    recommender: Processor,
    settings: Settings,
    metrics: ConsumerMetrics,
    clock: Clock,
) -> int:
    """Take the next records, learn and rank, and publish all of it in one transaction.

    Returns how many records were taken; nothing is begun for none. Raises Fatal, the transaction
    aborted as far as that goes, when any step fails: the state in memory is then ahead of the
    committed offsets, so the process must end, and a new one rebuilds it.
    """
    # 1. Poll, and note the generation that these records belong to.
    records = source.poll(settings.batch.poll_ms, settings.batch.max_records)
    if not records:
        return 0
    generation = source.group_metadata()

    # 2. Decode, guard, adapt, rank: no input or output, only memory changes.
    result = recommender.process(records)

    started = clock.monotonic()
    transaction.begin()
    try:
        # 3. The offsets first: a member that no longer owns its partitions is refused here,
        #    before it wrote anything that would hold back the readers of the outputs.
        transaction.send_offsets(result.offsets, generation)

        # 4. Dead letters, recommendations, tasks, in the order they were made.
        for output in result.outputs:
            transaction.send(fitting(output, settings))

        # 5. The checkpoint's place: the rows of the users touched since the last one would be
        #    sent here, with their partition's offset in the same transaction. None is sent: a
        #    start rebuilds the state from the input alone (`service.replay`).
        published = clock.monotonic()

        # 6. Commit: everything of these records becomes visible, or nothing.
        transaction.commit()
    except BaseException:
        _abort(transaction)
        raise
    _observe(result, len(records), metrics, clock, started, published)
    return len(records)


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


def _abort(transaction: Transaction) -> None:
    """Abort at best effort: what stays open is aborted by the broker's time limit."""
    try:
        transaction.abort()
    except Fatal as error:
        log.warning("abort_failed", reason=str(error))


def _observe(
    result: BatchResult,
    records: int,
    metrics: ConsumerMetrics,
    clock: Clock,
    started: float,
    published: float,
) -> None:
    metrics.stage_seconds.labels("publish").observe(published - started)
    metrics.stage_seconds.labels("commit").observe(clock.monotonic() - published)
    metrics.batch_records.observe(records)
    metrics.recommendations.inc(result.recommendations)
    metrics.tasks.inc(result.tasks)
    now_ms = clock.now_ms()
    for timestamp in result.answered:
        metrics.latency_seconds.observe(max(0, now_ms - timestamp) / 1e3)
