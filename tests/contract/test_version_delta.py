"""A version that goes as a delta is the same version, and needs only the full one it is against."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.meta_version_codec import VersionAssembler, encode_meta_version
from metarec_stream.contract.version_delta import delta_between
from metarec_stream.errors import Degraded

Records = list[tuple[bytes, bytes]]


def full_version(items: int, seed: int = 0, number: int = 3) -> MetaVersion:
    """A version of random weights."""
    random = np.random.default_rng(seed)
    return MetaVersion(
        version=number,
        parent=number - 1,
        adapter="value-sum",
        items=[f"item-{row}" for row in range(items)],
        parameters={
            "value": random.standard_normal((items, 6), np.float32),
            "bias": random.standard_normal(items, np.float32),
            "tokens": random.standard_normal((4, 6), np.float32),
            "mixing": random.standard_normal((2, 3, 3), np.float32),
        },
    )


def later(full: MetaVersion, rows: list[int], more: int, seed: int, number: int = 4) -> MetaVersion:
    """The version with these rows moved, this many items more, and `mixing` moved as a whole."""
    random = np.random.default_rng(seed)
    parameters = {name: array.copy() for name, array in full.parameters.items()}
    for name in ("value", "bias"):
        array = parameters[name]
        array[rows] += np.float32(1)
        new = random.standard_normal((more, *array.shape[1:]), np.float32)
        parameters[name] = np.concatenate([array, new])
    parameters["mixing"] = random.standard_normal((2, 3, 3), np.float32)
    items = full.items + [f"new-{row}" for row in range(more)]
    return replace(full, version=number, parent=full.version, items=items, parameters=parameters)


def as_delta(full: MetaVersion, version: MetaVersion) -> Records:
    """The records of the version, as a delta."""
    delta = delta_between(full, version)
    assert delta is not None
    return encode_meta_version(version, delta=delta)


def last_of(records: Records, assembler: VersionAssembler | None = None) -> MetaVersion | None:
    """What the last record completes."""
    assembler = assembler or VersionAssembler()
    return [assembler.feed(key, value) for key, value in records][-1]


def size(records: Records) -> int:
    """Bytes of the values."""
    return sum(len(value) for _, value in records)


@settings(deadline=None)
@given(data=st.data(), items=st.integers(20, 60), more=st.integers(0, 5), seed=st.integers(0, 99))
def test_a_delta_gives_the_version_to_the_last_bit(
    data: st.DataObject, items: int, more: int, seed: int
) -> None:
    """Whatever rows moved and items came, full version and delta give what a full one gives."""
    full = full_version(items, seed)
    rows = data.draw(st.lists(st.integers(0, items - 1), max_size=items // 8, unique=True))
    version = later(full, rows, more, seed)
    received = last_of([*encode_meta_version(full), *as_delta(full, version)])
    expected = last_of(encode_meta_version(version))
    assert received is not None
    assert expected is not None
    assert (received.version, received.items) == (expected.version, expected.items)
    assert received.parameters.keys() == expected.parameters.keys()
    for name, array in expected.parameters.items():
        assert received.parameters[name].tobytes() == array.tobytes()


def test_a_negative_zero_is_a_change() -> None:
    """Bits are compared, not numbers."""
    full = full_version(40)
    full.parameters["bias"][7] = 0.0
    version = later(full, [], 0, 1)
    version.parameters["bias"][7] = -0.0
    delta = delta_between(full, version)
    assert delta is not None
    assert delta.rows["bias"].tolist() == [7]


def test_the_bytes_of_a_delta_follow_what_changed() -> None:
    """Of 10,000 items with 100 that moved, a fiftieth goes over the wire."""
    full = full_version(10_000)
    version = later(full, list(range(100)), 0, 1)
    assert size(as_delta(full, version)) * 50 < size(encode_meta_version(version))


def test_deltas_do_not_need_each_other() -> None:
    """A delta that was missed or refused is made up for by the next one."""
    full = full_version(100)
    first = later(full, [1, 2], 1, 1)
    second = later(full, [2, 3], 2, 2, number=5)
    assembler = VersionAssembler()
    assert last_of(encode_meta_version(full), assembler) is not None
    broken = as_delta(full, first)
    with pytest.raises(Degraded, match="do not have the manifest's hash"):
        last_of([(broken[0][0], broken[0][1][:-1] + b"!"), broken[-1]], assembler)
    received = last_of(as_delta(full, second), assembler)
    assert received is not None
    np.testing.assert_array_equal(received.parameters["value"], second.parameters["value"])


def test_a_delta_without_its_full_version_is_refused() -> None:
    """Where another full version is the newest, or none; the next full one is taken again."""
    full, other = full_version(100), full_version(100, seed=9, number=2)
    records = as_delta(full, later(full, [1], 0, 1))
    with pytest.raises(Degraded, match="a delta against version 3, which is not here"):
        last_of(records)
    assembler = VersionAssembler()
    last_of(encode_meta_version(other), assembler)
    with pytest.raises(Degraded, match="a delta against version 3, which is not here"):
        last_of(records, assembler)
    next_full = last_of(encode_meta_version(later(full, [], 0, 1, number=5)), assembler)
    assert next_full is not None
    assert next_full.version == 5


def test_a_version_that_is_nearly_all_new_goes_full() -> None:
    """Most rows moved, other items, another adapter: no delta is made."""
    full = full_version(100)
    assert delta_between(full, later(full, list(range(90)), 0, 1)) is None
    assert delta_between(full, replace(later(full, [1], 0, 1), items=full.items[::-1])) is None
    assert delta_between(full, replace(later(full, [1], 0, 1), adapter="other")) is None
    assert delta_between(full, later(full, [1], 0, 1)) is not None


def test_a_delta_that_does_not_fit_is_refused() -> None:
    """Shapes that the full version's rows and the delta's do not make."""
    full = full_version(100)
    records = as_delta(full, later(full, [1, 99], 1, 1))
    manifest = msgspec.msgpack.decode(records[-1][1])
    for changes in (
        {"value": [50, 6]},
        {"value": [101, 7]},
        {"value": [10**12, 6]},
        {"bias": [100]},
        {"unknown": [3]},
    ):
        shapes = {**manifest["shapes"], **changes}
        forged = msgspec.msgpack.encode({**manifest, "shapes": shapes})
        with pytest.raises(Degraded, match="it does not fit full version 3"):
            last_of([*encode_meta_version(full), *records[:-1], (records[-1][0], forged)])
