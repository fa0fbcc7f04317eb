"""What a restore says of a changelog that is damaged."""

from __future__ import annotations

import pytest

from metarec_stream.catalogue.items import Items
from metarec_stream.config import Settings
from metarec_stream.errors import Degraded
from metarec_stream.hashing import hash64
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.pipeline.hard_state import HardState
from metarec_stream.pipeline.read_rows import RowReader
from metarec_stream.pipeline.restore import Restore
from metarec_stream.pipeline.restored_rows import InMemory
from metarec_stream.state.row import user_key
from metarec_stream.state.users import Users


@pytest.mark.parametrize("key", [user_key("ann@example.org"), b"xann@example.org"])
def test_no_user_is_named_in_clear(key: bytes) -> None:
    """What cannot be read is logged: where it is, and the user's hash."""
    settings = Settings()
    users = Users(settings.state.ring)
    users.assign(0)
    rows = InMemory(users, RowReader(settings, users, Items()), 0)
    restore = Restore(HardState(settings, users, lambda kept, gone: None), rows, 0)
    restore.take([MemoryRecord(settings.topics.state, 0, 7, 0, key, b"broken", ())])
    with pytest.raises(Degraded) as error:
        restore.finish()
    assert "ann" not in str(error.value)
    assert "at offset 7" in str(error.value)
    if key == user_key("ann@example.org"):
        assert f"{hash64('ann@example.org'):016x}" in str(error.value)
