"""Several trials at once, each in a process of its own that ends with this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from metarec_stream.errors import Fatal, MetarecError
from metarec_stream.log import configure_logging
from metarec_stream.tune.ledger import Ledger
from metarec_stream.tune.objective import Objective, Pruned, Watch
from metarec_stream.tune.search import Attempt, Display
from metarec_stream.tune.space import Value

_EVENTS, _SEGMENT, _COMPLETE, _PRUNED, _FAILED = range(5)


@dataclass(frozen=True, slots=True)
class _Worker:
    attempt: Attempt
    process: SpawnProcess
    connection: Connection

    def end(self) -> None:
        """Wait for the process, which has nothing more to say."""
        self.connection.close()
        self.process.join()


def search_in_parallel(objective: Objective, ledger: Ledger, display: Display, jobs: int) -> None:
    """Run up to `jobs` trials at once until the ledger's bounds are reached.

    Which settings a trial tries depends on which others are finished by then. Raises Fatal if a
    process ends without a result; the others are then ended, and their trials failed.
    """
    working: dict[Connection, _Worker] = {}
    try:
        _fill(working, objective, ledger, display, jobs)
        while working:
            speaking = wait(list(working))
            for connection in [each for each in working if each in speaking]:
                if not _heard(working[connection]):
                    working.pop(connection).end()
            _fill(working, objective, ledger, display, jobs)
    finally:
        for worker in working.values():
            worker.process.kill()
            worker.attempt.fail()
            worker.end()


def _fill(
    working: dict[Connection, _Worker],
    objective: Objective,
    ledger: Ledger,
    display: Display,
    jobs: int,
) -> None:
    while len(working) < jobs and (trial := ledger.ask()) is not None:
        attempt = Attempt(ledger, display, trial)
        worker = _started(objective, attempt)
        working[worker.connection] = worker


def _started(objective: Objective, attempt: Attempt) -> _Worker:
    # A fresh interpreter: torch and numba do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, objective, attempt.trial.params), daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(attempt, process, ours)


def _heard(worker: _Worker) -> bool:
    """Take in one message; whether the trial goes on. Raises Fatal if it came to no result."""
    attempt = worker.attempt
    try:
        kind, *said = worker.connection.recv()
    except EOFError:
        raise Fatal(
            f"the process of trial {attempt.trial.number} ended without a result: look for a "
            "shortage of memory, lower --jobs, then repeat the command"
        ) from None
    if kind == _FAILED:
        raise Fatal(f"trial {attempt.trial.number} failed: {said[0]}")
    if kind == _EVENTS:
        attempt.events(said[0])
    elif kind == _SEGMENT:
        worker.connection.send(attempt.segment(said[0], said[1]))
    elif kind == _COMPLETE:
        attempt.complete(said[0])
    else:
        attempt.prune()
    return kind in {_EVENTS, _SEGMENT}


def _work(connection: Connection, objective: Objective, values: Mapping[str, Value]) -> None:
    """In the process of the trial: run it, and say how it goes until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's reaches the parent, which decides
    configure_logging(objective.settings.log)

    def segment(number: int, mrr: float) -> None:
        connection.send((_SEGMENT, number, mrr))
        if connection.recv():
            raise Pruned

    watch = Watch(lambda done: connection.send((_EVENTS, done)), segment)
    with closing(connection):
        try:
            connection.send((_COMPLETE, objective.mrr(values, watch)))
        except Pruned:
            connection.send((_PRUNED,))
        except (BrokenPipeError, EOFError):
            return  # the parent has gone
        except MetarecError as error:
            connection.send((_FAILED, str(error)))
