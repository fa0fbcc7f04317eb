"""What is known of items and users beside interactions, as hashed tokens.

The hashing trick (Weinberger et al. 2009): an attribute is the number of its bucket, so that no
table grows with the vocabulary. An item or a user has at most `MOST_TOKENS` of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarec_stream.catalogue.vectors import signatures
from metarec_stream.contract.interaction import Scalar
from metarec_stream.contract.item import Item
from metarec_stream.contract.task import MOST_TOKENS
from metarec_stream.growth import grown
from metarec_stream.hashing import hash64

NO_TOKEN = -1

_WORD = re.compile(r"\w+")
_PRICES_PER_DOUBLING = 2
_FIRST_ROWS = 1_024

Tokens = NDArray[np.int16]


class _Attribute(NamedTuple):
    kind: str
    text: str


def item_tokens(item: Item, buckets: int) -> Tokens:
    """The tokens [MOST_TOKENS] of an item, -1 pads.

    Categories come first, then tags, the price's half octave, the signatures of vectors and the
    words of the title; what is beyond `MOST_TOKENS` is left out. Upper and lower case are the same.
    """
    return _hashed(_of_item(item), buckets)


def profile_tokens(attributes: dict[str, Scalar], buckets: int) -> Tokens:
    """The tokens [MOST_TOKENS] of a user's attributes by name, -1 pads; numbers by half octaves."""
    told = (
        _Attribute(name, _text(attributes[name]))
        for name in sorted(attributes)
        if attributes[name] is not None
    )
    return _hashed(told, buckets)


class TokenRows:
    """The tokens of rows (items or users); holds nothing before the first."""

    def __init__(self) -> None:
        self._tokens = np.zeros((0, MOST_TOKENS), np.int16)

    def __len__(self) -> int:
        return len(self._tokens)

    def put(self, rows: NDArray[np.int64], tokens: Tokens) -> NDArray[np.bool_]:
        """Replace the tokens of distinct rows by these [rows, MOST_TOKENS]; which are others."""
        other: NDArray[np.bool_] = (self.of(rows, MOST_TOKENS) != tokens).any(1)
        if not other.any():
            return other
        highest = int(rows[other].max())
        if highest >= len(self._tokens):
            room = max(highest + 1, 2 * len(self._tokens), _FIRST_ROWS)
            self._tokens = grown(self._tokens, room, NO_TOKEN)
        self._tokens[rows[other]] = tokens[other]
        return other

    def of(self, rows: NDArray[np.integer], width: int = 0) -> Tokens:
        """The tokens [rows, MOST_TOKENS]; of no more than `width` each while nothing is held."""
        if not len(self._tokens):
            return np.full((len(rows), width), NO_TOKEN, np.int16)
        there = rows < len(self._tokens)
        found = np.full((len(rows), MOST_TOKENS), NO_TOKEN, np.int16)
        found[there] = self._tokens[rows[there]]
        return found


def narrowed(tokens: Tokens) -> Tokens:
    """The same tokens [n, widest] without the last columns, where these only pad."""
    return tokens[:, : 1 + int(np.flatnonzero((tokens >= 0).any(0)).max(initial=-1))]


def widened(tokens: Tokens) -> Tokens:
    """The same tokens [n, MOST_TOKENS], padded."""
    padding = np.full((len(tokens), MOST_TOKENS - tokens.shape[1]), NO_TOKEN, np.int16)
    return np.concatenate([tokens, padding], axis=1)


def _of_item(item: Item) -> Iterator[_Attribute]:
    for category in item.categories:
        yield _Attribute("category", category)
    for tag in item.tags:
        yield _Attribute("tag", tag)
    if item.price is not None:
        yield _Attribute("price", _amount(item.price))
    for name in sorted(item.vectors):
        for signature in signatures(name, item.vectors[name]):
            yield _Attribute("vector", signature)
    for word in _WORD.findall(item.title or ""):
        yield _Attribute("word", word)


def _hashed(told: Iterable[_Attribute], buckets: int) -> Tokens:
    """Distinct tokens in the order told."""
    tokens: dict[int, None] = {}
    for attribute in told:
        text = f"{attribute.kind}:{attribute.text.strip().lower()}"
        # Half of a surrogate pair, which JSON can hold, has no bytes to be hashed.
        tokens[hash64(text.encode(errors="replace").decode()) % buckets] = None
        if len(tokens) == MOST_TOKENS:
            break
    found = np.full(MOST_TOKENS, NO_TOKEN, np.int16)
    found[: len(tokens)] = list(tokens)
    return found


def _text(value: Scalar) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return _amount(value)


def _amount(number: float) -> str:
    """A number's half octave: those of one differ by less than a factor of about 1.4."""
    if not math.isfinite(number):
        return str(number)
    octaves = math.log2(1 + abs(number)) * _PRICES_PER_DOUBLING
    return f"{'-' if number < 0 else ''}{round(octaves)}"
