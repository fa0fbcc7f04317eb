"""Which bytes are a message, and in which encoding."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.contract.codec import (
    MAX_DEPTH,
    check_id,
    check_text,
    content_type_of,
    decode_as,
    decode_map,
    encode,
)
from metarec_stream.contract.interaction import Interaction
from metarec_stream.errors import Reason, Rejected

MESSAGE = {"user": "u", "item": "i"}
PACKED: bytes = msgpack.packb(MESSAGE)
WRITTEN = json.dumps(MESSAGE).encode()


def nested_list(depth: int) -> list[Any]:
    """A list in a list in a list."""
    outer: list[Any] = []
    for _ in range(depth - 1):
        outer = [outer]
    return outer


def attempt(value: bytes, content_type: bytes | None) -> dict[str, Any] | Rejected:
    """The map, or why there is none."""
    try:
        return decode_map(value, content_type)
    except Rejected as rejected:
        return rejected


def reason_for(value: bytes, content_type: bytes | None = None) -> Reason:
    """Why the bytes are rejected."""
    with pytest.raises(Rejected) as caught:
        decode_map(value, content_type)
    return caught.value.reason


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/msgpack",
        b"application/x-msgpack",
        b"application/vnd.msgpack",
        b"Application/MsgPack ; version=5",
    ],
)
def test_the_header_says_messagepack(content_type: bytes) -> None:
    """All names of MessagePack are known, with parameters and in any case; JSON is then wrong."""
    assert decode_map(PACKED, content_type) == MESSAGE
    assert reason_for(WRITTEN, content_type) == "undecodable"


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"application/json;charset=utf-8", b"APPLICATION/JSON"]
)
def test_the_header_says_json(content_type: bytes) -> None:
    """JSON may begin with white space where the header names it; MessagePack is then wrong."""
    assert decode_map(b" \n" + WRITTEN, content_type) == MESSAGE
    assert reason_for(PACKED, content_type) == "undecodable"


@pytest.mark.parametrize("content_type", [None, b"", b"text/plain", b"\xff;\xfe"])
def test_the_first_byte_decides_without_a_known_header(content_type: bytes | None) -> None:
    """A brace is JSON, anything else MessagePack."""
    assert decode_map(WRITTEN, content_type) == MESSAGE
    assert decode_map(PACKED, content_type) == MESSAGE


def test_the_header_is_found_in_any_case() -> None:
    """HTTP's spelling of the header's name is understood too."""
    assert content_type_of([("x", b"1"), ("Content-Type", b"a/b")]) == b"a/b"
    assert content_type_of([("x", b"1")]) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        b"no encoding at all",
        PACKED[:-1],
        WRITTEN[:-1],
        PACKED + b"\x00",
        WRITTEN + b"x",
        msgpack.packb([1, 2]),
        msgpack.packb("text"),
        msgpack.packb({1: "a"}),
        msgpack.packb({b"user": "u"}),
        b"\x81\xa4user\xa1\xff",
        b"\x81\xa4user\xa3\xed\xa0\x80",
        b'{"user": "\xff"}',
        b'{"user": "\\ud800"}',
        b'\xef\xbb\xbf{"user": "u"}',
        WRITTEN.decode().encode("utf-16-le"),
        b'{"ts": 1' + b"0" * 5_000 + b"}",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12,
    ],
    ids=repr,
)
def test_what_is_no_message_is_undecodable(value: bytes) -> None:
    """Neither encoding, truncated, trailing bytes, no map, no UTF-8, numbers without end."""
    assert reason_for(value) == "undecodable"


@pytest.mark.parametrize("depth", [MAX_DEPTH, 500, 1_000, 1_020])
def test_deep_nesting_is_undecodable_in_both_encodings(depth: int) -> None:
    """However deep the nesting, and also in a field that is unknown, the answer is the same."""
    deep = b"\x91" * (depth - 1) + b"\x90"
    assert reason_for(b"\x82\xa4user\xa1u\xa1x" + deep) == "undecodable"
    assert reason_for(b"\x91" + deep) == "undecodable"
    lists = b"[" * depth + b"]" * depth
    assert reason_for(b'{"user": "u", "x": ' + lists + b"}") == "undecodable"
    assert reason_for(lists, b"application/json") == "undecodable"
    maps = b'{"x":' * depth + b"{}" + b"}" * depth
    assert reason_for(maps) == "undecodable"


def test_nesting_up_to_the_bound_is_read() -> None:
    """The bound holds to the level, and in the same way in both encodings."""
    message = {"x": nested_list(MAX_DEPTH - 1)}
    assert decode_map(msgpack.packb(message), None) == message
    assert decode_map(json.dumps(message).encode(), None) == message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"user": "u", "value": NaN}', "value: nan"),
        ('{"user": "u", "value": -Infinity}', "value: -inf"),
        ('{"user": "u", "value": 1e999}', "value: inf"),
        ('{"context": {"a": NaN}, "user": "u"}', "context: nan"),
    ],
)
def test_json_with_a_number_that_is_none_names_the_field(text: str, named: str) -> None:
    """What Python's own JSON encoder writes for NaN is `invalid`, not a riddle."""
    with pytest.raises(Rejected) as caught:
        decode_map(text.encode(), None)
    assert caught.value.reason == "invalid"
    assert caught.value.detail.startswith(named)


