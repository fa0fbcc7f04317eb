"""A good run gets its certificate; whatever is forged in it is named, with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.codec import decode_recommendation, encode
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.contract.transport import Output
from metarec_stream.errors import Fatal
from metarec_stream.hashing import hash64
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.memory.log import MemoryLog, MemoryRecord
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.state.header import HEADER_KEY, decode_header, encode_header
from metarec_stream.state.settings import StateSettings
from tests.verify.service import (
    NOW,
    SETTINGS,
    Event,
    post,
    rewritten,
    run_service,
    served,
    verified,
)

PER_USER = SETTINGS.model_copy(update={"emit": "per_user"})
TOPICS = SETTINGS.topics
LETTERS = TOPICS.dead_letters_topic()


def click(user: str, event_id: str | None = None, ts: int = NOW) -> Interaction:
    """An event."""
    return Interaction(user=user, item="lamp", ts=ts, event_id=event_id)


EVENTS: list[Event] = [
    click("ann", "1"),
    click("bob", "2"),
    b"{",
    click("ann", "1"),
    click("cat", ts=NOW - 61_000),
    click("cat", ts=NOW + 301_000),
    click("cat", ts=NOW - 59_000),
    click("ann"),
    click("bob", "3"),
]
"""Accepted: 0, 1, 6, 7, 8; rejected: 2, 4, 5; duplicate: 3."""


def answer_to(offset: int, user: str, rec_id: str | None = None) -> Output:
    """A recommendation that nobody made."""
    source = {"topic": TOPICS.interactions, "partition": 0, "offset": offset}
    message = msgspec.convert(
        {
            "rec_id": rec_id or f"{TOPICS.interactions}/0/{offset}", "user": user, "items": [],
            "ts": NOW, "event_ts": NOW, "meta_version": 0, "adapter": "x", "arm": "x",
            "source": source,
        },
        Recommendation,
    )  # fmt: skip
    value, headers = encode(message, "msgpack")
    return Output(TOPICS.recommendations, 0, user.encode(), value, headers)


def answered_offset(record: MemoryRecord) -> int:
    """Which offset of the input a recommendation answers."""
    return decode_recommendation(record.value or b"", b"application/msgpack").source.offset


@pytest.mark.parametrize("settings", [SETTINGS, PER_USER], ids=["per_event", "per_user"])
def test_a_good_run_is_certified(settings: Settings) -> None:
    """With all its numbers."""
    certificate = verified(served(EVENTS, settings), settings)
    assert certificate.verdict == "certified"
    [found] = certificate.partitions
    assert (found.accepted, found.rejected, found.duplicates) == (5, 3, 1)
    assert (found.dead_letters, found.dead_letters_required) == (3, 3)
    assert (found.state_offset, found.committed, found.users) == (9, 9, 3)
    per_event = settings is SETTINGS
    assert found.answers == found.answered
    assert found.answers_required == (5 if per_event else 3)
    assert len(found.digest) == 32


def test_what_came_after_the_checkpoint_and_is_not_answered_yet_is_no_difference() -> None:
    """A service that lags: the state is compared where its header stands."""
    log = served(EVENTS)
    post(log, [click("dan"), b"{"])
    [found] = verified(log).partitions
    assert (found.verdict, found.state_offset, found.input_end) == ("certified", 9, 11)


def forge_row(log: MemoryLog) -> None:
    """One more accepted event in bob's row."""

    def change(record: MemoryRecord) -> list[MemoryRecord]:
        if record.key != b"ubob":
            return [record]
        fields = msgspec.msgpack.decode(record.value or b"")
        fields[3] += 1
        return [replace(record, value=msgspec.msgpack.encode(fields))]

    rewritten(log, TOPICS.state, change)


def forge_header(**claims: object) -> Callable[[MemoryLog], None]:
    """Other claims in the header."""

    def change(record: MemoryRecord) -> list[MemoryRecord]:
        if record.key != HEADER_KEY:
            return [record]
        header = decode_header(record.value or b"", "test")
        return [replace(record, value=encode_header(msgspec.structs.replace(header, **claims)))]

    return lambda log: rewritten(log, TOPICS.state, change)


def drop_answer(log: MemoryLog) -> None:
    """Bob's last event stays without an answer."""
    rewritten(
        log, TOPICS.recommendations, lambda each: [each] if answered_offset(each) != 8 else []
    )


def append(output: Output) -> Callable[[MemoryLog], None]:
    """One more record."""
    return lambda log: [log.append(output)].clear()


def repeat(topic: str) -> Callable[[MemoryLog], None]:
    """The topic's first record comes once more."""

    def forge(log: MemoryLog) -> None:
        first = log.read(topic, 0, 0)[0]
        log.append(Output(topic, 0, first.key, first.value, first.headers))

    return forge


