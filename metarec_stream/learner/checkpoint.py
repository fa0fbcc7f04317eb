"""Snapshots of the learner on disk: whole, verified, or not there.

A file: eight bytes that name the format, the SHA-256 of all that follows, the length of the header
(8 bytes, little-endian), the header (MessagePack), the arrays (safetensors). Neither can carry
code.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import structlog
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from metarec_stream.clock import Clock
from metarec_stream.errors import Degraded, Fatal
from metarec_stream.learner.snapshot import Progress, Snapshot
from metarec_stream.metrics import LearnerMetrics

_MAGIC = b"METALRN1"
_DIGEST = hashlib.sha256().digest_size
_LENGTH = 8
_START = len(_MAGIC) + _DIGEST
_KEPT = 2
_PAUSE_PER_WRITING = 19.0
"""Seconds without a checkpoint for each that one took: a twentieth of the time at most."""
_NAME = re.compile(r"checkpoint-(\d{12})")

logger = structlog.get_logger()

Identity = Mapping[str, str]
"""What a checkpoint belongs to, by name: one of anything else must not be gone on from."""


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    identity: dict[str, str]
    progress: Progress


_header_decoder = msgspec.msgpack.Decoder(_Header)


class CheckpointFolder:
    """The newest checkpoints of one learner; a process that dies while writing leaves them whole.

    Raises Fatal if the folder cannot be made.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder = folder
        self._identity = dict(identity)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Fatal(
                f"the folder of checkpoints cannot be made ({error}): set METAREC_LEARN__CHECKPOINT"
                " to one that can be written, or METAREC_LEARN__CHECKPOINT_EVERY_S=0"
            ) from error
        for left in folder.glob("*.partial"):
            left.unlink(missing_ok=True)

    def newest(self) -> Snapshot | None:
        """The newest whole checkpoint of this learner, None if there is none.

        Those that are torn, corrupted or another learner's are logged and passed over.
        """
        for _, path in reversed(self._files()):
            try:
                snapshot = decode(path.read_bytes(), self._identity)
            except (Degraded, OSError) as refused:
                logger.warning("checkpoint_refused", file=path.name, reason=str(refused))
                continue
            logger.info("checkpoint_found", file=path.name, events=snapshot.progress.events)
            return snapshot
        return None

    def write(self, snapshot: Snapshot) -> bool:
        """Write one and forget those before the last two; whether that went well, logged if not."""
        files = self._files()
        number = files[-1][0] + 1 if files else 1
        partial = self._folder / f"checkpoint-{os.getpid()}.partial"
        try:
            _write_through(partial, encode(snapshot, self._identity))
            partial.replace(self._folder / f"checkpoint-{number:012d}")
            _sync_folder(self._folder)
            for _, path in files[: len(files) + 1 - _KEPT]:
                path.unlink()
        except OSError as error:
            logger.warning("checkpoint_not_written", folder=str(self._folder), reason=str(error))
            return False
        return True

    def keep_newest_only(self) -> None:
        """Delete all but the newest one."""
        try:
            for _, path in self._files()[:-1]:
                path.unlink()
        except OSError as error:
            logger.warning("checkpoint_not_deleted", folder=str(self._folder), reason=str(error))

    def _files(self) -> list[tuple[int, Path]]:
        """Checkpoints by number, the newest last."""
        found = [(_NAME.fullmatch(path.name), path) for path in self._folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in found if match)


class Checkpoints:
    """When checkpoints are written: every so often, and at a clean end. No folder: never."""

    def __init__(
        self, folder: CheckpointFolder | None, every_s: float, metrics: LearnerMetrics, clock: Clock
    ) -> None:
        self._folder = folder
        self._every_s = every_s
        self._metrics = metrics
        self._clock = clock
        self._due = clock.monotonic() + every_s

    def newest(self) -> Snapshot | None:
        """As `CheckpointFolder.newest`."""
        return self._folder.newest() if self._folder else None

    def write_if_due(self, snapshot: Callable[[], Snapshot]) -> None:
        """Write one if it is time; `snapshot` is called only then."""
        if self._clock.monotonic() >= self._due:
            self.write(snapshot)

    def replace(self, snapshot: Callable[[], Snapshot]) -> None:
        """Write one now, and delete those before it: they hold what must not be gone on from."""
        if self._folder and self.write(snapshot):
            self._folder.keep_newest_only()

    def write(self, snapshot: Callable[[], Snapshot]) -> bool:
        """Write one now; whether that went well."""
        if not self._folder:
            return False
        started = self._clock.monotonic()
        written = self._folder.write(snapshot())
        if written:
            self._metrics.checkpoint_written.set(self._clock.now_ms() / 1e3)
        ended = self._clock.monotonic()
        self._due = ended + max(self._every_s, _PAUSE_PER_WRITING * (ended - started))
        return written


def encode(snapshot: Snapshot, identity: Identity) -> list[bytes]:
    """The parts of a checkpoint's file, in order."""
    header = _Header(identity=dict(identity), progress=snapshot.progress)
    head = msgspec.msgpack.encode(header)
    arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.arrays.items()}
    body = [len(head).to_bytes(_LENGTH, "little"), head, save_tensors(arrays)]
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return [_MAGIC, digest.digest(), *body]


def decode(content: bytes, identity: Identity) -> Snapshot:
    """The snapshot in a checkpoint's file; Degraded if it is not whole, or not of this learner."""
    body = memoryview(content)[_START:]
    if content[: len(_MAGIC)] != _MAGIC:
        raise Degraded("it does not begin as a checkpoint of this release does")
    if hashlib.sha256(body).digest() != content[len(_MAGIC) : _START]:
        raise Degraded(f"its {len(content)} bytes do not have the hash it names")
    length = int.from_bytes(body[:_LENGTH], "little")
    try:
        header = _header_decoder.decode(body[_LENGTH : _LENGTH + length])
        arrays = load_tensors(bytes(body[_LENGTH + length :]))
    except (msgspec.DecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise Degraded(f"it cannot be read ({error})") from error
    names = sorted({*header.identity, *identity})
    other = [name for name in names if header.identity.get(name) != identity.get(name)]
    if other:
        raise Degraded(f"it belongs to another {', '.join(other)}")
    return Snapshot(header.progress, arrays)


def _write_through(path: Path, parts: list[bytes]) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
