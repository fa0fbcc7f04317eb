"""The users' profiles: of each only the tokens of its attributes are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.content import NO_TOKEN, TokenRows, profile_tokens
from metarec_stream.contract.interaction import Scalar
from metarec_stream.contract.task import MOST_TOKENS


class Profiles:
    """Tokens by user id, and by row of the users that came: some hundred bytes for each profile.

    Users of other processes are kept as well: the partition of a user may come here at any time.
    """

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._by_user: dict[str, bytes] = {}
        self._rows = TokenRows()

    def put(self, user: str, attributes: dict[str, Scalar]) -> None:
        """A user's attributes as they are from now on; none forgets the user."""
        tokens = profile_tokens(attributes, self._buckets)
        tokens = tokens[tokens >= 0]
        if len(tokens):
            self._by_user[user] = tokens.tobytes()
        else:
            self._by_user.pop(user, None)

    def place(self, rows: Sequence[int], users: Sequence[str]) -> None:
        """These users have these rows now, whoever had them before."""
        if not self._by_user and not len(self._rows):
            return
        by_row = dict(zip(rows, users, strict=True))
        tokens = np.full((len(by_row), MOST_TOKENS), NO_TOKEN, np.int16)
        for place, user in enumerate(by_row.values()):
            known = self._by_user.get(user)
            if known:
                tokens[place, : len(known) // 2] = np.frombuffer(known, np.int16)
        self._rows.put(np.fromiter(by_row, np.int64, len(by_row)), tokens)

    def forget(self, user: str, row: int) -> None:
        """Nothing is known of a user any more, nor of the row, if it is one."""
        self._by_user.pop(user, None)
        if row >= 0 and len(self._rows):
            self._rows.put(np.array([row]), np.full((1, MOST_TOKENS), NO_TOKEN, np.int16))

    def knows(self, user: str) -> bool:
        """Whether the user has a profile."""
        return user in self._by_user

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int16]:
        """The tokens [rows, K] of users that were placed, -1 pads; K is 0 where nobody has any."""
        return self._rows.of(rows)
