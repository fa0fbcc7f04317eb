"""What kafka-python needs of us, so that a member can go on working while its group joins."""

from __future__ import annotations

from typing import Any


class PatientJoin:
    """Keeps the answer to a join until somebody polls.

    kafka-python 3.0.12 throws an answer away that comes while nobody polls, and joins again: two
    members that do other things between polls can keep the whole group rebalancing for ever. Its
    coordinator has no public way to wait for a join, or to ask how it ended.
    """

    def __init__(self, coordinator: Any) -> None:
        """`coordinator`: a consumer's own; from now on it joins by way of this."""
        self._coordinator = coordinator
        self._ask = coordinator._do_join_and_sync_async
        self._complete = coordinator._on_join_complete_async
        self._answer: tuple[Any, Any] | None = None
        coordinator._do_join_and_sync_async = self._join
        coordinator._on_join_complete_async = self._take

    @property
    def wanted(self) -> bool:
        """Whether the next poll joins, or goes on with a join."""
        return bool(self._coordinator.need_rejoin())

    def take_up(self) -> None:
        """Go on with a join that the library has lost sight of.

        A leader joins again because the topic's metadata changed, and making the assignment is what
        satisfies that reason. If the poll ends before the group's answer comes, the next one finds
        no reason to join and never takes it: the member stays in rebalancing, at full CPU.
        """
        if self._coordinator.rejoining and not self._coordinator.need_rejoin():
            self._coordinator.request_rejoin()

    async def _join(self) -> Any:
        answer = self._answer
        if answer is not None and answer[0] == self._coordinator._generation:
            return answer[1]
        self._answer = None
        assignment = await self._ask()
        self._answer = (self._coordinator._generation, assignment)
        return assignment

    async def _take(self, *arguments: Any) -> None:
        self._answer = None
        await self._complete(*arguments)
