"""What can be searched: real settings, between values that they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarec_stream.config import Settings
from metarec_stream.settings_options import options
from metarec_stream.settings_sources import BadConfiguration
from metarec_stream.tune.space import DEFAULT_SEARCH, SPACE, search_ranges, with_values


@pytest.mark.parametrize("name", SPACE)
def test_every_range_is_of_a_setting_that_takes_both_its_ends(name: str) -> None:
    """The default lies between them, a log scale begins above 0, and integers stay integers."""
    option = next(option for option in options() if option.name == name)
    (each,) = search_ranges(name, Settings(), 100_000)
    assert each.integer == (option.type is int)
    assert each.low < each.high
    assert each.scale == "linear" or each.low > 0
    for end in (each.low, each.high):
        section, key = name.split(".")
        assert getattr(getattr(with_values(Settings(), {name: end}), section), key) == end


@pytest.mark.parametrize("name", SPACE)
def test_the_page_lists_every_range(name: str) -> None:
    """docs/tune.md says between which values each is tried."""
    page = (Path(__file__).parents[2] / "docs" / "tune.md").read_text(encoding="utf-8")
    low, high, scale = SPACE[name]
    drawn = "evenly" if scale == "linear" else "evenly in the logarithm"
    rows = [line.split("|") for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    ((_, _, tried, said, _),) = rows
    assert [float(end.replace(",", "")) for end in tried.split(" to ")] == [low, high]
    assert said.strip() == drawn


def test_names_may_be_spaced_and_repeated() -> None:
    """The order is the order of the list."""
    ranges = search_ranges("learn.steps, learn.table_rate,learn.steps,", Settings(), 256)
    assert [each.name for each in ranges] == ["learn.steps", "learn.table_rate"]
    assert [each.integer for each in ranges] == [True, False]
    assert len(search_ranges(DEFAULT_SEARCH, Settings(), 256)) == 4


@pytest.mark.parametrize("names", ["learn.magic", "learn.steps,kafka.group", "", ","])
def test_a_setting_without_a_range_is_refused_with_those_that_have_one(names: str) -> None:
    """The message names all of them."""
    with pytest.raises(BadConfiguration, match=r"there are learn\.table_rate, .*neighbours"):
        search_ranges(names, Settings(), 256)


def test_a_present_value_outside_the_range_is_refused() -> None:
    """The first trial is the present settings, so they have to lie in the search."""
    settings = with_values(Settings(), {"learn.table_rate": 0.9})
    with pytest.raises(BadConfiguration, match=r"learn\.table_rate = 0\.9 is outside"):
        search_ranges("learn.table_rate", settings, 256)


def test_a_range_that_the_other_settings_forbid_is_refused() -> None:
    """Bounds that hold between settings count too."""
    with pytest.raises(BadConfiguration, match="cannot be tried"):
        with_values(Settings(), {"value_sum.dimensions": 1_000})


def test_blocks_beyond_a_replays_batch_are_not_searched() -> None:
    """The replay learns after every batch: a larger block would be the same trial again."""
    (each,) = search_ranges("learn.block", Settings(), 300)
    assert (each.low, each.high) == (32, 300)
    with pytest.raises(BadConfiguration, match="--outer-every 32"):
        search_ranges("learn.block", with_values(Settings(), {"learn.block": 32}), 32)