def change_letter(**headers: bytes) -> Callable[[MemoryLog], None]:
    """The first dead letter says something else."""

    def change(record: MemoryRecord) -> list[MemoryRecord]:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if record.offset > 0:
            return [record]
        changed = tuple((name, said.get(name, value)) for name, value in record.headers)
        return [replace(record, headers=changed)]

    return lambda log: rewritten(log, LETTERS, change)


def other_value(log: MemoryLog) -> None:
    """The first dead letter has other bytes."""
    rewritten(
        log, LETTERS, lambda each: [replace(each, value=b"[")] if each.offset == 0 else [each]
    )


BOB = f"user #{hash64('bob'):016x}"
FORGERIES: list[tuple[str, Callable[[MemoryLog], None], str, str]] = [
    ("row", forge_row, "row", f"metarec.state/0 at offset 1: the row of {BOB}"),
    ("row missing", append(Output(TOPICS.state, 0, b"ubob", None)), "row-missing",
     f"metarec.state/0: the row of {BOB} is missing; its last record is offset 8"),
    ("row invented", append(Output(TOPICS.state, 0, b"uzoe", b"x")), "row-invented",
     "metarec.state/0 at offset 5"),
    ("segment missing", append(Output(TOPICS.state, 0, b"g0", None)), "row-missing",
     "the row b'g0' is missing"),
    ("accepted", forge_header(accepted=6), "header-accepted", "accepted 6, expected 5"),
    ("rejected", forge_header(rejected=4), "header-rejected", "rejected 4, expected 3"),
    ("duplicates", forge_header(duplicates=0), "header-duplicates", "duplicates 0, expected 1"),
    ("watermark", forge_header(watermark=5), "header-watermark", f"watermark 5, expected {NOW}"),
    ("digest", forge_header(digest=bytes(16)), "header-digest", f"digest {'00' * 16}, expected"),
    ("offset", forge_header(offset=99), "header-offset", "beyond the end, 9"),
    ("no header", append(Output(TOPICS.state, 0, HEADER_KEY, None)), "header", "no header"),
    ("answer twice", repeat(TOPICS.recommendations), "answer-twice",
     "recommendations/0 at offset 5: a second recommendation for offset 0 of the input"),
    ("answer to nothing", append(answer_to(99, "ann")), "answer-invented",
     "recommendations/0 at offset 5: it answers offset 99"),
    ("answer to a rejected one", append(answer_to(2, "ann")), "answer-invented",
     "recommendations/0 at offset 5: it answers a rejected record, offset 2"),
    ("answer to a duplicate", append(answer_to(3, "ann")), "answer-invented",
     "recommendations/0 at offset 5: it answers a duplicate record, offset 3"),
    ("answer missing", drop_answer, "answer-missing", "interactions/0 at offset 8: "),
    ("letter twice", repeat(LETTERS), "letter-twice", "interactions.dlq/0 at offset 3"),
    ("letter of an accepted one", change_letter(metarec_offset=b"0"), "letter-invented",
     "interactions.dlq/0 at offset 0: its record, offset 0 of the input, was not rejected"),
    ("letter of nothing", change_letter(metarec_offset=b"77"), "letter-invented",
     "offset 77 of the input, where there is no record"),
    ("letter's reason", change_letter(metarec_reason=b"late"), "letter-reason",
     "it says late, and offset 2 of the input is undecodable"),
    ("letter's bytes", other_value, "letter-content", "interactions.dlq/0 at offset 0"),
    ("no letter", append(Output(LETTERS, 0, b"key", b"value")), "letter-unreadable",
     "interactions.dlq/0 at offset 3"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("forge", "kind", "said"),
    [each[1:] for each in FORGERIES],
    ids=[each[0].replace(" ", "-") for each in FORGERIES],
)
def test_a_forgery_is_named(forge: Callable[[MemoryLog], None], kind: str, said: str) -> None:
    """Its kind and its place: topic, partition and offset."""
    log = served(EVENTS)
    forge(log)
    certificate = verified(log)
    assert certificate.verdict == "different"
    named = [each for each in certificate.partitions[0].differences if each.kind == kind]
    assert said in str(named[0])
    assert "bob" not in str(named)


def test_the_only_difference_is_the_first() -> None:
    """One altered row is one difference: what follows from it is not told again."""
    log = served(EVENTS)
    forge_row(log)
    certificate = verified(log, show_users=True)
    assert len(certificate.partitions[0].differences) == 1
    assert "user 'bob'" in str(certificate.first_difference)


@pytest.mark.parametrize(
    ("rec_id", "user", "said"),
    [
        ("else", "bob", "its rec_id is 'else'"),
        (None, "ann", "it is for another user than offset 8"),
    ],
)
def test_an_answer_that_is_wrong(rec_id: str | None, user: str, said: str) -> None:
    """The right place in the log is not enough."""
    log = served(EVENTS)
    drop_answer(log)
    log.append(answer_to(8, user, rec_id))
    [difference] = verified(log).partitions[0].differences
    assert said in difference.text


def test_per_user_asks_for_the_last_event_of_each() -> None:
    """An answer less in between is none less; the last one is."""
    log = served(EVENTS[:1], PER_USER)
    post(log, EVENTS[1:])
    run_service(log, PER_USER)
    assert verified(log, PER_USER).verdict == "certified"
    drop_answer(log)
    [difference] = verified(log, PER_USER).partitions[0].differences
    assert (difference.kind, difference.offset) == ("answer-missing", 8)


def test_at_least_once_may_repeat_itself() -> None:
    """Then a second answer or dead letter is counted, and no difference."""
    settings = SETTINGS.model_copy(update={"kafka": KafkaSettings(guarantee="at-least-once")})
    log = served(EVENTS, settings)
    repeat(TOPICS.recommendations)(log)
    repeat(LETTERS)(log)
    [found] = verified(log, settings).partitions
    assert (found.verdict, found.repeated) == ("certified", 2)


def test_an_event_whose_answer_the_brokers_refused_has_a_dead_letter_instead() -> None:
    """It is learned, and its answer is not asked for."""
    log = served([click("ann")])
    rewritten(log, TOPICS.recommendations, lambda record: [])
    source = log.read(TOPICS.interactions, 0, 0)[0]
    said = {"reason": b"too-large", "detail": b"x", "topic": b"interactions",
            "partition": b"0", "offset": b"0"}  # fmt: skip
    headers = (*source.headers, *((f"metarec-{name}", value) for name, value in said.items()))
    log.append(Output(LETTERS, 0, source.key, source.value, headers))
    [found] = verified(log).partitions
    assert (found.verdict, found.refused) == ("certified", 1)


def test_retention_of_the_input_degrades() -> None:
    """What does not depend on what is gone is still compared."""
    log = served(EVENTS)
    log.drop_before(TOPICS.interactions, 0, 1)
    certificate = verified(log)
    assert certificate.verdict == "degraded"
    assert "retention took the input below offset 1" in certificate.degraded[0]
    repeat(TOPICS.recommendations)(log)
    forge_row(log)
    log.append(answer_to(2, "ann"))
    kinds = [each.kind for each in verified(log).partitions[0].differences]
    assert kinds == ["answer-twice", "header-digest", "answer-invented"]


def test_retention_of_the_outputs_degrades() -> None:
    """What is left is compared, what is gone is not asked for."""
    log = served(EVENTS)
    log.drop_before(TOPICS.recommendations, 0, 2)
    log.drop_before(LETTERS, 0, 3)
    certificate = verified(log)
    assert certificate.verdict == "degraded"
    assert [text.partition(":")[2].strip() for text in certificate.degraded] == [
        "retention took recommendations of the input below offset 6: they were not asked for",
        "retention took dead letters of the input below offset 9: they were not asked for",
    ]


def test_a_loss_that_the_header_admits_degrades() -> None:
    """A hole that was taken note of when it was met is no difference."""
    log = served(EVENTS)
    forge_header(missing=3)(log)
    certificate = verified(log)
    assert certificate.verdict == "degraded"
    assert "3 records were lost" in certificate.degraded[0]


def test_no_checkpoint_yet_degrades() -> None:
    """The rest is compared; nothing at all is certified."""
    assert verified(MemoryLog()).verdict == "certified"
    log = served(EVENTS)
    rewritten(log, TOPICS.state, lambda record: [])
    certificate = verified(log)
    assert certificate.verdict == "degraded"
    assert "no checkpoint" in certificate.degraded[0]


def test_other_settings_are_refused() -> None:
    """They would make another state: the operator has to give the service's own."""
    changed = SETTINGS.model_copy(update={"state": StateSettings(ring=5)})
    with pytest.raises(BadConfiguration, match=r"made under settings with the hash"):
        verified(served(EVENTS), changed)


def test_a_header_of_a_later_release_is_refused() -> None:
    """This release cannot say what it claims."""
    log = served(EVENTS)
    log.append(Output(TOPICS.state, 0, HEADER_KEY, msgspec.msgpack.encode([9])))
    with pytest.raises(Fatal, match="written by a later release"):
        verified(log)
