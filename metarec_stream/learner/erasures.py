"""Users who were erased, out of the receipts: what they did before it is not learned any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.receipt import Receipt
from metarec_stream.contract.task import TaskBlock
from metarec_stream.learner.events import BLOCK_FIELDS


class Erasures:
    """By user and input partition the offset of the newest `erase`: some 200 bytes each."""

    def __init__(self) -> None:
        self._before: dict[int, dict[int, int]] = {}
        self._users = np.zeros(0, np.uint64)

    def note(self, receipts: Iterable[Receipt]) -> NDArray[np.uint64]:
        """Take up receipts; the hashes of their users."""
        users = []
        for receipt in receipts:
            source, user = receipt.source, int(receipt.user, 16)
            before = self._before.setdefault(user, {})
            before[source.partition] = max(source.offset, before.get(source.partition, 0))
            users.append(user)
        self._users = np.fromiter(self._before, np.uint64, len(self._before))
        return np.array(users, np.uint64)

    def without_erased(self, block: TaskBlock) -> TaskBlock:
        """The block without the events that were erased since: also those read again, or late."""
        suspects = np.flatnonzero(np.isin(block.users, self._users))
        gone = [place for place in suspects.tolist() if self._is_gone(block, place)]
        if not gone:
            return block
        kept = np.delete(np.arange(len(block.users)), gone)
        fields = ("offsets", "event_times", *BLOCK_FIELDS)
        return replace(block, **{name: getattr(block, name)[kept] for name in fields})

    def _is_gone(self, block: TaskBlock, place: int) -> bool:
        before = self._before[int(block.users[place])]
        return int(block.offsets[place]) < before.get(block.partition, 0)
