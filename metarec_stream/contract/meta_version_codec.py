"""Meta versions on the wire: a hashed blob in chunks, and a manifest that makes them a version.

Records of one version on `metarec.meta`, in this order and in one transaction:
`<version>/0`, `<version>/1`, … (the blob's chunks), then `<version>/manifest`. The blob is a
MessagePack map of the item ids and of the parameters as safetensors; of a version that is sent as
a delta (`version_delta`), those that the full version named by the manifest does not have, with
the numbers of the rows that changed. A null value forgets a record: so the compacted topic keeps
the newest versions only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.version_delta import Delta, with_delta
from metarec_stream.errors import Degraded

WIRE_VERSION = 2
CHUNK_BYTES = 900_000
MANIFEST: Literal["manifest"] = "manifest"

Part = int | Literal["manifest"]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is made of; the last of its records."""

    v: int
    version: int
    parent: int
    full: int
    """The full version that the blob is a delta against; its own number if it is full itself."""
    adapter: str
    sha256: str
    """Of the blob, hexadecimal."""
    size: int
    """Bytes of the blob."""
    chunks: int
    items: int
    """How many item ids the version covers."""
    shapes: dict[str, list[int]]
    """By parameter."""
    metrics: dict[str, float]
    task_offsets: dict[int, int]
    created_ms: int


class _Blob(msgspec.Struct, frozen=True, kw_only=True):
    items: list[str]
    parameters: bytes
    rows: bytes
    """By parameter, the changed rows; of a full version none."""


_manifest_decoder = msgspec.msgpack.Decoder(Manifest)
_blob_decoder = msgspec.msgpack.Decoder(_Blob)
_encoder = msgspec.msgpack.Encoder()


def part_key(version: int, part: Part) -> bytes:
    """The key of one of a version's records."""
    return f"{version}/{part}".encode()


def parse_key(key: bytes | None) -> tuple[int, Part]:
    """The version and part that a key names; raises Degraded for any other key."""
    version, _, part = (key or b"").partition(b"/")
    if not version.isdigit() or not (part.isdigit() or part == MANIFEST.encode()):
        raise Degraded(f"meta record refused: key {key!r} names no part of a version")
    return int(version), int(part) if part.isdigit() else MANIFEST


def encode_meta_version(
    version: MetaVersion, chunk_bytes: int = CHUNK_BYTES, delta: Delta | None = None
) -> list[tuple[bytes, bytes]]:
    """The records (key, value) of a version, in the order they are sent.

    delta: what turns a full version, which readers of the topic have, into this one.
    """
    sent = delta or Delta(version.version, version.items, version.parameters)
    blob = _encoder.encode(_blob_of(sent))
    chunks = [blob[at : at + chunk_bytes] for at in range(0, len(blob), chunk_bytes)]
    manifest = Manifest(
        v=WIRE_VERSION,
        version=version.version,
        parent=version.parent,
        full=sent.full,
        adapter=version.adapter,
        sha256=hashlib.sha256(blob).hexdigest(),
        size=len(blob),
        chunks=len(chunks),
        items=len(version.items),
        shapes={name: list(array.shape) for name, array in version.parameters.items()},
        metrics=version.metrics,
        task_offsets=version.task_offsets,
        created_ms=version.created_ms,
    )
    records = [(part_key(version.version, index), chunk) for index, chunk in enumerate(chunks)]
    return [*records, (part_key(version.version, MANIFEST), _encoder.encode(manifest))]


def full_version_of(version: int, manifest: bytes) -> int:
    """Against which full version a manifest's version is; itself if it is full."""
    return _decode_manifest(version, manifest).full


def _blob_of(delta: Delta) -> _Blob:
    parameters = {
        name: np.ascontiguousarray(array, np.float32) for name, array in delta.parameters.items()
    }
    return _Blob(
        items=delta.items, parameters=save_tensors(parameters), rows=save_tensors(delta.rows)
    )


def tombstones(keys: Iterable[bytes]) -> list[tuple[bytes, None]]:
    """The records that make the compacted topic forget these."""
    return [(key, None) for key in keys]


