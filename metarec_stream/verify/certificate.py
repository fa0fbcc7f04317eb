"""What verification found, by partition: numbers, differences, and what was not checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

MOST_NAMED = 20
"""Differences of a partition that are named; the others are counted."""

Verdict = Literal["certified", "degraded", "different"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the input says."""

    kind: str
    """Short and fixed, to be told apart by programs: `row`, `answer-twice`, ..."""
    topic: str
    partition: int
    offset: int | None = None
    """Of the record that is wrong; of a missing one, of the input record that asks for it."""
    text: str

    def __str__(self) -> str:
        where = f"{self.topic}/{self.partition}"
        at = "" if self.offset is None else f" at offset {self.offset}"
        return f"{where}{at}: {self.text}"


class Found(msgspec.Struct, kw_only=True):
    """The certificate of one partition; numbers of records unless said otherwise."""

    partition: int
    input_first: int = 0
    """First offset of the input that is kept."""
    input_end: int = 0
    """Offset after the last record of the input that was read."""
    committed: int = 0
    """Offset up to which the service has answered."""
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    undecided: int = 0
    """Well-formed events whose fate depends on records that are gone."""
    state_offset: int | None = None
    """Offset at which the state was compared; absent without a checkpoint."""
    users: int = 0
    """Rows of users in the changelog."""
    digest: str = ""
    """Of the expected state at that offset, hex; absent if it could not be made."""
    answers: int = 0
    answered: int = 0
    """Different events that they answer."""
    answers_required: int = 0
    """Events below the committed offset that `emit` promises an answer to."""
    dead_letters: int = 0
    dead_letters_required: int = 0
    refused: int = 0
    """Accepted events with a dead letter in place of their answer: the brokers refused it."""
    repeated: int = 0
    """Answers and dead letters that came again, which `at-least-once` allows."""
    differences: list[Difference] = []
    differences_more: int = 0
    """Those beyond the ones that are named."""
    degraded: list[str] = []
    """What could not be checked, and why."""

    def differ(self, kind: str, topic: str, text: str, offset: int | None = None) -> None:
        """Note a difference."""
        if len(self.differences) == MOST_NAMED:
            self.differences_more += 1
            return
        self.differences.append(
            Difference(kind=kind, topic=topic, partition=self.partition, offset=offset, text=text)
        )

    @property
    def verdict(self) -> Verdict:
        """Of this partition."""
        if self.differences:
            return "different"
        return "degraded" if self.degraded else "certified"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was verified, when, and what came of it."""

    verdict: Verdict
    made_ms: int
    """Wall clock, ms since the epoch."""
    release: str
    servers: str
    interactions: str
    """The input topic."""
    group: str
    emit: str
    guarantee: str
    settings: str
    """Hash of the settings that hard state depends on, hex, as in the headers."""
    partitions: list[Found]
    v: int = 1

    @property
    def first_difference(self) -> Difference | None:
        """Of the first partition that has one."""
        return next((each for found in self.partitions for each in found.differences), None)

    @property
    def degraded(self) -> list[str]:
        """What could not be checked, by partition."""
        return [
            f"partition {found.partition}: {text}"
            for found in self.partitions
            for text in found.degraded
        ]


def verdict_of(partitions: Sequence[Found]) -> Verdict:
    """The worst of the partitions' verdicts."""
    verdicts = {found.verdict for found in partitions}
    if "different" in verdicts:
        return "different"
    return "degraded" if "degraded" in verdicts else "certified"
