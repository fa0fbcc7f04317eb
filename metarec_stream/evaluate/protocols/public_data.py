"""The protocols on the files of the folder of public data, each as one function of folder and seed.

The seed is of what a protocol draws: negatives, the order of lines, who is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from metarec_stream.config import Settings
from metarec_stream.contract.item import Item
from metarec_stream.contract.profile import UserProfile
from metarec_stream.datasets.synthetic import synthetic_stream
from metarec_stream.errors import Fatal
from metarec_stream.evaluate.beforehand import Beforehand, beforehand_of
from metarec_stream.evaluate.dataset import Columns, EventTable, read_events
from metarec_stream.evaluate.protocols import adaptation, globo, movielens, retail
from metarec_stream.evaluate.protocols.jodie import jodie
from metarec_stream.evaluate.protocols.trial import Trial

_Read = TypeVar("_Read")
Prepare = Callable[[Path, int], Trial]
"""From the folder of public data and a seed."""

GLOBO = "globo_clicks.parquet"
ML_100K = "ml100k_ratings.parquet"
ML_100K_ITEMS = "ml100k_items.tsv"
ML_100K_USERS = "ml100k_users.tsv"
ML_1M = "ml1m_ratings_no_timestamp.parquet"
ML_1M_ITEMS = "ml1m_movies.dat"
ML_1M_USERS = "ml1m_users.dat"
ONLINE_RETAIL = "online_retail.parquet"

_GLOBO_ROWS = 300_000


def flurs_ml100k(folder: Path, seed: int) -> Trial:
    """FluRS's protocol on MovieLens 100K."""
    return movielens.flurs(_ml100k(folder))


def cope_ml100k(folder: Path, seed: int) -> Trial:
    """CoPE's protocol on MovieLens 100K."""
    return movielens.cope(_ml100k(folder))


def unseen_ml100k(folder: Path, seed: int) -> Trial:
    """Unseen items of the last tenth of MovieLens 100K."""
    return movielens.unseen_last_tenth(_ml100k(folder))


def unseen_ml100k_told(folder: Path, seed: int) -> Trial:
    """The same; the default is told of titles, years and genres, and who the users are."""
    return replace(unseen_ml100k(folder, seed), beforehand=_ml100k_beforehand(folder))


def globo_hours(folder: Path, seed: int) -> Trial:
    """CHAMELEON's protocol on the first 1,000,000 clicks."""
    path = folder / GLOBO
    table = read_events(path, _GLOBO_COLUMNS)
    apart = _read(path).select("session_id", "hour_file")
    session, hour = (apart[name].cast(pl.Int64).to_numpy() for name in apart.columns)
    return globo.hour_by_hour(table, session, hour, seed)


def globo_seen(folder: Path, seed: int) -> Trial:
    """The first 300,000 clicks, unseen by the user, among all items seen so far."""
    return globo.seen_so_far(read_events(folder / GLOBO, _GLOBO_COLUMNS, _GLOBO_ROWS))


def online_retail(folder: Path, seed: int) -> Trial:
    """Online Retail, lines in their order."""
    return retail.retail(_invoice_lines(_known_customers(folder)))


def online_retail_told(folder: Path, seed: int) -> Trial:
    """The same; the default is told what products are called, from their first sale on."""
    bought = _known_customers(folder)
    return replace(retail.retail(_invoice_lines(bought)), beforehand=_products(bought))


def online_retail_shuffled(folder: Path, seed: int) -> Trial:
    """Online Retail, the lines of each invoice shuffled."""
    return retail.retail_shuffled(_invoice_lines(_known_customers(folder)), seed)


def online_retail_jodie(folder: Path, seed: int) -> Trial:
    """JODIE's protocol on Online Retail: its own files are not in the folder."""
    return jodie(_invoice_lines(_known_customers(folder)).table)


def held_out_ml1m(folder: Path, seed: int) -> Trial:
    """Users whom the outer loop never saw, on MovieLens 1M."""
    frame = _read(folder / ML_1M)
    user, item = (frame[name].cast(pl.String).to_list() for name in ("user", "item"))
    return adaptation.held_out_users(EventTable(user, item, np.zeros(len(frame), np.int64)), seed)


