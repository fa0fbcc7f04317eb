"""From a certificate to a row of the matrix, and how long nothing came."""

from __future__ import annotations

import pytest

from metarec_stream.chaos.outcome import counts_of
from metarec_stream.chaos.watch import silence
from metarec_stream.verify.certificate import Certificate, Found, verdict_of


def found(*kinds: str, **fields: object) -> Found:
    """A partition's findings, compared in full, with differences of these kinds."""
    made = Found(partition=0, input_end=10, state_offset=10, digest="ab")
    for name, value in fields.items():
        setattr(made, name, value)
    for kind in kinds:
        made.differ(kind, "topic", f"it is {kind}", 3)
    return made


def certificate(*partitions: Found) -> Certificate:
    """A certificate of these."""
    return Certificate(
        verdict=verdict_of(partitions), made_ms=0, release="1", servers="s", interactions="i",
        group="g", emit="per_event", guarantee="exactly-once", settings="",
        partitions=[*partitions],
    )  # fmt: skip


def test_a_clean_certificate_counts_nothing() -> None:
    """Zeros, which were compared, and no note."""
    counts = counts_of(certificate(found(accepted=8, rejected=2), found(accepted=9, duplicates=1)))
    assert (counts.lost, counts.learned_twice, counts.output_duplicates) == (0, 0, 0)
    assert (counts.events, counts.accepted, counts.rejected, counts.duplicates) == (20, 17, 2, 1)
    assert (counts.verdict, counts.note) == ("certified", "")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["answer-missing", "letter-missing"], (2, 0, 0)),
        (["row", "row-missing", "header-accepted"], (0, 3, 0)),
        (["answer-twice", "letter-twice"], (0, 0, 2)),
    ],
)
def test_differences_are_counted_by_what_they_mean(
    kinds: list[str], expected: tuple[int, int, int]
) -> None:
    """Lost, learned otherwise, doubled; the first difference is the note."""
    counts = counts_of(certificate(found(), found(*kinds)))
    assert (counts.lost, counts.learned_twice, counts.output_duplicates) == expected
    assert counts.verdict == "different"
    assert counts.note.startswith(f"{len(kinds)} differences, the first: topic/0 at offset 3")


def test_a_state_that_was_not_compared_has_no_count() -> None:
    """Absent is not zero."""
    counts = counts_of(certificate(found(), found(digest="", degraded=["retention"])))
    assert counts.learned_twice is None
    assert (counts.verdict, counts.note) == ("degraded", "partition 0: retention")


def test_answers_that_came_again_are_counted_where_they_are_allowed() -> None:
    """At-least-once: no difference, and still a duplicate."""
    assert counts_of(certificate(found(repeated=3))).output_duplicates == 3


def test_silence_begins_with_the_fault_and_ends_with_an_arrival() -> None:
    """Not before the fault, and not after the last answer, when nothing is left to come."""
    assert silence([1.0, 2.0, 9.0, 9.5], since=3.0) == 6.0
    assert silence([1.0, 4.0, 6.5], since=3.0) == 2.5
    assert silence([1.0, 2.0], since=3.0) is None
