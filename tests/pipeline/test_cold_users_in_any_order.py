"""With most users on disk alone, hard state is a pure function of the log whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from metarec_stream.contract.interaction import Interaction
from metarec_stream.state.row import USER_KEY, user_key
from tests.pipeline.any_order import AnyOrder, bounded, partitions, posting
from tests.pipeline.full_disk import MOST, SETTINGS, USERS, FullDisk
from tests.pipeline.process import SETTINGS as UNBOUNDED
from tests.pipeline.process import Process, digest_of
from tests.pipeline.what_must_hold import PARTITIONS


class ColdUsersInAnyOrder(AnyOrder):
    """The same, of a process that has most of its users on disk alone."""

    settings = SETTINGS

    @initialize()
    def start(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.folders = 0
        self.store = FullDisk(self.new_folder())
        self.zombie_store: FullDisk | None = None
        super().start()

    @rule()
    def restarts_without_its_disk(self) -> None:
        self.store.close()
        shutil.rmtree(self.store.folder)
        self.begin_again()

    @rule()
    def its_disk_is_copied(self) -> None:
        self.store.close()
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.store.folder, self.copy)
        self.store.reopen()

    @rule()
    def restarts_with_the_disk_as_it_was_copied(self) -> None:
        if self.copy.exists():
            self.store.close()
            shutil.rmtree(self.store.folder)
            shutil.copytree(self.copy, self.store.folder)
            self.begin_again()

    @rule()
    def another_process_owns_it_for_a_while(self) -> None:
        self.note_what_is_gone(list(PARTITIONS))
        other = Process(self.log, UNBOUNDED)
        other.drain()
        other.finish()
        self.begin_again()

    @rule(full=st.booleans())
    def the_disk_is_full_or_not(self, full: bool) -> None:
        self.store.full = full

    @rule(partition=partitions, posted=posting, user=st.sampled_from(USERS))
    def its_disk_is_full_at_a_checkpoint(
        self, partition: int, posted: list[Interaction | None], user: str
    ) -> None:
        """It holds a user who is erased meanwhile, and comes back."""
        click = Interaction(user=user, item="x")
        self.takes_a_batch_well(partition, [*posted, click], 0.01)
        self.writes_all_checkpoints(None)
        self.store.full = True
        self.takes_a_batch_well(partition, [*posted, Interaction(user=user, type="erase")], 0.01)
        self.writes_all_checkpoints(None)
        self.takes_a_batch_well(partition, [click], 0.01)
        self.hard_state_is_a_pure_function_of_the_log()
        self.store.full = False
        self.writes_all_checkpoints(None)

    @invariant()
    def memory_is_bounded(self) -> None:
        if not self.degraded():
            users = self.process.recommender.users
            assert len(users) <= max(MOST, int(users.marks.dirty.sum()))

    @invariant()
    def the_disk_holds_what_the_changelog_does(self) -> None:
        """Whoever is marked as stored there can leave memory."""
        users = self.process.recommender.users
        for partition in PARTITIONS:
            rows = users.rows(partition).tolist()
            keys = [(partition, user_key(users.names[row])) for row in rows]
            for row, there in zip(rows, self.store.get(keys) if keys else [], strict=True):
                low, high = users.marks.hash[row].tolist()
                same = there is not None and there.hash == low | high << 64
                assert same or not users.marks.stored[row]
                assert not same or users.marks.stored[row] or self.degraded()

    @invariant()
    def the_mark_on_disk_is_that_of_its_rows(self) -> None:
        for partition in PARTITIONS:
            mark = self.store.mark(partition)
            rows = {row.key: row.value for part in self.store.scan(partition) for row in part}
            assert mark is None or mark.digest == digest_of(rows)
            assert mark is None or mark.users == sum(key[:1] == USER_KEY for key in rows)

    def teardown(self) -> None:
        if hasattr(self, "process"):
            super().teardown()
            self.store.close()
            shutil.rmtree(self.home)

    def made(self) -> Process:
        return Process(self.log, self.settings, self.store)

    def begin_again(self) -> None:
        self.store.close()
        self.store = FullDisk(self.store.folder)
        super().begin_again()

    def begin_elsewhere(self) -> None:
        self.zombie_store, self.store = self.store, FullDisk(self.new_folder())
        super().begin_elsewhere()

    def end_the_zombie(self) -> None:
        super().end_the_zombie()
        if self.zombie_store is not None:
            self.zombie_store.close()
            self.zombie_store = None

    @property
    def copy(self) -> Path:
        """Of its folder."""
        return self.home / "copy"

    def new_folder(self) -> Path:
        """For the users of one process."""
        self.folders += 1
        return self.home / str(self.folders)

    def degraded(self) -> bool:
        """Whether the disk could not be written."""
        sample = self.process.registry.get_sample_value
        return bool(sample("metarec_degraded", {"what": "cold-users"}))


ColdUsersInAnyOrder.TestCase.settings = bounded(examples=20)
TestColdUsersInAnyOrder = ColdUsersInAnyOrder.TestCase
del AnyOrder, ColdUsersInAnyOrder