def held_out_ml1m_told(folder: Path, seed: int) -> Trial:
    """The same; the default is told of titles, years and genres, and who the users are."""
    return replace(held_out_ml1m(folder, seed), beforehand=_ml1m_beforehand(folder))


def synthetic_change(folder: Path, seed: int) -> Trial:
    """A planted change of taste, without repeats, in a stream that is drawn anew by the seed."""
    section = Settings().synthetic.model_copy(update={"repeats": 0.0})
    return adaptation.changed_taste(synthetic_stream(section, seed))


_GLOBO_COLUMNS = Columns(
    "user", "item", "ts_ms", "ms", context=("referrer", "region", "device", "os")
)
"""With what a request says of itself; only the default reads it (see `default-without-context`)."""


def _ml100k(folder: Path) -> EventTable:
    return read_events(folder / ML_100K, Columns("user", "item", "timestamp", value="rating"))


def _ml100k_beforehand(folder: Path) -> Beforehand:
    items = _read_text(folder / ML_100K_ITEMS, ("item", "title", "year", "genres"))
    users = _read_text(folder / ML_100K_USERS, ("user", "age", "gender", "occupation", "zip"))
    return beforehand_of(
        (_film(item, title, year, genres.split()) for item, title, year, genres in items.rows()),
        (
            _viewer(user, age, gender, occupation)
            for user, age, gender, occupation, _ in users.rows()
        ),
    )


def _ml1m_beforehand(folder: Path) -> Beforehand:
    """Ages and occupations are the codes of the data set's groups; a title ends with its year."""
    films = _read_dat(folder / ML_1M_ITEMS, 3)
    users = _read_dat(folder / ML_1M_USERS, 5)
    return beforehand_of(
        (_film(item, title[:-7], title[-5:-1], genres.split("|")) for item, title, genres in films),
        (_viewer(user, age, gender, occupation) for user, gender, age, occupation, _ in users),
    )


def _film(item: str, title: str, year: str, genres: list[str]) -> Item:
    return Item(item=item, title=title, tags=[year] if year else [], categories=genres)


def _viewer(user: str, age: str, gender: str, occupation: str) -> UserProfile:
    years = int(age) if age.isdecimal() else None
    return UserProfile(
        user=user, attributes={"age": years, "gender": gender, "occupation": occupation}
    )


def _products(bought: pl.DataFrame) -> Beforehand:
    first = bought.unique("item", keep="first", maintain_order=True)
    return beforehand_of(
        Item(item=item, title=description)
        for item, description in first.select("item", "description").iter_rows()
    )


def _known_customers(folder: Path) -> pl.DataFrame:
    frame = _read(folder / ONLINE_RETAIL)
    kept = frame.filter(pl.col("user").is_not_null() & ~pl.col("cancel"))
    return kept.sort("ts", maintain_order=True)


def _invoice_lines(bought: pl.DataFrame) -> retail.InvoiceLines:
    table = EventTable(
        bought["user"].cast(pl.String).to_list(),
        bought["item"].to_list(),
        bought["ts"].to_numpy() * 1_000,
    )
    return retail.InvoiceLines(table, bought["invoice"].to_list())


def _read(path: Path) -> pl.DataFrame:
    return _opened(path, lambda: pl.read_parquet(path))


def _read_text(path: Path, names: Sequence[str]) -> pl.DataFrame:
    """A table of texts, its columns between tabs; a field may hold a quotation mark.

    The columns are known by their order: names differ between copies of these files.
    """
    frame = _opened(
        path, lambda: pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    )
    if frame.width != len(names):
        raise Fatal(f"{path}: has {frame.width} columns between tabs, not {', '.join(names)}")
    return frame.rename(dict(zip(frame.columns, names, strict=True))).fill_null("")


def _read_dat(path: Path, fields: int) -> list[list[str]]:
    """The fields of each line of a table of MovieLens 1M, between double colons."""
    text = _opened(path, lambda: path.read_text(encoding="latin-1"))
    rows = [line.split("::") for line in text.splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) != fields:
            raise Fatal(f"{path}, line {number}: {len(row)} fields between '::', not {fields}")
    return rows


def _opened(path: Path, read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Fatal(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
