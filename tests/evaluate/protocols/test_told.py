"""What a public data set says of its items and users, as messages to the service."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from metarec_stream.contract.codec import decode_item, decode_profile
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.protocols import public_data

_MOST_BYTES = 256


def movielens(folder: Path, items: str, users: str) -> Path:
    """A folder with three ratings, and these lines of items and users under lines of names."""
    ratings = {"user": [1, 2, 1], "item": [7, 7, 8], "rating": [4, 5, 1], "timestamp": [1, 2, 3]}
    pl.DataFrame(ratings).write_parquet(folder / public_data.ML_100K)
    (folder / public_data.ML_100K_ITEMS).write_text("a\tb\tc\td\n" + items, encoding="utf-8")
    (folder / public_data.ML_100K_USERS).write_text("a\tb\tc\td\te\n" + users, encoding="utf-8")
    return folder


def test_movielens_tells_of_films_and_users(tmp_path: Path) -> None:
    """A quotation mark stays in the title; what is missing is left out, no age is null."""
    items = '7\tThe "Big" One\t1997\tComedy Drama\n8\tNameless\t\t\n'
    users = "1\t24\tM\twriter\t85711\n2\tunknown\tF\tnone\t94043\n"
    trial = public_data.unseen_ml100k_told(movielens(tmp_path, items, users), 0)
    told = [decode_item(record, _MOST_BYTES) for record in trial.beforehand.items]
    assert [(i.item, i.title, i.tags, i.categories) for i in told if i] == [
        ("7", 'The "Big" One', ["1997"], ["Comedy", "Drama"]),
        ("8", "Nameless", [], []),
    ]
    profiles = [decode_profile(record, _MOST_BYTES) for record in trial.beforehand.profiles]
    assert [each.attributes["age"] for each in profiles if each] == [24, None]
    assert [record.key for record in trial.beforehand.profiles] == [b"1", b"2"]
    assert public_data.unseen_ml100k(tmp_path, 0).beforehand.items == ()


def test_a_file_of_other_columns_is_named(tmp_path: Path) -> None:
    """With what it should hold."""
    folder = movielens(tmp_path, "", "")
    (folder / public_data.ML_100K_ITEMS).write_text("item\ttitle\n7\tA\n", encoding="utf-8")
    with pytest.raises(Fatal, match=r"ml100k_items.tsv: has 2 columns .* not item, title, year"):
        public_data.unseen_ml100k_told(folder, 0)


def held_out(folder: Path, films: str, users: str) -> Path:
    """A folder with ratings of three users without times, and these lines of films and users."""
    ratings = {"user": [1, 2, 3, 1], "item": [7, 7, 8, 8], "rating": [4, 5, 1, 2]}
    pl.DataFrame(ratings).write_parquet(folder / public_data.ML_1M)
    (folder / public_data.ML_1M_ITEMS).write_text(films, encoding="latin-1")
    (folder / public_data.ML_1M_USERS).write_text(users, encoding="latin-1")
    return folder


def test_movielens_1m_tells_of_films_and_users(tmp_path: Path) -> None:
    """The year stands in the title; a title may hold a colon, and letters of Latin-1."""
    films = "7::Les Misérables: I (1995)::Drama|Musical\n8::Air (2000)::Action\n"
    folder = held_out(tmp_path, films, "1::F::1::10::48067\n2::M::56::16::70072\n")
    told = public_data.held_out_ml1m_told(folder, 0).beforehand
    items = [decode_item(record, _MOST_BYTES) for record in told.items]
    assert [(i.item, i.title, i.tags, i.categories) for i in items if i] == [
        ("7", "Les Misérables: I", ["1995"], ["Drama", "Musical"]),
        ("8", "Air", ["2000"], ["Action"]),
    ]
    profiles = [decode_profile(record, _MOST_BYTES) for record in told.profiles]
    assert [each.attributes for each in profiles if each] == [
        {"age": 1, "gender": "F", "occupation": "10"},
        {"age": 56, "gender": "M", "occupation": "16"},
    ]
    assert public_data.held_out_ml1m(folder, 0).beforehand.items == ()


def test_a_line_of_other_fields_is_named(tmp_path: Path) -> None:
    """With its number."""
    folder = held_out(tmp_path, "7::Air (2000)::Action\n8::Air (2000)\n", "")
    with pytest.raises(Fatal, match=r"ml1m_movies.dat, line 2: 2 fields between '::', not 3"):
        public_data.held_out_ml1m_told(folder, 0)


def test_online_retail_tells_what_a_product_was_first_called(tmp_path: Path) -> None:
    """Of what known customers bought; cancellations and unknown customers tell nothing."""
    pl.DataFrame(
        {
            "ts": [3, 1, 2, 4, 5],
            "invoice": ["1", "1", "2", "3", "4"],
            "item": ["a", "a", "b", "c", "d"],
            "description": ["LATER NAME", "MUG", None, "TRAY", "BELL"],
            "user": [1, 1, 2, None, 3],
            "cancel": [False, False, False, False, True],
        }
    ).write_parquet(tmp_path / public_data.ONLINE_RETAIL)
    told = public_data.online_retail_told(tmp_path, 0).beforehand.items
    items = [decode_item(record, _MOST_BYTES) for record in told]
    assert [(i.item, i.title) for i in items if i] == [("a", "MUG"), ("b", None)]
