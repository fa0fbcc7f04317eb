"""Exact top-k of an array of scores, compiled: a heap of the k best whose root is the weakest.

Of equal scores the lower item number is the better one, so the result is a function of the
scores alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarec_stream.compiled import compiled


@compiled
def _weaker(score: np.float32, item: int, other_score: np.float32, other_item: int) -> bool:
    return bool(score < other_score or (score == other_score and item > other_item))


@compiled
def _sift_down(items: NDArray[np.int32], scores: NDArray[np.float32], size: int) -> None:
    parent = 0
    while True:
        weakest = parent
        for child in (2 * parent + 1, 2 * parent + 2):
            if child < size and _weaker(
                scores[child], items[child], scores[weakest], items[weakest]
            ):
                weakest = child
        if weakest == parent:
            return
        items[parent], items[weakest] = items[weakest], items[parent]
        scores[parent], scores[weakest] = scores[weakest], scores[parent]
        parent = weakest


@compiled
def _sift_up(items: NDArray[np.int32], scores: NDArray[np.float32], child: int) -> None:
    while child > 0:
        parent = (child - 1) // 2
        if not _weaker(scores[child], items[child], scores[parent], items[parent]):
            return
        items[parent], items[child] = items[child], items[parent]
        scores[parent], scores[child] = scores[child], scores[parent]
        child = parent


@compiled
def _sort_best_first(items: NDArray[np.int32], scores: NDArray[np.float32], size: int) -> None:
    for last in range(size - 1, 0, -1):
        items[0], items[last] = items[last], items[0]
        scores[0], scores[last] = scores[last], scores[0]
        _sift_down(items, scores, last)


@compiled
def top_k(
    values: NDArray[np.float32],
    count: int,
    floor: np.float32,
    k: int,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> int:
    """The k best of values[:count] that are above floor, best first, into items and scores [k].

    Returns how many there are.
    """
    size = 0
    for item in range(count):
        value = values[item]
        if value <= floor:
            continue
        if size < k:
            items[size] = item
            scores[size] = value
            _sift_up(items, scores, size)
            size += 1
        elif value > scores[0]:
            items[0] = item
            scores[0] = value
            _sift_down(items, scores, size)
    _sort_best_first(items, scores, size)
    return size


@compiled
def top_k_among(
    among: NDArray[np.int32],
    values: NDArray[np.float32],
    floor: np.float32,
    k: int,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> int:
    """The same of some distinct items only, given in any order."""
    # The heap's two steps stand here again: behind a call they make `top_k` ten times slower.
    size = 0
    for item in among:
        value = values[item]
        if value <= floor:
            continue
        if size < k:
            items[size] = item
            scores[size] = value
            _sift_up(items, scores, size)
            size += 1
        elif _weaker(scores[0], items[0], value, item):
            items[0] = item
            scores[0] = value
            _sift_down(items, scores, size)
    _sort_best_first(items, scores, size)
    return size


@compiled
def least_of_largest(values: NDArray[np.floating], count: int) -> float:
    """The smallest of the `count` largest values, which are put in another order (quickselect).

    numpy's own partition takes ten seconds to compile.
    """
    low, high, wanted = 0, len(values) - 1, len(values) - count
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if right < wanted < left:
            break
        low, high = (low, right) if wanted <= right else (left, high)
    return float(values[wanted])
