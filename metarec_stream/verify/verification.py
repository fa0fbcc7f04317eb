"""From a log to its certificate, one partition after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b

import msgspec

from metarec_stream import __version__
from metarec_stream.clock import Clock
from metarec_stream.config import Settings
from metarec_stream.contract.transport import Record
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.verify.acceptance import Acceptance, Fate
from metarec_stream.verify.answers import Answers
from metarec_stream.verify.certificate import Certificate, Found, verdict_of
from metarec_stream.verify.changelog import StoredState
from metarec_stream.verify.expected_state import ExpectedUsers
from metarec_stream.verify.letters import DeadLetters
from metarec_stream.verify.log import Log

TELL_EVERY = 500

OnProgress = Callable[[int], None]
"""Called with how many more offsets have been passed."""


class Verification:
    """Compares what the service wrote with what its input says it should have written."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        clock: Clock,
        on_progress: OnProgress = lambda more: None,
        *,
        show_users: bool = False,
    ) -> None:
        """`show_users`: whether differences name users in clear, not by their hashes."""
        self._settings = settings
        self._log = log
        self._clock = clock
        self._on_progress = on_progress
        self._show_users = show_users
        topics = settings.topics
        self._topics = (
            topics.state,
            topics.recommendations,
            topics.dead_letters_topic(),
            topics.interactions,
        )
        self.settings_hash = hash_of(settings)

    def offsets(self, chosen: Sequence[int] = ()) -> int:
        """Offsets to be passed in these partitions, in all if none is named: for a progress bar."""
        spans = [
            self._log.span(topic, partition)
            for topic in self._topics
            for partition in chosen or range(self._log.partitions)
        ]
        return sum(end - first for first, end in spans)

    def certificate(self, chosen: Sequence[int] = ()) -> Certificate:
        """Of the chosen partitions, of all if none is named.

        Raises BadConfiguration if the state was made under other settings, Fatal if the log cannot
        be read.
        """
        settings = self._settings
        found = [self.partition(number) for number in chosen or range(self._log.partitions)]
        return Certificate(
            verdict=verdict_of(found),
            made_ms=self._clock.now_ms(),
            release=__version__,
            servers=settings.kafka.bootstrap_servers,
            interactions=settings.topics.interactions,
            group=settings.kafka.group,
            emit=settings.emit,
            guarantee=settings.kafka.guarantee,
            settings=self.settings_hash.hex(),
            partitions=found,
        )

    def partition(self, number: int) -> Found:
        """One partition's part of the certificate; raises as `certificate` does."""
        settings, topics = self._settings, self._settings.topics
        first, end = self._log.span(topics.interactions, number)
        found = Found(partition=number, input_first=first, input_end=end)
        state = StoredState(topics.state, found, self._show_users)
        state.read(self._records(topics.state, number))
        self._check_settings(state, number)
        self._note_committed(found, state)
        whole = self._note_holes(found, state)
        answers = Answers(settings, found, self._has_hole(topics.recommendations, number))
        answers.read(self._records(topics.recommendations, number))
        dead_letters = topics.dead_letters_topic()
        letters = DeadLetters(settings, found, self._has_hole(dead_letters, number))
        letters.read(self._records(dead_letters, number))
        self._note_retention(found, answers, letters)
        self._walk(found, state, answers, letters, whole)
        return found

    def _walk(
        self, found: Found, state: StoredState, answers: Answers, letters: DeadLetters, whole: bool
    ) -> None:
        """Through the input, in order."""
        acceptance = Acceptance(self._settings, whole=whole)
        users = ExpectedUsers(self._settings)
        header = state.header
        compare_at = header.offset if header is not None and whole else None
        if header is not None and not whole:
            state.compare_with_itself()
        for record in self._records(self._settings.topics.interactions, found.partition):
            if compare_at is not None and record.offset >= compare_at:
                state.compare(users, acceptance)
                compare_at = None
            watermark = acceptance.watermark
            outcome = acceptance.decide(record)
            found.undecided += outcome.fate is Fate.UNDECIDED
            if outcome.fate is Fate.ACCEPTED and outcome.interaction is not None:
                users.expire(watermark, acceptance.watermark)
                users.apply(outcome.interaction, outcome.time, record.offset)
            if outcome.fate is Fate.ERASED and outcome.interaction is not None:
                users.erase(outcome.interaction.user)
            refused = letters.meet(record, outcome)
            answers.meet(record, outcome, refused)
        if compare_at is not None:
            state.compare(users, acceptance)
        letters.finish()
        answers.finish()
        found.accepted, found.rejected = acceptance.accepted, acceptance.rejected
        found.duplicates = acceptance.duplicates

    def _records(self, topic: str, partition: int) -> Iterator[Record]:
        first, end = self._log.span(topic, partition)
        return _told(self._log.records(topic, partition), first, end, self._on_progress)

    def _has_hole(self, topic: str, partition: int) -> bool:
        return self._log.span(topic, partition)[0] > 0

    def _check_settings(self, state: StoredState, number: int) -> None:
        header = state.header
        if header is not None and header.settings != self.settings_hash:
            raise BadConfiguration(
                f"the state of {self._settings.topics.state}/{number} was made under settings with "
                f"the hash {header.settings.hex()}, and these have {self.settings_hash.hex()}: "
                "give the service's own state.ring, guard and events.weights, in the file, the "
                "variables or the flags that it has"
            )

    def _note_committed(self, found: Found, state: StoredState) -> None:
        """A group that is gone has no offsets any more; the checkpoint has one."""
        committed = self._log.committed(found.partition)
        header = state.header
        if header is not None:
            found.state_offset = header.offset
        if committed is None and header is not None:
            committed = header.offset
        found.committed = committed or 0
        if found.committed > found.input_end:
            text = f"the group stands at {found.committed}, beyond the end, {found.input_end}"
            found.differ("committed", self._settings.topics.interactions, text)
        if header is not None and header.offset > found.input_end:
            text = f"the header is of offset {header.offset}, beyond the end, {found.input_end}"
            found.differ("header-offset", self._settings.topics.state, text)
        if state.empty and found.committed > 0:
            found.degraded.append("no checkpoint was written yet: the state was not compared")

    def _note_holes(self, found: Found, state: StoredState) -> bool:
        """Whether the input begins with its first record and the service had all of it."""
        header = state.header
        missing = 0 if header is None else header.missing
        if found.input_first > 0:
            found.degraded.append(
                f"retention took the input below offset {found.input_first}: the state and what "
                "was late or a duplicate cannot be worked out again"
            )
        elif missing or (header is not None and header.damaged):
            found.degraded.append(
                f"the header says that {missing} records were lost before they were applied"
                + (", and rows" if header is not None and header.damaged else "")
            )
        return found.input_first == 0 and not missing and not (header and header.damaged)

    def _note_retention(self, found: Found, answers: Answers, letters: DeadLetters) -> None:
        for what, promised_from in (
            ("recommendations", answers.promised_from),
            ("dead letters", letters.promised_from),
        ):
            if promised_from > found.input_first:
                below = min(promised_from, found.committed)
                found.degraded.append(
                    f"retention took {what} of the input below offset {below}: they were not "
                    "asked for"
                )


def hash_of(settings: Settings) -> bytes:
    """8 bytes of all settings that hard state depends on, as the headers have them."""
    wanted = {name: weight > 0 for name, weight in settings.events.table().items()}
    parts = [settings.state.ring, settings.guard.model_dump(), wanted]
    if settings.state.ttl_s is not None:
        parts.append(settings.state.ttl_s)
    return blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=8).digest()


def _told(
    records: Iterable[Record], first: int, end: int, on_progress: OnProgress
) -> Iterator[Record]:
    """The records; `on_progress` hears of every so many offsets, and in the end of all."""
    told = first
    for record in records:
        if record.offset - told >= TELL_EVERY:
            on_progress(record.offset - told)
            told = record.offset
        yield record
    on_progress(end - told)
