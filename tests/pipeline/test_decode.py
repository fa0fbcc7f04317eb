"""From records to interactions: every way in which a single record can be wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from metarec_stream.contract.dead_letter import dead_letter
from metarec_stream.contract.interaction import DEFAULT_TYPES, Interaction
from metarec_stream.contract.partitioner import partition_of
from metarec_stream.contract.recommendation import recommendation_id
from metarec_stream.errors import Rejected
from metarec_stream.pipeline.decode import MAX_CONTEXT_ENTRIES, Decoder, is_misplaced
from metarec_stream.pipeline.settings import EventsSettings, GuardSettings

NOW = 1_700_000_000_000
MESSAGE: dict[str, Any] = {"user": "u", "item": "i", "ts": NOW}


def record(
    value: bytes | None, *, timestamp: int = NOW, key: bytes | None = b"u", partition: int = 0
) -> ConsumerRecord:
    """A record of topic `interactions`, as kafka-python hands it out."""
    size = len(value or b"")
    return ConsumerRecord(
        "interactions", partition, 0, 5, timestamp, 0, key, value, [], None, 1, size, 0
    )


def decoder(guard: GuardSettings | None = None, **weights: float) -> Decoder:
    """A decoder with the default settings but for these."""
    return Decoder(guard or GuardSettings(), EventsSettings(weights=weights))


def attempt(incoming: ConsumerRecord) -> Interaction | Rejected:
    """The interaction, or why there is none."""
    try:
        return decoder().decode(incoming)
    except Rejected as rejected:
        return rejected


def packed(**fields: object) -> ConsumerRecord:
    """A MessagePack record of a good message with some fields replaced."""
    return record(msgpack.packb({**MESSAGE, **fields}))


def test_a_full_message_is_decoded_in_both_encodings() -> None:
    """Every field of the contract arrives as it was sent."""
    fields = {
        **MESSAGE,
        "type": "rating",
        "value": 4.5,
        "event_id": "e-1",
        "rec_id": "interactions/0/4",
        "context": {"page": "home", "rank": 3, "share": 0.5, "logged_in": True, "x": None},
        "domain": "shop",
        "v": 1,
        "later": {"unknown": [1, 2]},
    }
    expected = Interaction(**{name: fields[name] for name in fields if name != "later"})
    assert decoder().decode(record(msgpack.packb(fields))) == expected
    assert decoder().decode(record(json.dumps(fields).encode())) == expected


def test_the_type_is_click_if_absent() -> None:
    """User and item are enough."""
    assert decoder().decode(record(b'{"user":"u","item":"i"}')).type == "click"


@pytest.mark.parametrize("absent", ["{}", '{"ts": null}'])
def test_the_time_is_the_records_if_absent(absent: str) -> None:
    """An absent `ts` is the record's timestamp; without that either, there is no time."""
    value = json.dumps({"user": "u", "item": "i", **json.loads(absent)}).encode()
    assert decoder().decode(record(value, timestamp=77)).ts == 77
    with pytest.raises(Rejected, match="invalid: ts: the record has no timestamp"):
        decoder().decode(record(value, timestamp=-1))


def test_a_null_value_is_undecodable() -> None:
    """The input is no compacted topic: a null deletes nothing."""
    with pytest.raises(Rejected, match="undecodable: null value"):
        decoder().decode(record(None))


def test_the_size_is_checked_before_decoding() -> None:
    """A value over the bound is `too-large` whatever is in it; one at the bound is read."""
    settings = GuardSettings(max_value_bytes=64)
    with pytest.raises(Rejected, match="too-large: 65 bytes, at most 64"):
        decoder(settings).decode(record(b"\xc1" * 65))
    value = json.dumps({"user": "u", "item": "i"}).encode().ljust(64)
    assert decoder(settings).decode(record(value)).user == "u"


@pytest.mark.parametrize("value", [b"\xc1", b"{", b"", b"{\x00", msgpack.packb([]), b"\x91" * 999])
def test_broken_bytes_are_undecodable(value: bytes) -> None:
    """The codec's verdict reaches the caller."""
    with pytest.raises(Rejected) as caught:
        decoder().decode(record(value))
    assert caught.value.reason == "undecodable"


