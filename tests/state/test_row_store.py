"""Rows on disk: what was written is read, in one piece, or it is said that it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metarec_stream.errors import Fatal
from metarec_stream.state.digest import row_hash
from metarec_stream.state.row_store import (
    SLICE,
    STORE_VERSION,
    Change,
    InUse,
    Mark,
    RowStore,
    StoredRow,
    StoreFailed,
    open_row_store,
)

MARK = Mark(STORE_VERSION, 7, 2, bytes(16))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RowStore]:
    """In a folder that is made."""
    made = RowStore(tmp_path / "deep" / "down")
    yield made
    made.close()


def row(name: str, value: bytes = b"value") -> Change:
    """A row with the hash that it has."""
    key = f"u{name}".encode()
    return Change(key, value, row_hash(key, value))


def everything(store: RowStore, partition: int) -> set[StoredRow]:
    """As a scan finds it."""
    return {each for part in store.scan(partition) for each in part}


def test_rows_and_their_mark_are_read_as_written(store: RowStore) -> None:
    """By partition; a value may be empty; what was never written is not there."""
    store.write(0, [row("a"), row("b", b"")], MARK)
    store.write(1, [row("a", b"another")], MARK)
    wanted = [(0, b"ua"), (1, b"ua"), (1, b"ub"), (0, b"ub")]
    values = [None if each is None else each.value for each in store.get(wanted)]
    assert values == [b"value", b"another", None, b""]
    assert store.mark(0) == MARK
    assert store.mark(2) is None
    assert store.nbytes() > 0


def test_a_scan_finds_every_row_of_its_partition(store: RowStore) -> None:
    """In slices, also beside others and beyond one slice."""
    rows = [row(f"{number}") for number in range(SLICE + 1)]
    for partition in (0, 1, 256):
        store.write(partition, rows[partition % 2 :], MARK)
    assert everything(store, 0) == {StoredRow(*each) for each in rows}  # type: ignore[arg-type]
    assert len(everything(store, 1)) == SLICE
    assert everything(store, 2) == set()


def test_what_is_dropped_is_gone_and_the_rest_stays(store: RowStore) -> None:
    """Rows and mark of one partition; a tombstone takes one row."""
    store.write(0, [row("a"), row("b")], MARK)
    store.write(1, [row("a")], MARK)
    store.write(1, [row("b"), Change(b"ua", None)], MARK)
    store.drop(0)
    assert everything(store, 0) == set()
    assert store.mark(0) is None
    assert {each.key for each in everything(store, 1)} == {b"ub"}


def test_it_is_still_there_after_a_restart(tmp_path: Path) -> None:
    """Also without a clean end: the process is gone, the files are as they were."""
    first = RowStore(tmp_path)
    first.write(0, [row("a")], MARK)
    first.reopen()
    assert everything(first, 0) == {StoredRow(*row("a"))}  # type: ignore[arg-type]
    first.close()
    again = RowStore(tmp_path)
    assert everything(again, 0) == {StoredRow(*row("a"))}  # type: ignore[arg-type]
    assert again.mark(0) == MARK
    again.close()


def test_bytes_of_a_purged_row_are_on_no_disk(store: RowStore) -> None:
    """Neither the key nor the value, of no version; other rows are."""
    store.write(0, [row("eve", b"once upon"), row("ann", b"kept")], MARK)
    store.write(0, [row("eve", b"a time")], MARK)
    store.write(0, [Change(b"ueve", None)], MARK)
    store.purge(0, [b"ueve"])
    contents = [file.read_bytes() for file in store.folder.iterdir()]
    assert any(b"uann" in content for content in contents)
    for text in (b"ueve", b"once upon", b"a time"):
        assert not any(text in content for content in contents)


def test_a_row_whose_hash_differs_is_refused(store: RowStore) -> None:
    """By a read and by a scan."""
    store.write(0, [Change(b"ua", b"value", row_hash(b"ua", b"other"))], MARK)
    with pytest.raises(StoreFailed, match="damaged"):
        store.get([(0, b"ua")])
    with pytest.raises(StoreFailed, match="damaged"):
        everything(store, 0)


def test_damaged_files_are_noticed(tmp_path: Path) -> None:
    """Every byte of a table counts: a read or the opening says so, or nothing is left of it."""
    first = RowStore(tmp_path)
    rows = [row(f"{number}", bytes([number % 251]) * 50) for number in range(2_000)]
    first.write(0, rows, MARK)
    first._rocks.flush()
    first.close()
    table = max(tmp_path.glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 255
    table.write_bytes(content)
    again = RowStore(tmp_path)
    with pytest.raises(StoreFailed, match="reading"):
        everything(again, 0)
    again.close()
    table.unlink()
    anew = RowStore(tmp_path)
    assert anew.mark(0) is None
    assert everything(anew, 0) == set()
    anew.close()


def test_a_folder_is_one_processs_own(tmp_path: Path) -> None:
    """With a name it is refused to a second one; without, the next slot is free."""
    named = open_row_store(tmp_path, "one")
    with pytest.raises(InUse, match="give each process its own instance_id"):
        open_row_store(tmp_path, "one")
    slots = [open_row_store(tmp_path, None) for _ in range(2)]
    assert [each.folder.name for each in slots] == ["slot-0", "slot-1"]
    slots[0].close()
    assert open_row_store(tmp_path, None).folder.name == "slot-0"
    for each in (named, slots[1]):
        each.close()


def test_a_folder_that_cannot_be_made_is_fatal(tmp_path: Path) -> None:
    """It names the setting."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fatal, match="METAREC_STATE__FOLDER"):
        RowStore(tmp_path / "file" / "folder")


def test_a_store_that_was_closed_says_that_it_failed(tmp_path: Path) -> None:
    """The library's errors are ours."""
    store = RowStore(tmp_path)
    store.close()
    with pytest.raises(StoreFailed, match="is closed"):
        store.write(0, [row("a")], MARK)
    with pytest.raises(StoreFailed, match="is closed"):
        store.get([(0, b"ua")])
