"""Messages to bytes and back: MessagePack or JSON, told apart by header or by the first byte."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

import msgpack
import msgspec

from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item
from metarec_stream.contract.profile import UserProfile
from metarec_stream.contract.recommendation import Recommendation
from metarec_stream.contract.transport import Headers, Record
from metarec_stream.errors import Reason, Rejected

Encoding = Literal["msgpack", "json"]
Encoded = tuple[bytes, tuple[tuple[str, bytes], ...]]
Message = TypeVar("Message", bound=msgspec.Struct)

SCHEMA_VERSION = 1
MAX_DEPTH = 32
"""Deepest nesting of maps and lists that is read, unknown fields included. A bound of our own:
that of the JSON decoder depends on how deep its caller's stack is, and a record must be accepted
by every process or by none."""
MAX_TIME_MS = 253_402_300_799_999
"""The end of the year 9999: later times are microseconds or nanoseconds by mistake."""
MAX_ID_BYTES = 256
"""Default bound on ids, in UTF-8 bytes."""

_IS_JSON = {
    b"application/json": True,
    b"application/msgpack": False,
    b"application/x-msgpack": False,
    b"application/vnd.msgpack": False,
}
_HEADERS: dict[Encoding, tuple[tuple[str, bytes], ...]] = {
    "msgpack": (("content-type", b"application/msgpack"),),
    "json": (("content-type", b"application/json"),),
}
_STRINGS = frozenset({str})
_CONTAINERS = frozenset({dict, list})
_JSON_MAP = msgspec.json.Decoder(dict)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELD = re.compile(r"`\$\.(\w+)")


def content_type_of(headers: Headers) -> bytes | None:
    """The value of a record's `content-type` header, in whatever case its name is written."""
    for name, value in headers:
        if name == "content-type" or name.lower() == "content-type":
            return value
    return None


def decode_map(value: bytes, content_type: bytes | None) -> dict[str, Any]:
    """The message as a map, nested at most `MAX_DEPTH`, before anything in it is looked at.

    Raises Rejected: `undecodable` if it is neither encoding, truncated, followed by more bytes,
    not UTF-8, not a map with text keys, nested too deep, or has a number that cannot be held;
    `invalid` for NaN and infinities written into JSON.
    """
    message = _json_map(value) if _is_json(value, content_type) else _msgpack_map(value)
    if not _CONTAINERS.isdisjoint(map(type, message.values())) and _too_deep(message):
        raise Rejected(Reason.UNDECODABLE, f"nested more than {MAX_DEPTH} deep")
    return message


def decode_as(value: bytes, content_type: bytes | None, message_type: type[Message]) -> Message:
    """A message of the given type; unknown fields are ignored.

    Raises Rejected: as `decode_map`, `check_version` and `convert_map` do.
    """
    message = decode_map(value, content_type)
    check_version(message)
    return convert_map(message, message_type)


def decode_item(record: Record, max_id_bytes: int = MAX_ID_BYTES) -> Item | None:
    """The item that a record of topic `items` announces; None if its null value deletes the key.

    Raises Rejected: as `decode_as` does, and `invalid` for an id, time or number that cannot be.
    """
    if record.value is None:
        return None
    item = decode_as(record.value, content_type_of(record.headers), Item)
    check_id("item", item.item, max_id_bytes)
    if item.price is not None:
        check_finite("price", item.price)
    if item.created is not None:
        check_time("created", item.created)
    for vector in item.vectors.values():
        for number in vector:
            check_finite("vectors", number)
    return item


def item_key(record: Record, item: Item | None, max_id_bytes: int = MAX_ID_BYTES) -> str:
    """The id under which a record of topic `items` announces the item, or deletes what None is.

    Raises Rejected `invalid` for a key that is no id, or not that of the item.
    """
    return _key_of(record, "item", None if item is None else item.item, max_id_bytes)


def decode_profile(record: Record, max_id_bytes: int = MAX_ID_BYTES) -> UserProfile | None:
    """The profile in a record of topic `users`; None if its null value deletes the key.

    Raises Rejected: as `decode_as` does, and `invalid` for an id or number that cannot be.
    """
    if record.value is None:
        return None
    profile = decode_as(record.value, content_type_of(record.headers), UserProfile)
    check_id("user", profile.user, max_id_bytes)
    for value in profile.attributes.values():
        if isinstance(value, float):
            check_finite("attributes", value)
    return profile


def profile_key(
    record: Record, profile: UserProfile | None, max_id_bytes: int = MAX_ID_BYTES
) -> str:
    """The id of the user that a record of topic `users` is about; raises as `item_key` does."""
    return _key_of(record, "user", None if profile is None else profile.user, max_id_bytes)


def decode_recommendation(value: bytes, content_type: bytes | None) -> Recommendation:
    """A recommendation, as subscribers read it; raises Rejected as `decode_as` does."""
    return decode_as(value, content_type, Recommendation)


def encode(message: msgspec.Struct, encoding: Encoding) -> Encoded:
    """The message's bytes, and the headers that say how they are encoded."""
    return _pack(msgspec.to_builtins(message), encoding)


def encode_interaction(interaction: Interaction, encoding: Encoding = "msgpack") -> Encoded:
    """As `encode`, without the fields that are absent."""
    fields = msgspec.to_builtins(interaction)
    present = {name: field for name, field in fields.items() if field is not None}
    if not interaction.item:
        del present["item"]
    return _pack(present, encoding)


