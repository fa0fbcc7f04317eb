"""What an outer step takes: a process's share of the events on its device, and the rows in use."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarec_stream.adapters.value_sum.outer import Tasks
from metarec_stream.adapters.value_sum.parameters import CONTENT, PROFILE, TABLES
from metarec_stream.adapters.value_sum.prefixes import (
    Prefixes,
    dropped_out,
    prediction_weights,
    shared_rows,
    spread_events,
)
from metarec_stream.catalogue.content import TokenRows, narrowed
from metarec_stream.learner.events import TaskEvents
from metarec_stream.learner.processes import Processes
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.learner.tables import RowsInUse, SlowWeights, on_device

_NUMBERS = ("candidates", "window", "item_tokens", "profile_tokens", "items", "shared")
"""Fields that are numbers of rows; all others are quantities."""

Arrays = dict[str, NDArray[Any]]


class PrefixChoice(msgspec.Struct, frozen=True):
    """Which windows a step predicts the items of, each from the older ones, and how they weigh."""

    events: int
    """Of whose windows, at most."""
    among: int
    """They are spread over so many of the step's first events, the fresh ones coming first."""
    half_life: float = math.inf
    """Places back in a window after which a prediction counts half."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The events of a step."""

    tasks: Tasks
    """Of this process."""
    rows: dict[str, Tensor]
    """By table: its rows that any process uses."""
    share: slice
    """This process's part of the events."""
    placed: Arrays
    """The fields of all events by name, with numbers of rows in use."""


class StepInputs:
    """Lays events out for this process; what each of several lays out fits the others'."""

    def __init__(self, settings: LearnSettings, processes: Processes, content: TokenRows) -> None:
        self._settings = settings
        self._processes = processes
        self._content = content
        self._rows = RowsInUse()

    def of(self, sets: Sequence[SlowWeights], events: TaskEvents) -> Inputs:
        """All events to the weights' rows, this process's share of them to the device.

        sets: of the same items; each of them can be scored with the inputs.
        """
        window = events.window.shape[1]
        items = np.concatenate([events.window, events.candidates], axis=1)
        item_rows, items = self._rows.distinct(items, sets[0].rows)
        share = self._processes.share(len(events))
        tokens, rows = self._tokens_in_use(sets, item_rows, events)
        placed = {**events.arrays(), "window": items[:, :window], "candidates": items[:, window:]}
        placed["profile_tokens"] = tokens["profile_tokens"]
        mine = {name: array[share] for name, array in placed.items()}
        fields = {field.name for field in dataclasses.fields(Tasks)}
        mine = {name: array for name, array in mine.items() if name in fields}
        tasks = Tasks(**self._on_device({**mine, "item_tokens": tokens["item_tokens"]}))
        rows |= dict.fromkeys(TABLES, item_rows)
        device = self._processes.device
        in_use = {name: on_device(numbers, device).long() for name, numbers in rows.items()}
        return Inputs(tasks, in_use, share, placed)

    def prefixes(
        self, inputs: Inputs, dimensions: int, choice: PrefixChoice
    ) -> tuple[Prefixes, float]:
        """This process's part of the chosen events' prefixes, and the weight of all.

        dimensions: d, of the value vectors.
        """
        placed, share = inputs.placed, inputs.share
        chosen = spread_events(choice.among, choice.events)
        newest = placed["candidates"][chosen, :1]
        items = np.concatenate([newest, placed["window"][chosen]], axis=1)
        arrays: Arrays = {
            "items": items,
            "times": np.pad(placed["gaps"][chosen], ((0, 0), (1, 0))),
            "weights": prediction_weights(items, placed["weights"][chosen], choice.half_life),
            "profile_tokens": placed["profile_tokens"][chosen],
            **self._kept(placed["users"][chosen], items, dimensions),
        }
        total = float(arrays["weights"].sum(dtype=np.float64))
        compete = self._settings.shared_candidates
        shared = shared_rows(items, len(inputs.rows["value"]), compete)
        here = np.isin(chosen, np.arange(len(placed["users"]))[share])
        mine = {name: array[here] for name, array in arrays.items()}
        return Prefixes(**self._on_device({**mine, "shared": shared})), total

    def _kept(self, users: NDArray[np.uint64], items: NDArray[np.int32], dimensions: int) -> Arrays:
        """What dropout leaves, drawn from the events themselves: alike in all processes."""
        told = zlib.crc32(items.tobytes(), zlib.crc32(users.tobytes()))
        generator = np.random.Generator(np.random.Philox(key=told))
        events, places = items.shape
        rate = self._settings.dropout
        return {
            "kept_values": dropped_out((events, places, dimensions), rate, generator),
            "kept_queries": dropped_out((events, places - 1, dimensions), rate, generator),
        }

    def _on_device(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        moved = {name: on_device(array, self._processes.device) for name, array in arrays.items()}
        return {
            name: tensor.long() if name in _NUMBERS else tensor.float()
            for name, tensor in moved.items()
        }

    def _tokens_in_use(
        self, sets: Sequence[SlowWeights], item_rows: NDArray[np.int32], events: TaskEvents
    ) -> tuple[Arrays, dict[str, NDArray[np.int32]]]:
        """The fields of tokens by their places in the rows in use, and these rows by table.

        What nobody here has a token of adds no table: without content nothing is computed.
        """
        found = {
            "item_tokens": (narrowed(self._content.of(item_rows)), list(CONTENT.values())),
            "profile_tokens": (narrowed(events.profile_tokens), [PROFILE]),
        }
        places: Arrays = {}
        rows: dict[str, NDArray[np.int32]] = {}
        for field, (tokens, tables) in found.items():
            places[field] = tokens
            if not tokens.size:
                continue
            highest = int(tokens.max())
            for weights in sets:
                for name in tables:
                    weights.open_tokens(name, highest)
            used, places[field] = self._rows.distinct(tokens.astype(np.int32), highest + 1)
            rows.update(dict.fromkeys(tables, used))
        return places, rows
