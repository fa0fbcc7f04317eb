"""Brokers with access control: the minimal list is enough, and what is missing of it is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from metarec_stream.client import InteractionProducer, RecommendationSubscriber
from metarec_stream.commands.dlq import dlq
from metarec_stream.config import Settings
from metarec_stream.contract.interaction import Interaction
from metarec_stream.contract.item import Item
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.contract.transport import Output
from metarec_stream.dead_letters.letter import Letter
from metarec_stream.dead_letters.sender import ReplaySender
from metarec_stream.errors import Fatal
from metarec_stream.kafka.changelog import Changelog
from metarec_stream.kafka.connection import wait_for_brokers
from metarec_stream.kafka.fencing import Fencing
from metarec_stream.kafka.fixed_log import FixedLog
from metarec_stream.kafka.rights import (
    ROLES,
    Right,
    consumer_rights,
    creating_rights,
    dlq_rights,
)
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings
from metarec_stream.kafka.source import KafkaSource
from metarec_stream.kafka.topics import ensure_topics
from metarec_stream.kafka.transaction import KafkaTransaction
from metarec_stream.learner.publish import Publisher
from metarec_stream.learner.receipts import ReceiptReader
from metarec_stream.learner.start import built_in_version
from metarec_stream.learner.tasks import TaskReader
from metarec_stream.metrics import LearnerMetrics
from metarec_stream.service.follower import TopicFollower
from metarec_stream.verify.kafka_log import KafkaLog
from tests.conftest import settings_of
from tests.debian import needs
from tests.kafka.secured_broker import SecuredBroker
from tests.transport.backends import wait_until

pytestmark = needs("openssl")
CASES = [(role, number) for role in ROLES for number in range(len(ROLES[role](Settings())))]


@pytest.fixture(scope="module")
def topics(secured_broker: SecuredBroker) -> TopicsSettings:
    """Topics that exist, a record in each."""
    kafka = KafkaSettings(bootstrap_servers=secured_broker.bootstrap_servers)
    settings = settings_of("of-all-tests", kafka)
    ensure_topics(settings)
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)) as producer:
        for topic in (*settings.topics.partitioned(), *settings.topics.single()):
            producer.send(topic, key=b"key", value=b"{}", partition=0)
        producer.flush()
    return settings.topics


@pytest.fixture
def as_user(
    secured_broker: SecuredBroker, topics: TopicsSettings, unique: str
) -> Callable[[str], Settings]:
    """Settings of a user, with an application and a group of the test's own."""

    def of(user: str) -> Settings:
        kafka = secured_broker.with_password(user)
        return settings_of(unique, kafka).model_copy(update={"topics": topics})

    return of


def poll_input(settings: Settings) -> None:
    """Join the group, read a record."""
    with closing(KafkaSource(settings, lambda change: None)) as source:
        read_a_record(source)


def read_a_record(source: KafkaSource) -> None:
    """Join the group and let partition 0 flow until its record is there."""

    def came() -> bool:
        records = source.poll(100, 10)
        if 0 in source.owned and not source.owns(0):
            source.resume(0, 0)
        return bool(records)

    wait_until(came)


def follow(settings: Settings, topic: str) -> None:
    """Read a topic that is kept in memory."""
    follower = TopicFollower(settings, topic, lambda records: None)
    follower.start()

    def caught_up() -> bool:
        follower.check()
        return follower.caught_up.is_set()

    try:
        wait_until(caught_up)
    finally:
        follower.close()


def read_changelog(settings: Settings) -> None:
    """Read the state that was written."""
    with closing(Changelog(settings)) as changelog:
        assert changelog.settled(0)
        assert [record for slice_ in changelog.read(0, 0) for record in slice_]


def write(settings: Settings, topic: str) -> None:
    """Produce a record in a transaction."""
    with closing(KafkaTransaction(settings)) as transaction:
        transaction.begin()
        transaction.send(Output(topic, 0, b"key", b"value"))
        transaction.commit()


def read_tasks(settings: Settings) -> None:
    """Read what there is on the tasks topic."""
    metrics = LearnerMetrics(CollectorRegistry())
    with closing(TaskReader(settings, settings.topics.partitions, {}, metrics)) as reader:
        wait_until(lambda: bool(reader.poll() or metrics.refused_blocks._value.get()))


def read_receipts(settings: Settings) -> None:
    """Read what erasures have left; the record there is none."""
    with closing(ReceiptReader(settings)) as reader:
        assert reader.catch_up() == []


