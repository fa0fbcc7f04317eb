"""Dead letters for people: a table of many, the whole of one. User ids only where asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from metarec_stream.contract.codec import content_type_of, decode_map
from metarec_stream.dead_letters.letter import Letter
from metarec_stream.errors import Rejected
from metarec_stream.hashing import hash64

MOST_HEX_BYTES = 4_096
USER_DETAIL = "user:"
"""How a detail begins that may quote the user id."""


def table_of(letters: Sequence[Letter], show_users: bool) -> Table:
    """One row for each letter."""
    table = Table(title=f"{len(letters):,} dead letters")
    for heading in ("partition", "offset", "rejected", "reason", "from offset", "replays"):
        table.add_column(heading, justify="left" if heading in ("rejected", "reason") else "right")
    if show_users:
        table.add_column("key", overflow="fold")
    table.add_column("detail", overflow="fold")
    for letter in letters:
        cells = [
            str(letter.partition),
            str(letter.offset),
            time_shown(letter.timestamp),
            letter.reason,
            str(letter.source_offset),
            str(letter.replays),
            *([_text(letter.key)] if show_users else []),
            detail_shown(letter, show_users),
        ]
        table.add_row(*map(Text, cells))  # no markup: what came over the wire is shown as it is
    return table


def lines_of(letter: Letter, show_users: bool) -> Iterator[str]:
    """All of one letter."""
    yield f"dead letter  {letter.place}"
    yield f"came from    {letter.source}"
    yield f"rejected     {time_shown(letter.timestamp)}"
    yield f"reason       {letter.reason}"
    yield f"detail       {detail_shown(letter, show_users)}"
    yield f"replays      {letter.replays}"
    yield f"key          {_key(letter.key, show_users)}"
    for name, content in letter.headers:
        yield f"header       {ascii(name)[1:-1]}: {_text(content)}"
    yield from _value_lines(letter, show_users)


def detail_shown(letter: Letter, show_users: bool) -> str:
    """The detail, without what it quotes of a user id."""
    if letter.detail.startswith(USER_DETAIL) and not show_users:
        return f"{USER_DETAIL} (what it quotes is shown with --show-users)"
    return letter.detail


def time_shown(timestamp: int) -> str:
    """Milliseconds since the epoch as UTC."""
    moment = datetime.fromtimestamp(timestamp / 1e3, UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _value_lines(letter: Letter, show_users: bool) -> Iterator[str]:
    value = letter.value
    if value is None:
        yield "value        null"
        return
    try:
        message = decode_map(value, content_type_of(letter.headers))
    except Rejected:
        more = len(value) - MOST_HEX_BYTES
        yield f"value        {len(value):,} bytes that cannot be decoded, hex"
        yield value[:MOST_HEX_BYTES].hex() + (f" and {more:,} bytes more" if more > 0 else "")
        return
    if "user" in message and not show_users:
        message = {**message, "user": _hidden(str(message["user"]))}
    yield f"value        {len(value):,} bytes, decoded"
    yield json.dumps(message, indent=2, default=_shown)


def _shown(value: Any) -> str:
    """What JSON has no word for: bytes and extension types of MessagePack."""
    return value.hex() if isinstance(value, bytes) else ascii(value)


def _key(key: bytes | None, show_users: bool) -> str:
    if key is None:
        return "none"
    return _text(key) if show_users else _hidden(key.decode(errors="replace"))


def _hidden(user: str) -> str:
    return f"#{hash64(user):016x} (in clear with --show-users)"


def _text(content: bytes | None) -> str:
    """UTF-8 without control characters; else hex."""
    try:
        text = (content or b"").decode()
    except UnicodeDecodeError:
        return f"0x{(content or b'').hex()}"
    return text if text.isprintable() else ascii(text)
