"""What is replayed of dead letters, how it is marked, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.transport import Output
from metarec_stream.dead_letters.letter import REPLAYED_FROM, REPLAYS, Letter
from metarec_stream.dead_letters.replay import plan, replay_of, replayed_places, timestamp_of
from metarec_stream.errors import Degraded, Reason, Rejected
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.pipeline.fitting import fitting, in_place_of_outputs
from tests.dead_letters.letters import HEADERS, REJECTED_MS, letter, read_back, rejected_record

SETTINGS = Settings()


def arrived(output: Output, offset: int) -> MemoryRecord:
    """The replay as a record of the input."""
    return replace(rejected_record(), offset=offset, headers=output.headers, value=output.value)


def refusals(
    *letters: Letter, done: dict[str, str] | None = None, most: int = 3, again: bool = False
) -> list[str | None]:
    """Why each of these is not replayed."""
    planned = plan(letters, done or {}, SETTINGS, most_replays=most, again=again)
    return [each.refusal for each in planned]


@pytest.mark.parametrize("value", [b"\xc1", b"", None])
@pytest.mark.parametrize("key", [b"ann", None])
def test_a_replay_is_the_record_with_two_marks(value: bytes | None, key: bytes | None) -> None:
    """Key, value and headers byte for byte, at the partition it came from."""
    record = rejected_record(value, key=key)
    again = replay_of(letter(record))
    marks = ((REPLAYED_FROM, b"interactions.dlq/1/7"), (REPLAYS, b"1"))
    assert (again.key, again.value, again.headers) == (key, value, (*HEADERS, *marks))
    assert (again.topic, again.partition) == ("interactions", 1)


def test_the_count_goes_on_when_the_replay_is_rejected_again() -> None:
    """The service's dead letter keeps the marks; the next replay has one set of them."""
    first = letter()
    counts = []
    for offset in (50, 51, 52):
        record = arrived(replay_of(first), offset)
        first = letter(record, offset=offset)
        counts.append(first.replays)
        assert [name for name, _ in first.headers].count(REPLAYS) == 1
        assert first.headers[:2] == HEADERS
    assert counts == [1, 2, 3]
    assert "replayed 3 times" in str(refusals(first))
    assert refusals(first, most=4) == [None]


def test_a_letter_that_was_replayed_is_refused_unless_again() -> None:
    """The input tells; the letter of the replay itself is another one."""
    first = letter()
    record = arrived(replay_of(first), 50)
    done = replayed_places([rejected_record(), record])
    assert done == {"interactions.dlq/1/7": "interactions/1/50"}
    second = letter(record, offset=8)
    [said, fresh] = refusals(first, second, done=done)
    assert "replayed already, as interactions/1/50" in str(said)
    assert fresh is None
    assert refusals(first, done=done, again=True) == [None]


def test_what_was_learned_is_never_replayed() -> None:
    """The letter in place of outputs that the brokers refused: its record was accepted."""
    [output] = in_place_of_outputs(rejected_record(), SETTINGS, emptied=False)
    assert "learned twice" in str(refusals(read_back(output), again=True))


def test_a_letter_without_its_bytes_is_refused() -> None:
    """No letter can hold a record that is as large as a record may be."""
    kafka = KafkaSettings(max_message_bytes=64 * 1024)
    small = SETTINGS.model_copy(update={"kafka": kafka})
    record = rejected_record(b"x" * 65_500)
    said = Rejected(Reason.UNDECODABLE, "no")
    emptied = read_back(fitting(dead_letter(record, said, "interactions.dlq"), small))
    assert emptied.emptied
    assert "interactions/1/40 holds them" in str(refusals(emptied))


def test_a_letter_of_another_input_is_refused() -> None:
    """It does not belong there."""
    other = replace(rejected_record(), topic="clicks")
    assert "came from clicks" in str(refusals(letter(other)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"user":"ann","item":"a","ts":5}', None),
        (b'{"user":"ann","item":"a"}', REJECTED_MS),
        (b'{"user":"ann","item":"a","ts":null}', REJECTED_MS),
        (b"\xc1", None),
    ],
)
def test_an_event_without_a_time_keeps_about_the_one_it_had(
    value: bytes, expected: int | None
) -> None:
    """Its record's timestamp is its time: that of the letter is near, that of the replay is not."""
    assert timestamp_of(letter(rejected_record(value))) == expected


@pytest.mark.parametrize(
    "headers",
    [
        (),
        HEADERS,
        (("metarec-reason", b"late"),),
        tuple((f"metarec-{name}", b"x") for name in
              ("reason", "detail", "topic", "partition", "offset")),
    ],
)  # fmt: skip
def test_what_is_no_letter_is_told(headers: tuple[tuple[str, bytes], ...]) -> None:
    """Somebody else wrote to the topic: its place is named."""
    with pytest.raises(Degraded, match=r"interactions\.dlq/0/7 is no dead letter"):
        read_back(Output("interactions.dlq", 0, b"k", b"v", headers))


def test_headers_like_ours_that_the_record_had_are_its_own() -> None:
    """Only those that the service added, the last ones, are taken off."""
    forged = (("metarec-reason", b"none"), ("metarec-offset", b"99"))
    made = letter(rejected_record(headers=forged))
    assert (made.headers, made.reason, made.source_offset) == (forged, "late", 40)
