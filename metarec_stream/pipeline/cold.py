"""What hard state asks of users who are not in memory, and the answers where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metarec_stream.contract.transport import Output
from metarec_stream.state.digest import Digest
from metarec_stream.state.row_store import StoreFailed


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint that is committed."""

    partition: int
    outputs: Sequence[Output]
    """Rows of users first, in the order of `rows`."""
    rows: NDArray[np.int64]
    hashes: Sequence[int]
    """Of the rows."""
    users: int
    digest: Digest
    erased: Sequence[bytes]
    """Keys of users who were erased since the checkpoint before."""
    end: int | None
    """Offset of the changelog after it, where known."""


class Cold(Protocol):
    """What hard state asks of those who are not in memory."""

    crowded: bool
    """Whether users touched since their checkpoints alone are more than may be in memory."""
    degraded: str | None
    """Why more users are in memory than there may be, if it is not for that."""

    def assign(self, partition: int) -> None: ...
    def forget(self, partition: int) -> None:
        """Memory forgets a partition; the disk keeps it."""
        ...

    def discard(self, partition: int) -> None:
        """The disk forgets a partition; whoever was there alone is lost to this process."""
        ...

    def fail(self, partition: int, error: StoreFailed) -> None: ...

    def count(self, partition: int) -> int: ...
    def expire(self, partition: int, limit: int) -> dict[str, int]:
        """Users on disk alone without an event since `limit` (ms), and their rows' hashes.

        They count no more. Raises Fatal.
        """
        ...

    def take_back(self, partition: int) -> None:
        """One of them counts again."""
        ...

    def load(self, users: Iterable[tuple[int, str]]) -> None:
        """Bring these (partition, user) into memory, as far as they are on disk. Raises Fatal."""
        ...

    def shrink(self) -> None:
        """Let users go until there are no more in memory than there may be."""
        ...

    def checkpointed(self, written: Written) -> None:
        """This is in the changelog now."""
        ...

    def export(self) -> None: ...


class NobodyCold:
    """Everyone is in memory."""

    crowded = False
    degraded: str | None = None

    def assign(self, partition: int) -> None:
        pass

    def forget(self, partition: int) -> None:
        pass

    def discard(self, partition: int) -> None:
        pass

    def fail(self, partition: int, error: StoreFailed) -> None:
        pass

    def count(self, partition: int) -> int:
        return 0

    def expire(self, partition: int, limit: int) -> dict[str, int]:
        return {}

    def take_back(self, partition: int) -> None:
        pass

    def load(self, users: Iterable[tuple[int, str]]) -> None:
        pass

    def shrink(self) -> None:
        pass

    def checkpointed(self, written: Written) -> None:
        pass

    def export(self) -> None:
        pass