class VersionAssembler:
    """Puts versions together from the records of `metarec.meta`, fed in the topic's order.

    Memory is bounded: the chunks of `incomplete` versions at most, the oldest fed giving way,
    and `max_bytes` for any one of them; and the newest full version, which deltas are against.
    """

    def __init__(self, incomplete: int = 4, max_bytes: int = 1 << 30) -> None:
        self._incomplete = incomplete
        self._max_bytes = max_bytes
        self._chunks: dict[int, dict[int, bytes]] = {}
        self._full: MetaVersion | None = None

    def feed(self, key: bytes | None, value: bytes | None) -> MetaVersion | None:
        """The version that this record completes, verified; else None.

        Raises Degraded for one that has to be refused: wrong hash, missing chunks, unknown wire
        version, shapes that disagree, weights that are not numbers, a key of no version, a delta
        against a full version that is not here.
        """
        version, part = parse_key(key)
        if value is None:
            self._chunks.pop(version, None)
            return None
        if isinstance(part, str):
            return self._assemble(_decode_manifest(version, value), self._chunks.pop(version, {}))
        self._keep(version, part, value)
        return None

    def _assemble(self, manifest: Manifest, chunks: dict[int, bytes]) -> MetaVersion:
        full = None
        if manifest.full != manifest.version:
            full = self._full
            if full is None or full.version != manifest.full:
                raise Degraded(
                    f"meta version {manifest.version} refused: it is a delta against version "
                    f"{manifest.full}, which is not here; the next full version will be taken"
                )
        version = _assemble(manifest, chunks, full)
        if full is None:
            self._full = version
        return version

    def held_bytes(self) -> int:
        """Bytes of chunks that wait for their manifest."""
        return sum(len(chunk) for chunks in self._chunks.values() for chunk in chunks.values())

    def _keep(self, version: int, index: int, chunk: bytes) -> None:
        chunks = self._chunks.setdefault(version, {})
        chunks[index] = chunk
        if sum(map(len, chunks.values())) > self._max_bytes:
            del self._chunks[version]
            raise Degraded(
                f"meta version {version} refused: its chunks are more than {self._max_bytes} bytes"
            )
        if len(self._chunks) > self._incomplete:
            del self._chunks[next(iter(self._chunks))]


def _decode_manifest(version: int, value: bytes) -> Manifest:
    try:
        header = msgspec.msgpack.decode(value, type=dict[str, object])
        if header.get("v") != WIRE_VERSION:
            raise Degraded(
                f"meta version {version} refused: wire version {header.get('v')}, this process "
                f"reads {WIRE_VERSION}; run learner and consumers of the same release"
            )
        manifest = _manifest_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Degraded(
            f"meta version {version} refused: manifest not readable ({error})"
        ) from error
    if manifest.version != version:
        raise Degraded(f"meta version {version} refused: manifest names {manifest.version}")
    return manifest


def _assemble(
    manifest: Manifest, chunks: dict[int, bytes], full: MetaVersion | None
) -> MetaVersion:
    name = f"meta version {manifest.version} refused"
    missing = manifest.chunks - sum(index < manifest.chunks for index in chunks)
    if missing:
        raise Degraded(f"{name}: {missing} of its {manifest.chunks} chunks are missing")
    blob = b"".join(chunks[index] for index in range(manifest.chunks))
    if len(blob) != manifest.size or hashlib.sha256(blob).hexdigest() != manifest.sha256:
        raise Degraded(f"{name}: its {len(blob)} bytes do not have the manifest's hash")
    delta = _decode_blob(name, blob, manifest.full)
    items, parameters = delta.items, delta.parameters
    if full is not None:
        items, parameters = _with_delta(name, full, delta, manifest)
    _check_shapes(name, manifest, items, parameters)
    return MetaVersion(
        version=manifest.version,
        parent=manifest.parent,
        adapter=manifest.adapter,
        items=items,
        parameters=parameters,
        metrics=manifest.metrics,
        task_offsets=manifest.task_offsets,
        created_ms=manifest.created_ms,
    )


def _decode_blob(name: str, blob: bytes, full: int) -> Delta:
    """What is in a blob; of a full version all is new."""
    try:
        wire = _blob_decoder.decode(blob)
        return Delta(full, wire.items, load_tensors(wire.parameters), load_tensors(wire.rows))
    except (msgspec.DecodeError, UnicodeDecodeError, SafetensorError, ValueError) as error:
        raise Degraded(f"{name}: blob not readable ({error})") from error


def _with_delta(
    name: str, full: MetaVersion, delta: Delta, manifest: Manifest
) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    try:
        return with_delta(full, delta, manifest.shapes)
    except (ValueError, KeyError, IndexError) as error:
        raise Degraded(f"{name}: it does not fit full version {full.version} ({error})") from error


def _check_shapes(
    name: str,
    manifest: Manifest,
    items: list[str],
    parameters: dict[str, NDArray[np.float32]],
) -> None:
    shapes = {parameter: list(array.shape) for parameter, array in parameters.items()}
    if shapes != manifest.shapes or len(items) != manifest.items:
        raise Degraded(f"{name}: shapes {shapes} and {len(items)} items are not the manifest's")
    if len(set(items)) != len(items):
        raise Degraded(f"{name}: an item id is there twice")
    for parameter, array in parameters.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise Degraded(f"{name}: parameter {parameter!r} is not of finite 32-bit numbers")