def publish(settings: Settings) -> None:
    """Publish a meta version."""
    start = built_in_version(settings)
    with closing(Publisher(settings)) as publisher:
        parent = publisher.newest_number
        publisher.publish(MetaVersion(parent + 1, parent, start.adapter, [], start.parameters))


def post(settings: Settings) -> None:
    """Announce an item, post an interaction."""
    with InteractionProducer(settings.kafka, topics=settings.topics) as producer:
        producer.announce(Item(item="i"))
        producer.post(Interaction(user="u", item="i"))


def subscribe(settings: Settings) -> None:
    """Read recommendations; the record there is none."""
    with RecommendationSubscriber(
        settings.kafka, topics=settings.topics, from_beginning=True
    ) as subscriber:
        assert subscriber.poll() == []


def read_all(settings: Settings) -> None:
    """Read the whole log as `metarec verify` does; what there is was written by no service."""
    topics = settings.topics
    names = (topics.interactions, topics.recommendations, topics.dead_letters_topic(), topics.state)
    with closing(KafkaLog(settings)) as logged:
        for topic in names:
            assert list(logged.records(topic, 0))


def list_dead_letters(settings: Settings) -> None:
    """As `metarec dlq list`."""
    assert dlq("list", settings=settings) == 0


def replay_dead_letters(settings: Settings) -> None:
    """As `metarec dlq replay`, and then with a letter in it; what there is on the topic is none."""
    assert dlq("replay", settings=settings) == 0
    letters, topic = settings.topics.dead_letters_topic(), settings.topics.interactions
    letter = Letter(letters, 0, 0, 0, "late", "", topic, 0, 0, b"key", b"{}", ())
    with closing(ReplaySender(settings)) as sender:
        sender.send([letter])
    with closing(FixedLog(settings, [topic], dlq_rights(settings))) as log:
        log.settle(topic)
        assert list(log.records(topic, 0))


def meet(role: str, right: Right, settings: Settings) -> None:
    """Do what needs the right, with the code that does it in production."""
    match role, right.operation, right.kind:
        case "producer", _, _:
            post(settings)
        case "subscriber", _, _:
            subscribe(settings)
        case "verify", _, _:
            read_all(settings)
        case "dlq", _, _:
            replay_dead_letters(settings)
        case "learner", "Describe", _:
            ensure_topics(settings)
        case "learner", "Read", _ if right.name != settings.topics.meta:
            read_tasks(settings)
            read_receipts(settings)
        case "learner", _, _:
            publish(settings)
        case _, "Read", _ if right.name == settings.topics.state:
            read_changelog(settings)
        case _, "Read", "topic" if right.name != settings.topics.interactions:
            follow(settings, right.name)
        case _, "Read", _:
            poll_input(settings)
        case _, _, "topic":
            write(settings, right.name)
        case _:
            write(settings, settings.topics.tasks)


@pytest.mark.parametrize("role", ROLES)
def test_the_minimal_list_is_enough(
    role: str, secured_broker: SecuredBroker, as_user: Callable[[str], Settings]
) -> None:
    """With its list and nothing else, a program does all that the list is for."""
    settings = as_user(role)
    rights = ROLES[role](settings)
    with secured_broker.allowed(role, rights):
        for right in rights:
            meet(role, right, settings)
        if role in ("consumer", "learner"):
            assert ensure_topics(settings) == 2


@pytest.mark.parametrize(
    ("role", "number"), CASES, ids=[f"{role}-{ROLES[role](Settings())[at]}" for role, at in CASES]
)
def test_a_missing_right_is_named(
    role: str,
    number: int,
    secured_broker: SecuredBroker,
    as_user: Callable[[str], Settings],
) -> None:
    """Without one entry of the list, the Fatal says which: the operation, the kind and the name."""
    settings = as_user(role)
    rights = list(ROLES[role](settings))
    missing = rights.pop(number)
    if missing.kind == "topic" and missing.operation != "Describe":
        # The topic stays visible, so that it is the operation that is refused.
        rights.append(Right("Describe", "topic", missing.name))
    said = rf"grant (it|this client) {re.escape(str(missing))}[ ,]"
    with secured_broker.allowed(role, rights), pytest.raises(Fatal, match=said):
        meet(role, missing, settings)


