"""What a learner starts from: the built-in version, or a published one that fits."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from metarec_stream.adapters.value_sum.parameters import NAME, shape_in, version_zero
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.errors import Fatal
from metarec_stream.kafka.connection import client_options
from metarec_stream.learner.events import FIELDS
from metarec_stream.pipeline.features import FEATURES, SITUATION


def built_in_version(settings: Settings) -> MetaVersion:
    """Version 0 as these settings have it."""
    return version_zero(settings.value_sum, FEATURES, len(SITUATION))


def require_fit(version: MetaVersion, settings: Settings) -> None:
    """Fatal if the settings or this release have parameters of other shapes than the version."""
    if version.adapter != NAME:
        raise Fatal(
            f"meta version {version.version} on {settings.topics.meta} is of adapter "
            f"{version.adapter!r}, this learner has {NAME!r}: set METAREC_TOPICS__META to a new "
            "topic"
        )
    expected = built_in_version(settings).parameters
    for name, array in expected.items():
        shape = shape_in(version, name, array)
        found = version.parameters.get(name)
        if found is None or found.shape != shape:
            raise Fatal(
                f"meta version {version.version} on {settings.topics.meta} has parameter {name!r} "
                f"of shape {None if found is None else found.shape}, these settings {shape}: set "
                "METAREC_VALUE_SUM__DIMENSIONS and METAREC_VALUE_SUM__TIME_SCALES as they were, "
                "or METAREC_TOPICS__META to a new topic"
            )


def identity_of(settings: Settings) -> dict[str, str]:
    """What a checkpoint has to share with these settings, this release and these topics.

    A topic is its id: one of the same name that was deleted and made again is another. Raises Fatal
    if the brokers do not answer.
    """
    names = [settings.topics.tasks, settings.topics.meta, settings.topics.receipts]
    try:
        with KafkaAdminClient(**client_options(settings.kafka)) as admin:
            described = {topic["name"]: topic for topic in admin.describe_topics(names)}
    except KafkaError as error:
        raise Fatal(
            f"The topics on {settings.kafka.bootstrap_servers} cannot be described ({error}): see "
            "that the brokers are well, and start again."
        ) from error
    ids = {f"topic {name}": str(described[name]["topic_id"]) for name in names}
    return {**ids, **_shapes(settings)}


def _shapes(settings: Settings) -> dict[str, str]:
    parameters = built_in_version(settings).parameters
    return {
        "adapter": NAME,
        "features": " ".join(FEATURES),
        "situation": " ".join(SITUATION),
        "events": " ".join(FIELDS),
        "parameters": " ".join(f"{name}{array.shape}" for name, array in parameters.items()),
        "learn.buffer": str(settings.learn.buffer),
        "tokens": f"{settings.value_sum.content_buckets} {settings.value_sum.profile_buckets}",
    }
