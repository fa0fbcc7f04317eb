"""What a learner starts from: the built-in version, or a published one that fits."""

from __future__ import annotations

from metarec_stream.adapters.value_sum.parameters import NAME, TABLES, version_zero
from metarec_stream.config import Settings
from metarec_stream.contract.meta_version import MetaVersion
from metarec_stream.errors import Fatal
from metarec_stream.pipeline.features import FEATURES, SITUATION


def built_in_version(settings: Settings) -> MetaVersion:
    """Version 0 as these settings have it."""
    adapter = settings.value_sum
    return version_zero(adapter.dimensions, adapter.time_scales, FEATURES, len(SITUATION))


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
        shape = (len(version.items), *array.shape[1:]) if name in TABLES else array.shape
        found = version.parameters.get(name)
        if found is None or found.shape != shape:
            raise Fatal(
                f"meta version {version.version} on {settings.topics.meta} has parameter {name!r} "
                f"of shape {None if found is None else found.shape}, these settings {shape}: set "
                "METAREC_VALUE_SUM__DIMENSIONS and METAREC_VALUE_SUM__TIME_SCALES as they were, "
                "or METAREC_TOPICS__META to a new topic"
            )