@pytest.mark.parametrize("role", ROLES)
def test_a_client_that_may_do_nothing(role: str, as_user: Callable[[str], Settings]) -> None:
    """Without any right it is told the first that it needs, not that the topics are missing."""
    settings = as_user(role)
    begins = {
        "producer": post,
        "subscriber": subscribe,
        "verify": read_all,
        "dlq": list_dead_letters,
    }.get(role, ensure_topics)
    with pytest.raises(Fatal) as caught:
        begins(settings)
    named = re.search(r"grant (?:it|this client) (\w+) on topic ([^ ,]+)", str(caught.value))
    assert named
    assert named[1] in ("Describe", "Write")
    assert named[2] in {right.name for right in ROLES[role](settings)}


@pytest.mark.parametrize("kind", ["topic", "group"])
def test_offsets_that_may_not_be_committed(
    kind: str, secured_broker: SecuredBroker, as_user: Callable[[str], Settings]
) -> None:
    """Offsets need Read on the input and on the group: each refusal names the one it is about."""
    settings, other = as_user("consumer"), as_user("learner")
    rights = consumer_rights(settings)
    name = settings.topics.interactions if kind == "topic" else settings.kafka.group
    kept = [right for right in rights if right.name != name]
    described = [Right("Describe", "topic", settings.topics.interactions)]
    with ExitStack() as parts:
        parts.enter_context(secured_broker.allowed("consumer", rights))
        parts.enter_context(secured_broker.allowed("learner", [*kept, *described]))
        source = parts.enter_context(closing(KafkaSource(settings, lambda change: None)))
        read_a_record(source)
        transaction = parts.enter_context(closing(KafkaTransaction(other)))
        transaction.begin()
        with pytest.raises(Fatal, match=re.escape(f"grant it Read on {kind} {name} (")):
            transaction.send_offsets({0: 1}, source.group_metadata())


def test_a_takeover_may_end_transactions_of_the_group(
    secured_broker: SecuredBroker, as_user: Callable[[str], Settings]
) -> None:
    """The list lets a consumer find and end what a dead one of its group has left open."""
    settings = as_user("consumer")
    with secured_broker.allowed("consumer", consumer_rights(settings)):
        dead = KafkaTransaction(settings.model_copy(update={"instance_id": "dead"}))
        with closing(dead):
            dead.begin()
            dead.send(Output(settings.topics.tasks, 0, b"key", b"value"))
            dead._producer.flush()
            fencing = Fencing(settings, "of-the-living")
            wait_until(lambda: fencing.fence([0]))
            with pytest.raises(Fatal, match="another process has the same id"):
                dead.commit()


def test_topics_are_created_with_the_right_to(secured_broker: SecuredBroker, unique: str) -> None:
    """Whoever comes first needs Create on each topic; the one that is missing is named."""
    settings = settings_of(unique, secured_broker.with_certificate("consumer"))
    *others, last = creating_rights(settings)
    with secured_broker.allowed("consumer", [*consumer_rights(settings), *others]):
        with pytest.raises(Fatal, match=re.escape(f"grant this client {last},")):
            ensure_topics(settings)
        with secured_broker.allowed("consumer", [last]):
            assert ensure_topics(settings) == 2


def test_an_authority_that_did_not_sign(secured_broker: SecuredBroker) -> None:
    """Brokers that somebody else vouches for are not talked to, and the setting is named."""
    trusted = secured_broker.with_password("consumer")
    assert trusted.ssl_cafile is not None
    stranger = trusted.ssl_cafile.with_name("stranger.pem")
    changes = {"ssl_cafile": stranger, "connect_timeout_s": 0.5}
    with pytest.raises(Fatal, match="METAREC_KAFKA__SSL_CAFILE has not signed"):
        wait_for_brokers(trusted.model_copy(update=changes))


def test_a_certificate_is_asked_for(secured_broker: SecuredBroker) -> None:
    """Without a certificate mutual TLS lets nobody in, and the setting is named."""
    own = secured_broker.with_certificate("consumer")
    changes = {"ssl_certfile": None, "ssl_keyfile": None, "connect_timeout_s": 0.5}
    with pytest.raises(Fatal, match="METAREC_KAFKA__SSL_CERTFILE"):
        wait_for_brokers(own.model_copy(update=changes))


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_missing(name: str, secured_broker: SecuredBroker) -> None:
    """A file that cannot be read is said at once, with its setting."""
    own = secured_broker.with_certificate("consumer")
    missing = own.model_copy(update={name: getattr(own, name).with_name("missing.pem")})
    with pytest.raises(Fatal, match=f"METAREC_KAFKA__{name.upper()}"):
        wait_for_brokers(missing)
