"""What an event weighs as an outcome that the learner learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.pipeline.settings import EventsSettings


class EventWeights:
    """The weight of each type, times what its interactions' values say."""

    def __init__(self, settings: EventsSettings) -> None:
        table = settings.table()
        modes = [settings.value_weights.get(kind, "none") for kind in table]
        self.of_kind = np.array(list(table.values()), np.float32)
        """[types] the weight of each type, whatever the values."""
        self._linear = np.array([mode == "linear" for mode in modes])
        self._log = np.array([mode == "log" for mode in modes])
        self._most = settings.max_weight

    def of(self, kinds: NDArray[np.int8], values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Weights [n] by type number [n] and value [n], NaN for none; 0 for what is no outcome."""
        known = np.where(np.isnan(values), 1.0, np.maximum(values, 0.0))
        logarithm = np.where(np.isnan(values), 1.0, np.log1p(np.maximum(values, 0.0)))
        factor = np.where(self._linear[kinds], known, 1.0)
        factor = np.where(self._log[kinds], logarithm, factor)
        return np.clip(self.of_kind[kinds] * factor, 0.0, self._most).astype(np.float32)
