"""Every Prometheus metric that the processes export, in one place: names are an interface."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from metarec_stream.errors import Reason

STAGES = ("decode", "guard", "adapt", "rank", "publish", "commit")
ABORTS = ("rebalance", "refused", "uncertain")
MODELS = ("model", "popularity")

_LATENCY_BUCKETS = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25,
    0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_STAGE_BUCKETS = (
    0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class ConsumerMetrics:
    """What `metarec serve` exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "metarec_events",
            "Interactions by type and outcome (accepted, rejected, duplicate, erased).",
            ["type", "outcome"],
            registry=registry,
        )
        self.rejected = Counter(
            "metarec_rejected", "Dead letters by reason.", ["reason"], registry=registry
        )
        self.rejected_items = Counter(
            "metarec_items_rejected",
            "Records of the items topic that could not be taken, by reason.",
            ["reason"],
            registry=registry,
        )
        self.rejected_profiles = Counter(
            "metarec_profiles_rejected",
            "Records of the users topic that could not be taken, by reason.",
            ["reason"],
            registry=registry,
        )
        self.misplaced = Counter(
            "metarec_misplaced",
            "Accepted interactions whose key is not the user, or whose partition is not the key's.",
            registry=registry,
        )
        self.recommendations = Counter(
            "metarec_recommendations", "Recommendations published.", registry=registry
        )
        self.batch_records = Histogram(
            "metarec_batch_records",
            "Records of a batch.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "metarec_stage_seconds",
            "Seconds of a batch spent in a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.latency_seconds = Histogram(
            "metarec_recommendation_latency_seconds",
            "From the interaction's record timestamp to the commit of its recommendation.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.lag = Gauge(
            "metarec_lag_records",
            "Records of the input behind the end, by partition.",
            ["partition"],
            registry=registry,
        )
        self.users = Gauge("metarec_users", "Users in memory.", registry=registry)
        self.state_bytes = Gauge(
            "metarec_state_bytes", "Bytes of the users' state in memory.", registry=registry
        )
        self.cold_users = Gauge(
            "metarec_users_cold", "Users on the local disk alone.", registry=registry
        )
        self.cold_loads = Counter(
            "metarec_cold_users_loaded", "Users read back from the local disk.", registry=registry
        )
        self.expired_users = Counter(
            "metarec_users_expired",
            "Users who had no event for `state.ttl_s` and were forgotten.",
            registry=registry,
        )
        self.cold_evictions = Counter(
            "metarec_cold_users_evicted", "Users who left memory for the local disk.",
            registry=registry,
        )  # fmt: skip
        self.store_bytes = Gauge(
            "metarec_store_bytes", "Bytes of the users' rows on the local disk.", registry=registry
        )
        self.items = Gauge(
            "metarec_catalogue_items", "Items that can be recommended.", registry=registry
        )
        self.meta_version = Gauge(
            "metarec_meta_version", "Meta version that ranks.", registry=registry
        )
        self.meta_version_created = Gauge(
            "metarec_meta_version_created_timestamp_seconds",
            "When the live meta version was made.",
            registry=registry,
        )
        self.swaps = Counter(
            "metarec_meta_version_swaps", "Meta versions taken up.", registry=registry
        )
        self.refused_versions = Counter(
            "metarec_meta_versions_refused",
            "Meta versions not taken up: wrong hash, missing chunks, unknown shape.",
            registry=registry,
        )
        self.prequential_events = Counter(
            "metarec_prequential_events",
            "Events ranked before they were learned.",
            registry=registry,
        )
        self.prequential_hits = Counter(
            "metarec_prequential_hits_at_10",
            "Of these, events whose item was among the first 10, by model.",
            ["model"],
            registry=registry,
        )
        self.prequential_expected_hits = Counter(
            "metarec_prequential_expected_hits_at_10",
            "Sum of the probabilities of the model's first 10: its hits, where these are right.",
            registry=registry,
        )
        self.calibration_error = Gauge(
            "metarec_calibration_error",
            "Mean probability of the model's first 10 against their hit rate, by how much they "
            "differ on the newest prequential events.",
            registry=registry,
        )
        self.prequential_reciprocal_rank = Counter(
            "metarec_prequential_reciprocal_rank",
            "Sum of 1 / rank of the event's item, by model.",
            ["model"],
            registry=registry,
        )
        self.sample_share = Gauge(
            "metarec_sample_share",
            "Share of accepted events that were sampled in the last batch.",
            registry=registry,
        )
        self.tasks = Counter("metarec_tasks", "Task events sent to the learner.", registry=registry)
        self.degraded = Gauge(
            "metarec_degraded", "1 while the service goes on with less, by what is missing.",
            ["what"],
            registry=registry,
        )  # fmt: skip
        self.checkpoint_seconds = Histogram(
            "metarec_checkpoint_seconds",
            "Seconds to encode a partition's checkpoint: a pause of the batch that it is part of.",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.checkpoint_rows = Counter(
            "metarec_checkpoint_rows", "Rows of users written to the changelog.", registry=registry
        )
        self.aborts = Counter(
            "metarec_aborts",
            "Batches undone and read again, by why (rebalance, refused, uncertain).",
            ["why"],
            registry=registry,
        )
        self.restoring = Gauge(
            "metarec_partitions_restoring",
            "Partitions whose state is being restored.",
            registry=registry,
        )
        self.restored_users = Counter(
            "metarec_restored_users", "Rows of users read from the changelog.", registry=registry
        )
        self.restore_seconds = Histogram(
            "metarec_restore_seconds",
            "From a partition's assignment until it flows again.",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        for why in ABORTS:
            self.aborts.labels(why)
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        for reason in Reason:
            self.rejected_profiles.labels(reason.value)
        for model in MODELS:
            self.prequential_hits.labels(model)
            self.prequential_reciprocal_rank.labels(model)


class LearnerMetrics:
    """What `metarec learn` exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tasks = Counter("metarec_learner_tasks", "Task events received.", registry=registry)
        self.refused_blocks = Counter(
            "metarec_learner_blocks_refused",
            "Task blocks that could not be read.",
            registry=registry,
        )
        self.buffered = Gauge(
            "metarec_learner_tasks_buffered", "Task events kept for replay.", registry=registry
        )
        self.lag = Gauge(
            "metarec_learner_lag_records", "Task records behind the end.", registry=registry
        )
        self.loss = Gauge(
            "metarec_outer_loop_loss", "Loss of the newest block before it is learned.",
            registry=registry,
        )  # fmt: skip
        self.recent_loss = Gauge(
            "metarec_outer_loop_recent_loss",
            "Mean of the live version's loss over ADWIN's window (Bifet & Gavalda 2007).",
            registry=registry,
        )
        self.drifts = Counter(
            "metarec_drifts", "Changes that ADWIN found in the live version's loss.",
            registry=registry,
        )  # fmt: skip
        self.step_seconds = Histogram(
            "metarec_outer_loop_seconds",
            "Seconds of an outer step.",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.gate_decisions = Counter(
            "metarec_gate_decisions",
            "Decisions of the gate (published, held, refused, withdrawn).",
            ["decision"],
            registry=registry,
        )
        self.gate_margin = Gauge(
            "metarec_gate_margin",
            "By how much the candidate's mean loss is below the live version's, held-out.",
            registry=registry,
        )
        self.published_version = Gauge(
            "metarec_published_version", "Newest meta version published.", registry=registry
        )
        self.publish_seconds = Histogram(
            "metarec_publish_seconds",
            "Seconds to publish a meta version.",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.checkpoint_written = Gauge(
            "metarec_learner_checkpoint_timestamp_seconds",
            "When the learner's newest checkpoint was written.",
            registry=registry,
        )
        for decision in ("published", "held", "refused", "withdrawn"):
            self.gate_decisions.labels(decision)
