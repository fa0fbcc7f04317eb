"""All that a learner knows at one moment, and what it makes of the live version on the topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from metarec_stream.adapters.value_sum.parameters import TABLES, TOKEN_TABLES, hashed_values
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.learner.contenders import Contenders

Arrays = dict[str, NDArray[Any]]


class SinceAnchor(msgspec.Struct):
    """What happened since candidate and anchor of the gate were the same."""

    events: int = 0
    """Learned by the candidate."""
    published: bool = False
    """Whether any of it became a version."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What of a learner is no array."""

    version: int
    """Number of the live version."""
    created_ms: int
    """When it was made: with the number, which version it is."""
    newest: int
    """The largest version number ever given out."""
    items: list[str]
    """In the order of the tables' rows."""
    learned: dict[int, int]
    """Next offset of the tasks topic by partition, everything before it learned."""
    taken: dict[int, int]
    """The same, everything before it learned or waiting."""
    receipts: int = 0
    """Next offset of the receipts topic: users erased before it are forgotten already."""
    waiting: list[tuple[int, int]] = []
    """Partition and next offset of the blocks that wait."""
    since_anchor: SinceAnchor = msgspec.field(default_factory=SinceAnchor)
    decided: bool = False
    """Whether the gate has decided on its newest differences."""
    trust: int = 0
    """Events for which a passed test still counts."""
    drift_blocks: int = 0
    """Blocks that are learned as after a drift, the newest included."""
    events: int = 0
    """Events learned."""
    loss: float = 0.0
    """Of the contender on the newest block, before it was learned; 0 before the first."""
    contenders: Contenders = msgspec.field(default_factory=Contenders)
    """What the events told of candidate and average."""
    added: int = 0
    """Events ever added to the replay buffer."""
    random_state: str = ""
    """Of the replay buffer, as JSON."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a learner.

    arrays: `anchor/…`, `candidate/…`, `average/…`, `uses/…`, `parent/…`, `adam/…`, `adagrad/…`,
    `buffer/…`, `content/…`, `waiting/<n>/…`, `gate` and `drift`; what is missing is as at the
    beginning.
    """

    progress: Progress
    arrays: Arrays


def under(first: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays whose name begins with `first/`, without that."""
    head = f"{first}/"
    return {
        name.removeprefix(head): array for name, array in arrays.items() if name.startswith(head)
    }


def beginning(live: MetaVersion, newest: int) -> Snapshot:
    """A learner that knows a version and nothing else."""
    progress = Progress(
        version=live.version,
        created_ms=live.created_ms,
        newest=newest,
        items=list(live.items),
        learned=dict(live.task_offsets),
        taken=dict(live.task_offsets),
    )
    return Snapshot(progress, {f"anchor/{name}": kept for name, kept in live.parameters.items()})


def reconciled(kept: Snapshot, live: MetaVersion, newest: int) -> Snapshot:
    """A checkpoint under the topic's newest version, which is the live one whatever it says.

    The same version: it goes on just where it was. A newer one on the topic, or another of the same
    number: it was published after the checkpoint, so the candidate begins again from it, and the
    tasks that it had not learned are read; the optimizers, the replay buffer and the watch over
    drift stay. An older one: the checkpoint's live version never became public; its candidate goes
    on, and has to pass the gate against what consumers have.
    """
    was = kept.progress
    newest = max(newest, was.newest)
    if (was.version, was.created_ms) == (live.version, live.created_ms):
        return Snapshot(msgspec.structs.replace(was, newest=newest), kept.arrays)
    items = list(dict.fromkeys([*was.items, *live.items]))
    arrays = {**kept.arrays, **_anchor_arrays(live, items)}
    arrays.pop("gate", None)
    adopted = msgspec.structs.replace(
        was,
        version=live.version,
        created_ms=live.created_ms,
        newest=newest,
        items=items,
        since_anchor=SinceAnchor(events=max(1, was.since_anchor.events)),
        trust=0,
        decided=False,
    )
    if live.version < was.version:
        return Snapshot(adopted, arrays)
    stale = ("candidate/", "average/", "uses/", "waiting/")
    learned = dict(live.task_offsets)
    return Snapshot(
        msgspec.structs.replace(
            adopted, learned=learned, taken=dict(learned), waiting=[], since_anchor=SinceAnchor()
        ),
        {name: array for name, array in arrays.items() if not name.startswith(stale)},
    )


def _anchor_arrays(live: MetaVersion, items: list[str]) -> Arrays:
    """The version as anchor and as parent, its rows where these items have theirs."""
    rows = {item: row for row, item in enumerate(items)}
    places = np.array([rows[item] for item in live.items], np.int64)
    unknown = np.setdiff1d(np.arange(len(items)), places)
    arrays: Arrays = {}
    for name, array in live.parameters.items():
        if name not in TABLES:
            arrays[f"anchor/{name}"] = array
            if name not in TOKEN_TABLES:
                arrays[f"parent/{name}"] = array
            continue
        table = np.zeros((len(items), *array.shape[1:]), np.float32)
        table[places] = array
        if name == "value":
            table[unknown] = hashed_values([items[row] for row in unknown], table.shape[1])
        arrays[f"anchor/{name}"] = table
    return arrays