def test_a_later_version_is_told_before_other_faults() -> None:
    """A version of the future may mean every other field differently."""
    with pytest.raises(Rejected) as caught:
        decoder().decode(packed(user=1, ts="later", v=2))
    assert caught.value.reason == "unsupported-version"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("user", None),
        ("user", ""),
        ("user", 5),
        ("user", b"bytes"),
        ("user", "x" * 257),
        ("user", "é" * 129),
        ("user", "a\x00b"),
        ("user", "a\x85b"),
        ("item", ""),
        ("item", None),
        ("item", "x" * 257),
        ("item", "tab\t"),
        ("item", ["i"]),
        ("type", "no-such-type"),
        ("type", ""),
        ("type", "x" * 9_999),
        ("type", None),
        ("type", 1),
        ("ts", -1),
        ("ts", NOW * 1_000),
        ("ts", 1.5),
        ("ts", "yesterday"),
        ("ts", True),
        ("ts", 2**64 - 1),
        ("ts", msgpack.Timestamp(1, 0)),
        ("value", math.nan),
        ("value", math.inf),
        ("value", -math.inf),
        ("value", "4"),
        ("value", True),
        ("event_id", "x" * 257),
        ("event_id", "a\nb"),
        ("event_id", 7),
        ("event_id", []),
        ("rec_id", "x" * 513),
        ("rec_id", "\x7f"),
        ("domain", "x" * 257),
        ("domain", {}),
        ("context", []),
        ("context", {"a": []}),
        ("context", {"a": {"b": 1}}),
        ("context", {"a": b"bytes"}),
        ("context", {"a": math.nan}),
        ("context", {str(number): 1 for number in range(MAX_CONTEXT_ENTRIES + 1)}),
        ("v", 0),
        ("v", "1"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_wrong_field_is_invalid_and_named(field: str, wrong: object) -> None:
    """The detail begins with the field, is short, and can be carried by a header."""
    bad = packed(**{field: wrong})
    with pytest.raises(Rejected) as caught:
        decoder().decode(bad)
    assert caught.value.reason == "invalid"
    assert caught.value.detail.startswith(f"{field}: ")
    assert len(caught.value.detail) < 300
    assert dead_letter(bad, caught.value, "dlq").headers[0] == ("metarec-reason", b"invalid")


@pytest.mark.parametrize("field", ["user", "item"])
def test_a_missing_field_is_invalid_and_named(field: str) -> None:
    """User and item cannot be left out."""
    fields = {name: entry for name, entry in MESSAGE.items() if name != field}
    with pytest.raises(Rejected, match=f"invalid: {field}: "):
        decoder().decode(record(msgpack.packb(fields)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"value": NaN', "invalid: value: "),
        ('"value": 1e999', "invalid: value: "),
        ('"value": 1' + "0" * 400, "invalid: value: "),
        ('"ts": 1' + "0" * 30, "invalid: ts: "),
        ('"context": {"a": 18446744073709551616}', "invalid: context: "),
        ('"user": "\\ud800"', "undecodable: "),
        ('"v": 1' + "0" * 30, "unsupported-version: v: "),
    ],
)
def test_numbers_and_text_that_only_json_can_write(text: str, reason: str) -> None:
    """JSON has numbers without bounds and half characters: rejected, never raised."""
    with pytest.raises(Rejected) as caught:
        decoder().decode(record(f'{{"user": "u", "item": "i", {text}}}'.encode()))
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "x" * 256, "item": "é" * 128},
        {"user": "ключ 用户 👩‍👩‍👧", "item": "a b"},
        {"ts": 0},
        {"value": 3},
        {"value": -0.5},
        {"rec_id": recommendation_id("t" * 249, 2**31 - 1, 2**63 - 1)},
        {"rec_id": "", "domain": ""},
        {"context": {}},
        {"context": {str(number): 1 for number in range(MAX_CONTEXT_ENTRIES)}},
        {"type": "cancel", "value": None, "event_id": None, "context": None},
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_what_is_at_the_bounds_is_accepted(fields: dict[str, Any]) -> None:
    """The bounds themselves are allowed, and absent may be written as null."""
    assert decoder().decode(packed(**fields)) == Interaction(**{**MESSAGE, **fields})


def test_an_empty_event_id_counts_as_none() -> None:
    """A client that writes "" for "no id" does not have all its events but one dropped."""
    assert decoder().decode(packed(event_id="")).event_id is None


@pytest.mark.parametrize("name", DEFAULT_TYPES)
def test_built_in_types_are_known(name: str) -> None:
    """Every type of the contract is accepted without configuration."""
    assert decoder().decode(packed(type=name)).type == name


def test_types_are_added_by_configuration() -> None:
    """A configured type is accepted where it is configured, and refused where it is not."""
    assert decoder(share=2.0).decode(packed(type="share")).type == "share"
    with pytest.raises(Rejected, match=r"type: 'share' is none of .*METAREC_EVENTS__WEIGHTS"):
        decoder().decode(packed(type="share"))


def test_erase_needs_no_item() -> None:
    """The control interaction passes with a user alone; a broken user or item is still refused."""
    assert decoder().decode(record(b'{"user":"u","type":"erase"}')).type == "erase"
    with pytest.raises(Rejected, match="user: empty"):
        decoder().decode(record(b'{"user":"","type":"erase"}'))
    with pytest.raises(Rejected, match="item: control"):
        decoder().decode(record(b'{"user":"u","type":"erase","item":"a\\nb"}'))


@given(
    value=st.one_of(
        st.binary(max_size=80),
        st.dictionaries(
            st.sampled_from(["user", "item", "type", "ts", "value", "context", "v", "event_id"]),
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**63), 2**64 - 1),
                st.floats(),
                st.text(max_size=5),
                st.binary(max_size=5),
                st.lists(st.integers(0, 5), max_size=2),
                st.dictionaries(st.text(max_size=2), st.floats() | st.text(max_size=2)),
            ),
        ).map(msgpack.packb),
    )
)
def test_arbitrary_records_are_an_interaction_or_rejected(value: bytes) -> None:
    """Nothing else is raised, a dead letter can be made, and what passes is complete."""
    bad_or_good = record(value)
    result = attempt(bad_or_good)
    if isinstance(result, Rejected):
        assert dead_letter(bad_or_good, result, "dlq").value == value
    else:
        assert result.user
        assert result.item or result.type == "erase"
        assert result.ts is not None
        assert result.value is None or math.isfinite(result.value)


def test_a_record_in_its_place_is_not_misplaced() -> None:
    """Key and partition as the default partitioner gives them."""
    for user in ("u", "ключ", "x" * 256):
        key = user.encode()
        there = record(b"", key=key, partition=partition_of(key, 4))
        assert not is_misplaced(there, user, 4)


def test_another_key_or_partition_is_misplaced() -> None:
    """No key, another key than the user, or a partition that the key does not lead to."""
    home = partition_of(b"u", 4)
    assert is_misplaced(record(b"", key=None, partition=home), "u", 4)
    assert is_misplaced(record(b"", key=b"v", partition=partition_of(b"v", 4)), "u", 4)
    assert is_misplaced(record(b"", key=b"u", partition=(home + 1) % 4), "u", 4)
