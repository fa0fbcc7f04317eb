"""The settings: every section, composed, frozen and validated at start."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from metarec_stream.adapters.value_sum.settings import ValueSumSettings
from metarec_stream.catalogue.settings import CatalogueSettings
from metarec_stream.datasets.settings import SyntheticSettings
from metarec_stream.kafka.settings import KafkaSettings, TopicsSettings
from metarec_stream.learner.settings import GateSettings, LearnSettings
from metarec_stream.pipeline.settings import (
    BatchSettings,
    Emit,
    EventsSettings,
    GuardSettings,
    OutputSettings,
    RankSettings,
)
from metarec_stream.section import Section
from metarec_stream.service.settings import (
    DataSettings,
    HttpSettings,
    LogSettings,
    ServiceSettings,
)
from metarec_stream.state.settings import StateSettings


class Settings(Section):
    """Everything that can be set, by flag, environment variable or TOML file."""

    application: str = Field("metarec", pattern=r"^[A-Za-z0-9_-]+$")
    """Prefix of the transactional ids; services on the same brokers must differ in it."""
    instance_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Fixed slot of this process in its transactional id; drawn at random if absent."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of everything that is drawn: sampled events, random candidates, replayed tasks."""
    emit: Emit = "per_user"
    """`per_user`: one list for each user touched in a batch; `per_event`: one for every
    accepted event."""
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicsSettings = TopicsSettings()
    batch: BatchSettings = BatchSettings()
    guard: GuardSettings = GuardSettings()
    events: EventsSettings = EventsSettings()
    state: StateSettings = StateSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    rank: RankSettings = RankSettings()
    output: OutputSettings = OutputSettings()
    learn: LearnSettings = LearnSettings()
    gate: GateSettings = GateSettings()
    value_sum: ValueSumSettings = ValueSumSettings()
    service: ServiceSettings = ServiceSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    data: DataSettings = DataSettings()
    synthetic: SyntheticSettings = SyntheticSettings()

    @model_validator(mode="after")
    def _late_events_find_their_user(self) -> Self:
        ttl_s, lateness_s = self.state.ttl_s, self.guard.lateness_s
        if ttl_s is not None and ttl_s < lateness_s:
            raise ValueError(
                f"state.ttl_s, {ttl_s}, must be at least guard.lateness_s, {lateness_s}: else a "
                "late event would come after its user is forgotten"
            )
        return self
