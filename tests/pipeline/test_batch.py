"""The order of a batch's steps, and what is left of it when one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry

from metarec_stream.clock import ManualClock
from metarec_stream.config import Settings
from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.transport import Output, Record
from metarec_stream.errors import Fatal, Reason, Rejected
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.memory.log import MemoryLog, MemoryRecord
from metarec_stream.memory.source import MemorySource
from metarec_stream.memory.transaction import MemoryTransaction
from metarec_stream.metrics import ConsumerMetrics
from metarec_stream.pipeline.batch import run_batch
from metarec_stream.pipeline.fitting import fitting
from metarec_stream.pipeline.results import BatchResult
from tests.stream import no_observations

SETTINGS = Settings(kafka=KafkaSettings(max_message_bytes=64 * 1024))
INPUT = SETTINGS.topics.interactions
OUTPUT = SETTINGS.topics.recommendations


class Echo:
    """Answers every record with a recommendation that says the same."""

    def __init__(self, steps: list[str]) -> None:
        self._steps = steps

    def process(self, records: Sequence[Record]) -> BatchResult:
        self._steps.append("process")
        return BatchResult(
            offsets={record.partition: record.offset + 1 for record in records},
            observations=no_observations(0),
            outputs=[Output(OUTPUT, each.partition, each.key, each.value) for each in records],
            answered=[record.timestamp for record in records],
            recommendations=len(records),
        )


class Steps(MemoryTransaction):
    """Writes down its calls, and fails at the one it is told to."""

    def __init__(self, log: MemoryLog, steps: list[str], fail_at: str = "") -> None:
        super().__init__(log, INPUT)
        self._steps = steps
        self._fail_at = fail_at

    def begin(self) -> None:
        self._note("begin")
        super().begin()

    def send_offsets(self, offsets: Mapping[int, int], group_metadata: object) -> None:
        self._note("offsets")
        super().send_offsets(offsets, group_metadata)

    def send(self, output: Output) -> None:
        self._note("send")
        super().send(output)

    def commit(self) -> None:
        self._note("commit")
        super().commit()

    def abort(self) -> None:
        self._note("abort")
        super().abort()

    def _note(self, step: str) -> None:
        self._steps.append(step)
        if step == self._fail_at:
            raise Fatal(f"failed at {step}")


class Bench:
    """A log with one input partition, and what a batch runs on."""

    def __init__(self, fail_at: str = "") -> None:
        self.clock = ManualClock(10_000)
        self.registry = CollectorRegistry()
        self.log = MemoryLog(clock=self.clock)
        self.steps: list[str] = []
        self.source = MemorySource(self.log, INPUT)
        self.transaction = Steps(self.log, self.steps, fail_at)
        self._metrics = ConsumerMetrics(self.registry)

    def post(self, value: bytes, timestamp: int | None = None) -> None:
        self.log.append(Output(INPUT, 0, b"user", value), timestamp)

    def run(self) -> int:
        return run_batch(
            self.source, self.transaction, Echo(self.steps), SETTINGS, self._metrics, self.clock
        )

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_the_steps_come_in_the_order_of_the_design() -> None:
    """Processed before anything is begun; offsets before the first output; then the commit."""
    bench = Bench()
    bench.post(b"a")
    bench.post(b"b")
    assert bench.run() == 2
    assert bench.steps == ["process", "begin", "offsets", "send", "send", "commit"]
    assert [record.value for record in bench.log.records(OUTPUT)] == [b"a", b"b"]
    assert bench.log.committed("metarec", INPUT, 0) == 2


def test_an_empty_poll_begins_nothing() -> None:
    """No transaction is opened for no records."""
    bench = Bench()
    assert bench.run() == 0
    assert bench.steps == []


@pytest.mark.parametrize("step", ["offsets", "send", "commit"])
def test_a_failure_aborts_and_ends_the_process(step: str) -> None:
    """Nothing of the batch shows, the offset stays, and the error goes on to the top."""
    bench = Bench(fail_at=step)
    bench.post(b"a")
    with pytest.raises(Fatal, match=f"failed at {step}"):
        bench.run()
    assert bench.steps[-1] == "abort"
    assert bench.log.records(OUTPUT) == []
    assert bench.log.committed("metarec", INPUT, 0) is None
    assert bench.sample("metarec_recommendations_total") == 0


def test_an_abort_that_fails_does_not_hide_the_cause() -> None:
    """The error of the step is raised, not the one of the abort."""
    bench = Bench()
    bench.post(b"a")
    later = MemoryTransaction(bench.log, INPUT)
    with pytest.raises(Fatal, match="fenced"):
        bench.run()
    assert bench.steps == ["process", "begin", "offsets", "abort"]
    later.begin()


def test_a_stale_member_is_refused_before_it_sends() -> None:
    """Another member took the group over after the poll; without undo that is the end."""
    bench = Bench()
    bench.post(b"a")
    MemorySource(bench.log, INPUT)
    with pytest.raises(Fatal, match="cannot be undone"):
        bench.run()
    assert bench.steps == ["process", "begin", "offsets", "abort"]


def test_latencies_and_counts_are_observed_after_the_commit() -> None:
    """From the record's timestamp to the commit, on the clock that was handed in."""
    bench = Bench()
    bench.post(b"a", timestamp=bench.clock.now_ms() - 40)
    bench.post(b"b", timestamp=bench.clock.now_ms() + 500)
    bench.run()
    latency = "metarec_recommendation_latency_seconds"
    assert bench.sample(f"{latency}_count") == 2
    assert bench.sample(f"{latency}_sum") == pytest.approx(0.04)
    assert bench.sample("metarec_recommendations_total") == 2
    assert bench.sample("metarec_batch_records_sum") == 2
    for stage in ("publish", "commit"):
        assert bench.sample("metarec_stage_seconds_count", stage=stage) == 1


def letter(value: bytes, key: bytes | None = b"user") -> Output:
    """The dead letter of a record with this value."""
    record = MemoryRecord(INPUT, 3, 17, 0, key, value, (("trace", b"x"),))
    rejected = Rejected(Reason.UNDECODABLE, "neither encoding")
    return dead_letter(record, rejected, SETTINGS.topics.dead_letters_topic())


def test_an_output_that_fits_is_sent_as_it_is() -> None:
    """Up to the limit less the bytes that the format takes."""
    output = Output(OUTPUT, 0, b"user", bytes(64 * 1024 - 200))
    assert fitting(output, SETTINGS) is output
    assert fitting(letter(b"{"), SETTINGS) == letter(b"{")


def test_a_dead_letter_over_the_limit_says_where_its_record_is() -> None:
    """It is sent without the record's bytes, as `too-large`, and the stream goes on."""
    emptied = fitting(letter(bytes(64 * 1024)), SETTINGS)
    said = dict(emptied.headers)
    assert (emptied.partition, emptied.value) == (3, b"")
    assert said["metarec-reason"] == b"too-large"
    assert said["metarec-topic"] == INPUT.encode()
    assert said["metarec-partition"] == b"3"
    assert said["metarec-offset"] == b"17"
    assert f"{INPUT}/3/17".encode() in said["metarec-detail"]
    assert b"kafka.max_message_bytes = 65536" in said["metarec-detail"]
    assert fitting(emptied, SETTINGS) is emptied


def test_any_other_output_over_the_limit_ends_the_process() -> None:
    """Its size follows from the settings, which the message names."""
    output = Output(OUTPUT, 2, b"user", bytes(64 * 1024))
    with pytest.raises(Fatal, match=rf"{OUTPUT}/2.*kafka\.max_message_bytes.*rank\.top_k"):
        fitting(output, SETTINGS)
