"""The one producer that may replay dead letters: another replay of the application is fenced."""

from __future__ import annotations

from collections.abc import Sequence

from kafka.errors import ProducerFencedError

from metarec_stream.config import Settings
from metarec_stream.dead_letters.letter import Letter
from metarec_stream.dead_letters.replay import replay_of, timestamp_of
from metarec_stream.errors import Fatal
from metarec_stream.kafka.all_or_none import AllOrNone, Record
from metarec_stream.kafka.rights import advice, dlq_rights, dlq_transactional_id


class ReplaySender:
    """Sends letters to the input in transactions.

    When it is made, what an earlier replay had open has been ended: the input tells from then on
    what was replayed. Every method raises Fatal where Kafka refuses, or another replay has begun.
    """

    def __init__(self, settings: Settings) -> None:
        self._rights = [right for right in dlq_rights(settings) if right.operation == "Write"]
        self._id = dlq_transactional_id(settings)
        self._transactions = AllOrNone(settings, self._id, self._fatal)

    def send(self, letters: Sequence[Letter]) -> None:
        """Replay these, all or none of them."""
        places = f"{letters[0].place} and after" if letters else "nothing"
        self._transactions.send(places, [_record(letter) for letter in letters])

    def close(self) -> None:
        """Give the connection back; an open transaction is left to the broker's time limit."""
        self._transactions.close()

    def _fatal(self, doing: str, error: Exception) -> Fatal:
        if isinstance(error, ProducerFencedError):
            what = "another replay of the same application has begun; let it end"
        else:
            what = advice(error, self._rights, "check the brokers")
        said = f"{type(error).__name__}: {error}"
        return Fatal(
            f"{doing} failed as {self._id} ({said}): {what}, then run this again: what was "
            "replayed is not replayed twice"
        )


def _record(letter: Letter) -> Record:
    output = replay_of(letter)
    return {
        "topic": output.topic,
        "key": output.key,
        "value": output.value,
        "headers": list(output.headers),
        "partition": output.partition,
        "timestamp_ms": timestamp_of(letter),
    }
