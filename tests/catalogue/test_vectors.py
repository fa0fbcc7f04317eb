"""Vectors that point the same way share signatures, others do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarec_stream.catalogue.content import item_tokens
from metarec_stream.catalogue.vectors import SIGNATURES, signatures
from metarec_stream.contract.item import Item


def pair(cosine: float, generator: np.random.Generator) -> tuple[list[float], list[float]]:
    """Two random vectors of 32 numbers at this angle."""
    one, other = generator.standard_normal((2, 32))
    one /= np.linalg.norm(one)
    other -= (other @ one) * one
    other /= np.linalg.norm(other)
    turned = cosine * one + math.sqrt(1 - cosine**2) * other
    return one.tolist(), turned.tolist()


@pytest.mark.parametrize(
    ("cosine", "least", "most"), [(0.95, 0.8, 1), (0.5, 0.05, 0.3), (0, 0, 0.06)]
)
def test_the_chance_to_share_one_falls_with_the_angle(
    cosine: float, least: float, most: float
) -> None:
    """Over 300 pairs, within the bounds that follow from a bit's chance of 1 - angle / pi."""
    generator = np.random.default_rng(1)
    pairs = [pair(cosine, generator) for _ in range(300)]
    shared = [bool(set(signatures("text", a)) & set(signatures("text", b))) for a, b in pairs]
    assert least <= np.mean(shared) <= most


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8))
def test_length_does_not_matter(vector: list[float]) -> None:
    """A vector and its multiple have the same signatures; one of zeros has none."""
    found = signatures("text", vector)
    assert len(found) == (SIGNATURES if any(vector) else 0)
    if max(map(abs, vector)) < 1e299 and min(abs(x) for x in vector) > 1e-290:
        assert signatures("text", [2.0 * number for number in vector]) == found


def test_names_and_lengths_have_planes_of_their_own() -> None:
    """A text vector tells nothing of an image vector with the same numbers."""
    vector = np.random.default_rng(2).standard_normal(16).tolist()
    text, image = (Item(item="a", vectors={name: vector}) for name in ("text", "image"))
    assert not set(signatures("text", vector)) & set(signatures("image", vector))
    mine, other = (set(item_tokens(item, 4096).tolist()) - {-1} for item in (text, image))
    assert len(mine) == len(other) == SIGNATURES
    assert mine != other
