"""`metarec serve` with fewer users in memory than there are, against a real broker."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from metarec_stream.config import Settings
from tests.service.test_crashes import assert_exactly_once
from tests.service.test_serve import Serve, committed, post
from tests.transport.backends import wait_until

USERS, MOST = 30, 3


def some(count: int, first: int = 0) -> list[tuple[str, str, str]]:
    """Events of many users, each with an id of its own."""
    return [(f"u{n % USERS}", f"i{n % 7}", f"e{n}") for n in range(first, first + count)]


def restored(serve: Serve) -> list[dict[str, int]]:
    """What the process said of each partition that it took over."""
    return [line for line in serve.logged if line["event"] == "partition_restored"]


@pytest.mark.timeout(300)
def test_killed_and_started_again_it_reads_the_tail_of_the_changelog_alone(
    settings: Settings, started: list[Serve], tmp_path: Path
) -> None:
    """Without its folder it reads all of it; a second process in the same folder is refused."""

    def start() -> Serve:
        serve = Serve(
            settings, INSTANCE_ID="one", EMIT="per_event", STATE__CHECKPOINT_EVERY_S="0.2",
            STATE__MAX_HOT_USERS=str(MOST), STATE__FOLDER=str(tmp_path),
        )  # fmt: skip
        started.append(serve)
        return serve

    def all_on_disk(serve: Serve, posted: int) -> bool:
        cold = serve.sample("metarec_users_cold")
        return committed(settings) == posted and cold >= USERS - MOST

    first = start()
    wait_until(partial(first.said, "serving"), 90)
    post(settings, *some(60))
    wait_until(partial(all_on_disk, first, 60), 60)
    second = start()
    assert second.process.wait(timeout=60) == 1
    assert any("another process has" in str(line) for line in second.logged)

    first.process.kill()
    first.process.wait(timeout=10)
    again = start()
    wait_until(lambda: len(restored(again)) == settings.topics.partitions, 90)
    assert sum(each["users"] for each in restored(again)) <= MOST
    assert sum(each["cold"] for each in restored(again)) == USERS
    post(settings, *some(60, 60))
    wait_until(partial(all_on_disk, again, 120), 60)
    assert again.end() == 0

    shutil.rmtree(tmp_path / settings.application)
    last = start()
    wait_until(lambda: len(restored(last)) == settings.topics.partitions, 90)
    assert sum(each["users"] for each in restored(last)) >= USERS
    post(settings, *some(30, 120))
    wait_until(lambda: committed(settings) == 150, 60)
    assert last.end() == 0
    assert_exactly_once(settings, 150)
