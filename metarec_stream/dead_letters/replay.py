"""Dead letters back onto the input: byte for byte, marked, and each of them once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metarec_stream.config import Settings
from metarec_stream.contract.codec import content_type_of, decode_map
from metarec_stream.contract.transport import Output, Record
from metarec_stream.dead_letters.letter import REPLAYED_FROM, REPLAYS, Letter
from metarec_stream.errors import Rejected


@dataclass(frozen=True, slots=True)
class Planned:
    """A letter that was selected, and what becomes of it."""

    letter: Letter
    refusal: str | None
    """Why it is not replayed; None if it is."""


def plan(
    letters: Iterable[Letter],
    done: Mapping[str, str],
    settings: Settings,
    *,
    most_replays: int,
    again: bool,
) -> list[Planned]:
    """What is replayed of these letters.

    `done`: where the replay of a letter lies in the input, by the letter's place.
    `again`: whether one that was replayed may be replayed once more.
    """
    planned = []
    for letter in letters:
        refusal = _refusal(letter, settings, most_replays)
        if refusal is None and not again and letter.place in done:
            refusal = f"it was replayed already, as {done[letter.place]}; --again does it once more"
        planned.append(Planned(letter, refusal))
    return planned


def replayed_places(records: Iterable[Record]) -> dict[str, str]:
    """Of the records of the input that are replays: their places, by their letters' places."""
    done = {}
    for record in records:
        mark = dict(record.headers).get(REPLAYED_FROM)
        if mark is not None:
            done[mark.decode(errors="replace")] = (
                f"{record.topic}/{record.partition}/{record.offset}"
            )
    return done


def replay_of(letter: Letter) -> Output:
    """The rejected record again, for the partition it came from, with the two marks."""
    own = tuple(each for each in letter.headers if each[0] not in (REPLAYED_FROM, REPLAYS))
    marks = (
        (REPLAYED_FROM, letter.place.encode()),
        (REPLAYS, str(letter.replays + 1).encode()),
    )
    return Output(
        topic=letter.source_topic,
        partition=letter.source_partition,
        key=letter.key,
        value=letter.value,
        headers=(*own, *marks),
    )


def timestamp_of(letter: Letter) -> int | None:
    """The record timestamp of the replay, ms; None for the time at which it is sent.

    An event without a `ts` of its own happened when its record was written. Letters do not keep
    that time, but their own is close to it.
    """
    try:
        message = decode_map(letter.value or b"", content_type_of(letter.headers))
    except Rejected:
        return None
    return letter.timestamp if message.get("ts") is None else None


def _refusal(letter: Letter, settings: Settings, most_replays: int) -> str | None:
    """Why it can never be replayed, whatever was done before."""
    if letter.emptied:
        return f"its bytes are not in it: {letter.source} holds them, if retention left it there"
    if letter.learned:
        return "its record was accepted and is learned: replayed, it would be learned twice"
    if letter.source_topic != settings.topics.interactions:
        return (
            f"it came from {letter.source_topic}, and the input is {settings.topics.interactions}"
        )
    if letter.replays >= most_replays:
        return f"it was replayed {letter.replays} times and rejected each time (--most-replays)"
    return None