def check_version(message: Mapping[str, Any]) -> None:
    """Raise Rejected for a schema version that is not known.

    Called before any other field is read: a later version may mean them differently.
    """
    version = message.get("v", SCHEMA_VERSION)
    if type(version) is int and version == SCHEMA_VERSION:
        return
    if type(version) in (int, float) and version > SCHEMA_VERSION:
        detail = f"v: {shown(version)} is newer than {SCHEMA_VERSION}; update the consumer first"
        raise Rejected(Reason.UNSUPPORTED_VERSION, detail)
    raise Rejected(Reason.INVALID, f"v: expected {SCHEMA_VERSION}, got {shown(version)}")


def convert_map(message: Mapping[str, Any], message_type: type[Message]) -> Message:
    """The typed message; raises Rejected `invalid`, field first, for a wrong type."""
    try:
        return msgspec.convert(message, message_type)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.INVALID, _field_first(str(error))) from None


def check_id(field: str, text: str, max_bytes: int) -> None:
    """Raise Rejected `invalid` for an empty id, a long one, or one with control characters."""
    if 0 < len(text) <= max_bytes and text.isascii() and text.isprintable():
        return
    if not text:
        raise Rejected(Reason.INVALID, f"{field}: empty")
    length = len(text.encode("utf-8", "surrogatepass"))
    if length > max_bytes:
        raise Rejected(Reason.INVALID, f"{field}: {length} bytes, at most {max_bytes} are allowed")
    if _CONTROL.search(text):
        raise Rejected(Reason.INVALID, f"{field}: control character in {shown(text)}")
    check_text(field, text)


def check_text(field: str, text: str) -> None:
    """Raise Rejected `invalid` for half of a surrogate pair: text that has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Rejected(Reason.INVALID, f"{field}: lone surrogate in {shown(text)}") from None


def check_time(field: str, milliseconds: int) -> None:
    """Raise Rejected `invalid` for a time before 1970 or after the year 9999."""
    if not 0 <= milliseconds <= MAX_TIME_MS:
        detail = f"{field}: {shown(milliseconds)} is not a time in milliseconds since the epoch"
        raise Rejected(Reason.INVALID, detail)


def check_finite(field: str, number: float) -> None:
    """Raise Rejected `invalid` for NaN and the infinities."""
    if not math.isfinite(number):
        raise Rejected(Reason.INVALID, f"{field}: {number} is not a finite number")


def shown(value: object) -> str:
    """What came, for a detail: ASCII and short, whatever it is."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key_of(record: Record, field: str, told: str | None, max_id_bytes: int) -> str:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID, "key: not UTF-8") from None
    check_id("key", key, max_id_bytes)
    if told is not None and key != told:
        raise Rejected(Reason.INVALID, f"key: {shown(key)} is not the {field} {shown(told)}")
    return key


def _is_json(value: bytes, content_type: bytes | None) -> bool:
    if content_type is not None:
        known = _IS_JSON.get(content_type)
        if known is None:
            known = _IS_JSON.get(content_type.partition(b";")[0].strip().lower())
        if known is not None:
            return known
    return value[:1] == b"{"


def _msgpack_map(value: bytes) -> dict[str, Any]:
    try:
        message = msgpack.unpackb(value)
    except (ValueError, RecursionError) as error:
        detail = f"not MessagePack: {str(error)[:120] or type(error).__name__}"
        raise Rejected(Reason.UNDECODABLE, detail) from None
    if type(message) is not dict:
        detail = f"not a map but {type(message).__name__} (JSON starts with a brace)"
        raise Rejected(Reason.UNDECODABLE, detail)
    if not _STRINGS.issuperset(map(type, message)):
        raise Rejected(Reason.UNDECODABLE, "a key of the map is not text")
    return message


def _json_map(value: bytes) -> dict[str, Any]:
    try:
        message: dict[str, Any] = _JSON_MAP.decode(value)
    except RecursionError:
        raise Rejected(Reason.UNDECODABLE, f"nested more than {MAX_DEPTH} deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _explain_json(value, str(error))
    return message


def _explain_json(value: bytes, said: str) -> NoReturn:
    """Reject what is not JSON, but name the field if only a NaN or an infinity is wrong with it.

    Python's own encoder writes these, so that senders meet them; they are no JSON.
    """
    try:
        fields = json.loads(value.decode()).items()
    except (ValueError, RecursionError, AttributeError):
        raise Rejected(Reason.UNDECODABLE, f"not JSON: {said[:120]}") from None
    for name, field in fields:
        for number in field.values() if isinstance(field, dict) else (field,):
            if isinstance(number, float) and not math.isfinite(number):
                detail = f"{ascii(name)[1:-1][:60]}: {number} is not a finite number"
                raise Rejected(Reason.INVALID, detail)
    raise Rejected(Reason.UNDECODABLE, f"not JSON: {said[:120]}")


def _too_deep(message: dict[str, Any]) -> bool:
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _field_first(said: str) -> str:
    """The decoder's message with the field's name in front, where people look for it."""
    field = _FIELD.search(said)
    if field is not None:
        return f"{field[1]}: {said[:120]}"
    missing = re.fullmatch(r"Object missing required field `(\w+)`", said)
    return f"{missing[1]}: missing" if missing is not None else said[:120]


def _pack(fields: dict[str, Any], encoding: Encoding) -> Encoded:
    value = msgspec.json.encode(fields) if encoding == "json" else msgpack.packb(fields)
    return value, _HEADERS[encoding]
