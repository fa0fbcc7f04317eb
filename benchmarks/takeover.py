"""How long partitions stand still when a consumer is killed, is stopped, and returns.

Three consumers work under a steady load. In each round one of them, in turn, is ended by SIGKILL
or by SIGTERM; once the others answer for its partitions it is started again and gets a share. The
longest time without an answer, as a reader of committed records sees it, is taken of the partitions
that it had, of those that move when it returns, and of those that keep their owner throughout.

    .venv/bin/python -m benchmarks.takeover --rounds 7 --rate 200
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.service_run import LIMIT_S, LOOK_EVERY_S, own_settings
from metarec_stream.chaos.fleet import Fleet, consumer
from metarec_stream.chaos.load import Load, events_of
from metarec_stream.chaos.watch import AnswerWatch
from metarec_stream.config import Settings
from metarec_stream.errors import Fatal
from metarec_stream.kafka.embedded import EmbeddedBroker
from metarec_stream.kafka.topics import ensure_topics

CONSUMERS = 3
CALM_S = 2.0
"""Before and after each step, so that one does not count for the next."""
ROUND_S = 60.0
"""A round's share of the events: it takes half of that, on a machine that is not busy."""
ENDS = {"kill": signal.SIGKILL, "stop": signal.SIGTERM}


@dataclass
class Pauses:
    """Seconds, by what happened and to whom."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float | None) -> None:
        """None: there was nothing to measure."""
        if seconds is not None:
            self.seen.setdefault(name, []).append(seconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Median and spread."""
        return {
            name: {
                "rounds": len(seen),
                "p50_s": round(statistics.median(seen), 2),
                "least_s": round(min(seen), 2),
                "worst_s": round(max(seen), 2),
            }
            for name, seen in self.seen.items()
        }


class Rounds:
    """Ends one consumer after the other and watches the answers."""

    def __init__(self, settings: Settings, fleet: Fleet, watch: AnswerWatch) -> None:
        self._fleet = fleet
        self._watch = watch
        self._everyone = frozenset(range(settings.topics.partitions))
        self.pauses = Pauses()

    def run(self, how: str, number: int) -> None:
        """One round."""
        victim = consumer(1 + number % CONSUMERS)
        gone = self._fleet.member(victim).owned()
        began = time.monotonic()
        self._fleet.signal(victim, ENDS[how])
        self._wait(lambda: gone <= self._fleet.owned_by_others(victim), "nobody took over")
        taken = time.monotonic()
        self._wait(lambda: self._flow(gone, taken), "nothing flows")
        time.sleep(CALM_S)
        self._note(f"{how}: its partitions", gone, began)
        self._note(f"{how}: the others", self._everyone - gone, began)
        moves, began = self._fleet.moves(), time.monotonic()
        self._fleet.start(victim)
        self.settle()
        time.sleep(CALM_S)
        moved = frozenset(self._fleet.moves() - moves)
        self._note("return: those that move", moved, began)
        self._note("return: the others", self._everyone - moved, began)

    def settle(self) -> None:
        """Until everybody is ready and the partitions are shared out."""
        self._wait(lambda: self._fleet.not_ready() is None, "not all were ready")
        self._wait(self._shared, "the partitions were not shared out")

    def _flow(self, partitions: frozenset[int], since: float) -> bool:
        return all(
            self._watch.longest_silence(frozenset((each,)), since) is not None
            for each in partitions
        )

    def _shared(self) -> bool:
        owned = [each.owned() for each in self._fleet.consumers()]
        return all(owned) and sum(map(len, owned)) == len(self._everyone)

    def _note(self, name: str, partitions: frozenset[int], since: float) -> None:
        seconds = self._watch.longest_silence(partitions, since)
        print(f"{name} {sorted(partitions)}: {seconds}", file=sys.stderr)
        self.pauses.add(name, seconds)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise Fatal(f"waited {LIMIT_S:.0f} s in vain: {what}")
            time.sleep(LOOK_EVERY_S)


def measured(rounds: int, rate: int, bootstrap_servers: str) -> dict[str, object]:
    """Pauses by what happened, and the settings that they depend on."""
    settings = own_settings(bootstrap_servers).model_copy(update={"emit": "per_event"})
    ensure_topics(settings)
    events = events_of(round(2 * rounds * ROUND_S * rate), settings.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(Fleet(settings, folder))
        watch = stack.enter_context(AnswerWatch(settings))
        load = stack.enter_context(Load(settings, events, rate))
        turns = Rounds(settings, fleet, watch)
        for number in range(CONSUMERS):
            fleet.start(consumer(1 + number))
        turns.settle()
        load.start()
        time.sleep(2 * CALM_S)
        for number in range(rounds):
            for how in ENDS:
                turns.run(how, number)
        load.give_up()
    return {
        "session_timeout_s": settings.kafka.session_timeout_ms / 1e3,
        "heartbeat_interval_s": settings.kafka.heartbeat_interval_ms / 1e3,
        "partitions": settings.topics.partitions,
        "events_per_second": rate,
        **turns.pauses.summary(),
    }


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=int, default=200)
    arguments = parser.parse_args()
    with EmbeddedBroker(None, None, lambda line: print(line, file=sys.stderr)) as broker:
        found = measured(arguments.rounds, arguments.rate, broker.bootstrap_servers)
    print(json.dumps({"rounds": arguments.rounds, **found}, indent=2))


if __name__ == "__main__":
    main()
