"""The user profile: what is known of a user beside their interactions, on the `users` topic."""

from __future__ import annotations

import msgspec

from metarec_stream.contract.interaction import Scalar


class UserProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One user's attributes; a null value under its key deletes them."""

    user: str
    attributes: dict[str, Scalar] = {}
    v: int = 1
