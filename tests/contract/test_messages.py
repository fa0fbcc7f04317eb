"""Every message of the contract, there and back in both encodings."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from metarec_stream.contract.codec import (
    Encoding,
    content_type_of,
    decode_as,
    decode_item,
    decode_recommendation,
    encode,
    encode_interaction,
)
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item
from metarec_stream.contract.profile import UserProfile
from metarec_stream.contract.recommendation import (
    Recommendation,
    RecommendedItem,
    SourcePosition,
    recommendation_id,
)
from metarec_stream.errors import Rejected

ENCODINGS: tuple[Encoding, ...] = ("msgpack", "json")

texts = st.text(max_size=12)
ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(0, 253_402_300_799_999)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), floats, texts)
maps = st.dictionaries(texts, scalars, max_size=4)
interactions = st.builds(
    Interaction,
    user=ids,
    item=texts,
    type=texts,
    ts=st.none() | times,
    value=st.none() | floats,
    event_id=st.none() | texts,
    rec_id=st.none() | texts,
    context=st.none() | maps,
    domain=st.none() | texts,
)
items = st.builds(
    Item,
    item=ids,
    title=st.none() | texts,
    categories=st.lists(texts, max_size=3),
    tags=st.lists(texts, max_size=3),
    price=st.none() | floats,
    created=st.none() | times,
    vectors=st.dictionaries(texts, st.lists(floats, max_size=3), max_size=2),
    domain=st.none() | texts,
    relations=st.lists(st.tuples(texts, texts), max_size=3),
)
recommended = st.builds(
    RecommendedItem,
    item=ids,
    score=floats,
    probability=st.none() | floats,
    propensity=st.none() | floats,
    why=st.lists(texts, max_size=2),
)
sources = st.builds(
    SourcePosition, topic=texts, partition=st.integers(0, 9), offset=st.integers(0, 2**63 - 1)
)
recommendations = st.builds(
    Recommendation,
    rec_id=texts,
    user=ids,
    items=st.lists(recommended, max_size=3),
    ts=times,
    event_ts=times,
    meta_version=st.integers(0, 2**31),
    adapter=texts,
    arm=texts,
    source=sources,
)
messages = st.one_of(
    interactions, items, recommendations, st.builds(UserProfile, user=ids, attributes=maps)
)


@given(message=messages, encoding=st.sampled_from(ENCODINGS))
def test_a_message_comes_back_as_it_was(message: msgspec.Struct, encoding: Encoding) -> None:
    """Decoding what was encoded gives the same message, told by the header."""
    value, headers = encode(message, encoding)
    assert decode_as(value, content_type_of(headers), type(message)) == message


@given(message=messages, encoding=st.sampled_from(ENCODINGS))
def test_a_message_comes_back_without_its_header(
    message: msgspec.Struct, encoding: Encoding
) -> None:
    """The first byte tells the encoding where a client sends no header."""
    value, _ = encode(message, encoding)
    assert decode_as(value, None, type(message)) == message


@given(interaction=interactions, encoding=st.sampled_from(ENCODINGS))
def test_an_interaction_is_sent_without_what_is_absent(
    interaction: Interaction, encoding: Encoding
) -> None:
    """What producers send holds no null at its top, and means the same."""
    value, headers = encode_interaction(interaction, encoding)
    fields = (msgspec.json if encoding == "json" else msgspec.msgpack).decode(value)
    assert None not in fields.values()
    assert ("item" in fields) == bool(interaction.item)
    assert decode_as(value, content_type_of(headers), Interaction) == interaction


@given(message=messages, encoding=st.sampled_from(ENCODINGS), extra=maps)
def test_unknown_fields_are_ignored(
    message: msgspec.Struct, encoding: Encoding, extra: dict[str, object]
) -> None:
    """A field that a later producer adds changes nothing."""
    fields = {**msgspec.to_builtins(message), "x-later": extra}
    codec = msgspec.json if encoding == "json" else msgspec.msgpack
    assert decode_as(codec.encode(fields), None, type(message)) == message


@given(item=items, encoding=st.sampled_from(ENCODINGS))
def test_an_item_record_is_read(item: Item, encoding: Encoding) -> None:
    """A record of topic `items` gives its item."""
    assert decode_item(_record(*encode(item, encoding))) == item


def test_a_null_value_deletes_an_item() -> None:
    """A tombstone is no error: it means that the key is gone."""
    assert decode_item(_record(None, ())) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "item: missing"),
        ({"item": ""}, "item: empty"),
        ({"item": "x" * 257}, "item: 257 bytes"),
        ({"item": "a\nb"}, "item: control"),
        ({"item": "a", "price": float("inf")}, "price: inf"),
        ({"item": "a", "created": -1}, "created: -1"),
        ({"item": "a", "vectors": {"text": [0.5, float("nan")]}}, "vectors: nan"),
        ({"item": "a", "relations": [["like"]]}, "relations: "),
    ],
)
def test_an_item_that_cannot_be_is_rejected(fields: dict[str, object], named: str) -> None:
    """The detail begins with the field that is wrong."""
    with pytest.raises(Rejected) as caught:
        decode_item(_record(msgspec.msgpack.encode(fields), ()))
    assert caught.value.reason == "invalid"
    assert caught.value.detail.startswith(named)


def test_a_recommendation_is_read_by_a_subscriber() -> None:
    """`decode_recommendation` gives the list as it was published, and its own source's id."""
    sent = Recommendation(
        rec_id=recommendation_id("interactions", 3, 17),
        user="u",
        items=[RecommendedItem(item="i", score=0.25, why=["repeat"])],
        ts=2,
        event_ts=1,
        meta_version=4,
        adapter="value-sum",
        arm="default",
        source=SourcePosition(topic="interactions", partition=3, offset=17),
    )
    value, headers = encode(sent, "json")
    received = decode_recommendation(value, content_type_of(headers))
    assert received == sent
    assert received.rec_id == "interactions/3/17"


def _record(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> ConsumerRecord:
    return ConsumerRecord(
        "items", 0, 0, 0, -1, 0, b"key", value, headers, None, 3, len(value or b""), 0
    )
