"""What a batch is sent as: task blocks within the limit of a record."""

from __future__ import annotations

import pytest

from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.task import MOST_TOKENS, TaskBlock
from metarec_stream.contract.task_codec import decode_task_block, encode_task_block
from metarec_stream.kafka.settings import KafkaSettings
from metarec_stream.learner.settings import LearnSettings
from metarec_stream.memory.log import MemoryRecord
from metarec_stream.pipeline import publish
from tests.stream import recommender, records

LIMIT = 65_536
SETTINGS = Settings(
    kafka=KafkaSettings(max_message_bytes=LIMIT),
    learn=LearnSettings(strongest=4, random=60, sample_per_batch=100_000),
)
ITEMS = [f"item-{number:019}" for number in range(3_000)]
"""Ids of 24 bytes, as long as blocks are reckoned with."""


def items_with_content() -> list[MemoryRecord]:
    """Each item with as many words in its title as there are tokens."""
    words = [" ".join(f"w{number}x{place}" for place in range(20)) for number in range(len(ITEMS))]
    return [
        MemoryRecord(
            "items", 0, at, 0, item.encode(), f'{{"item": "{item}", "title": "{title}"}}'.encode()
        )
        for at, (item, title) in enumerate(zip(ITEMS, words, strict=True))
    ]


def profiles(users: int) -> list[MemoryRecord]:
    """Each user with two attributes."""
    told = '{"user": "u%d", "attributes": {"country": "NO", "plan": "basic"}}'
    return [
        MemoryRecord("users", 0, at, 0, b"u%d" % at, (told % at).encode()) for at in range(users)
    ]


def test_blocks_with_tokens_are_reckoned_to_fit_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """No block has to be halved because its items bring their content and its users profiles."""
    encoded: list[bytes] = []

    def encode(block: TaskBlock) -> bytes:
        encoded.append(encode_task_block(block))
        return encoded[-1]

    monkeypatch.setattr(publish, "encode_task_block", encode)
    engine = recommender(SETTINGS)
    engine.apply_items(items_with_content())
    engine.apply_profiles(profiles(9))
    happened = [
        Interaction(user=f"u{number % 9}", item=ITEMS[37 * number], ts=1_700_000_000_000 + number)
        for number in range(80)
    ]
    result = engine.process(records(happened))
    blocks = [decode_task_block(value) for value in encoded]
    assert sum(len(block.offsets) for block in blocks) == result.tasks == 80
    assert {block.item_tokens.shape[1] for block in blocks} == {MOST_TOKENS}
    assert {block.profile_tokens.shape[1] for block in blocks} == {2}
    assert max(map(len, encoded)) < LIMIT
    assert max(map(len, encoded)) > LIMIT / 2