@pytest.mark.parametrize("version", [2, 10**30, 1.5, 2.0])
@pytest.mark.parametrize("rest", [MESSAGE, {"user": 7}, {}])
def test_a_later_version_is_told_before_anything_else(
    version: float, rest: dict[str, object]
) -> None:
    """A message of the future is `unsupported-version` even where its other fields look wrong."""
    with pytest.raises(Rejected) as caught:
        decode_as(json.dumps({**rest, "v": version}).encode(), None, Interaction)
    assert caught.value.reason == "unsupported-version"


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.0, [], {}])
def test_a_version_that_cannot_be_is_invalid(version: object) -> None:
    """Only the integer 1, or nothing, is this version."""
    with pytest.raises(Rejected, match="invalid: v: expected 1"):
        decode_as(msgpack.packb({**MESSAGE, "v": version}), None, Interaction)


def test_a_wrong_type_names_its_field() -> None:
    """The detail begins with the field, whether it is missing, wrong, or wrong inside."""
    for fields, named in (
        ({}, "user: missing"),
        ({"user": 5}, "user: Expected `str`"),
        ({"user": "u", "context": {"a": {}}}, "context: Expected"),
        ({"user": "u", "context": {b"a": 1}}, "context: Expected"),
    ):
        with pytest.raises(Rejected) as caught:
            decode_as(msgpack.packb(fields), None, Interaction)
        assert caught.value.reason == "invalid"
        assert caught.value.detail.startswith(named)


def test_a_lone_surrogate_is_rejected_wherever_text_is_checked() -> None:
    """Half of a pair has no UTF-8: the detail is plain text that a header can carry."""
    with pytest.raises(Rejected, match="user: lone surrogate") as caught:
        check_id("user", "a\ud800", 256)
    assert caught.value.detail.isascii()
    with pytest.raises(Rejected, match="context: lone surrogate"):
        check_text("context", "\udfff")


def test_ids_are_measured_in_bytes() -> None:
    """The bound is on UTF-8 bytes, not on characters, and is itself allowed."""
    check_id("user", "é" * 128, 256)
    with pytest.raises(Rejected, match="user: 258 bytes"):
        check_id("user", "é" * 129, 256)


def test_the_headers_say_the_encoding() -> None:
    """An encoded message names its media type, and is in that encoding."""
    interaction = Interaction(user="u", item="i")
    assert encode(interaction, "json")[1] == (("content-type", b"application/json"),)
    assert msgspec.json.decode(encode(interaction, "json")[0])["user"] == "u"
    assert encode(interaction, "msgpack")[1] == (("content-type", b"application/msgpack"),)
    assert msgpack.unpackb(encode(interaction, "msgpack")[0])["user"] == "u"


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(
    value=st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda rest: b"{" + rest),
        any_json.map(lambda document: json.dumps(document).encode()),
        st.builds(lambda cut, rest: PACKED[:cut] + rest, st.integers(0, 20), st.binary()),
    ),
    content_type=st.sampled_from([None, b"application/json", b"application/msgpack"]),
)
def test_arbitrary_bytes_are_a_map_or_rejected(value: bytes, content_type: bytes | None) -> None:
    """Nothing that can be sent raises anything but Rejected, with a detail a header can carry."""
    result = attempt(value, content_type)
    if isinstance(result, Rejected):
        assert result.detail.encode()
        assert len(result.detail) < 300
    else:
        assert all(type(name) is str for name in result)
