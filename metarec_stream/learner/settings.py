"""Settings of the outer loop, and of what the consumers log for it. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from metarec_stream.section import Section


class LearnSettings(Section):
    """The outer loop: from logged tasks to meta versions."""

    sample: float = Field(1.0, ge=0.0, le=1.0)
    """Largest share of accepted events that is ranked before it is applied, logged as a task and
    counted in the prequential metrics."""
    sample_per_batch: int = Field(256, ge=0)
    """Most sampled events of a batch: under load the share falls, and is exported."""
    strongest: int = Field(96, ge=1, le=1_024)
    """Candidates of a task that the live version scores highest."""
    random: int = Field(32, ge=1, le=1_024)
    """Candidates of a task that are drawn at random from the rest, with logQ correction."""
    block: int = Field(256, ge=8, le=65_536)
    """Events of an outer step."""
    steps: int = Field(2, ge=1, le=64)
    """Outer steps on a fresh block, while the learner keeps up."""
    waiting: int = Field(8, ge=1, le=65_536)
    """Records of the tasks topic; while more of them wait, a fresh block gets one outer step."""
    replay: float = Field(1.0, ge=0.0, le=16.0)
    """Events replayed from the buffer beside a fresh block, as a multiple of it."""
    buffer: int = Field(20_000, ge=256)
    """Events kept for replay: the newest half and a reservoir of all older ones."""
    replay_balance: float = Field(0.0, ge=0.0, le=1.0)
    """Evens out whose items are replayed: an event is drawn with a chance in proportion to
    n^-balance, n being how many events of its item are in the buffer; 0 draws all alike."""
    popularity_weight: float = Field(0.0, ge=0.0, le=1.0)
    """Evens out what items weigh: an event's weight is multiplied by count^-popularity_weight, the
    decayed count of its item as of the event, in relation to its block and at most tenfold."""
    user_share: float = Field(1.0, gt=0.0, le=1.0)
    """Largest share of a block's weight that one user's events have, in learning and in the gate;
    with fewer users than that allows for, all weigh the same. 1 sets no limit."""
    on_drift: Literal["react", "note"] = "react"
    """What a drift upwards of the prequential loss leads to: `react` to it for `learn.drift_blocks`
    blocks, or only `note` it (metric and log)."""
    drift_blocks: int = Field(64, ge=1, le=1_024)
    """Blocks after a drift that are learned by `learn.drift_steps`, and what comes of them is
    published at the next decision."""
    drift_steps: int | None = Field(None, ge=1, le=256)
    """Outer steps on each of them; absent: twice `learn.steps`."""
    drift_prefix_events: int = Field(96, ge=1, le=65_536)
    """In these blocks, what takes the place of `learn.prefix_events`: fresh events alone."""
    drift_half_life: float = Field(8.0, gt=0.0)
    """Places back in a window after which, in these blocks, predicting an item from the older ones
    counts half: what was wanted before the change tells little of what is wanted after it."""
    prefix_events: int = Field(32, ge=0, le=65_536)
    """Events of an outer step, fresh and replayed alike, of whose windows every item is predicted
    from the older ones; 0 leaves taste as it was at the beginning."""
    shared_candidates: int = Field(4_096, ge=2, le=1_048_576)
    """Items that compete in these predictions: all of the step's, at most so many beside those that
    are predicted."""
    dropout: float = Field(0.35, ge=0.0, lt=1.0)
    """Share of the values and queries that is left out in these predictions, at random."""
    table_rate: float = Field(1e-2, gt=0, le=1.0)
    """Step size of the item tables (row-wise Adagrad)."""
    value_rate: float = Field(5e-2, gt=0, le=1.0)
    """Step size of the value vectors, which these predictions learn; that of priors is six times
    as large."""
    weights_rate: float = Field(1e-3, gt=0, le=1.0)
    """Step size of start and gain (Adam); that of mixing is a tenth of it, that of decays 15 times
    and that of time scales 5 times as large."""
    features_rate: float = Field(1e-2, gt=0, le=1.0)
    """Step size of the feature weights and of taste's (Adam)."""
    feature_step_rate: float = Field(5e-3, gt=0, le=1.0)
    """Step size of what says how far and how long an event moves a user's own feature weights
    (Adam)."""
    rerank_rate: float = Field(1e-3, gt=0, le=1.0)
    """Step size of the re-ranker (Adam)."""
    average_steps: int = Field(500, ge=1, le=1_000_000)
    """Outer steps that an average of the weights spans at most. Published is the average or the
    newest weights, whichever had less loss on events before they were learned; 1 averages
    nothing."""
    l2: float = Field(0.0, ge=0, le=1.0)
    """Weight of the squared norm of the parameters in use."""
    proximal: float = Field(0.0, ge=0, le=1e3)
    """Weight of the squared distance of the small parameters to the parent version's."""
    clip: float = Field(10.0, gt=0)
    """Largest norm of the gradient of the small parameters."""
    publish_every_s: float = Field(2.0, ge=0)
    """Time between two decisions whether to publish; a drift that is reacted to is answered at once
    and then four times as often."""
    threads: int = Field(1, ge=1, le=256)
    """Cores that an outer step on the CPU uses; the rest are left to consumers and brokers."""
    keep_versions: int = Field(8, ge=2, le=1_000)
    """Published versions that the meta topic keeps; older ones are forgotten by compaction."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the outer loop runs; `auto`: the GPU if there is one for each process."""
    precision: Literal["32", "bf16"] = "32"
    """Of matrix products in the outer loop; parameters, losses and optimizers are always 32-bit."""
    checkpoint: str | None = None
    """Folder of the learner's checkpoints, one subfolder an application; absent:
    `~/.local/state/metarec-stream/checkpoints`, or the same under `$XDG_STATE_HOME`."""
    checkpoint_every_s: float = Field(10.0, ge=0)
    """Shortest time between two checkpoints, which take a twentieth of the time at most; 0 writes
    none, and a start goes on from the newest published version."""
    runs: str | None = None
    """Folder of TensorBoard's curves, one subfolder an application; absent:
    `~/.local/state/metarec-stream/runs`, or the same under `$XDG_STATE_HOME`."""
    wandb: Literal["off", "offline", "online"] = "off"
    """Whether the curves also go to Weights & Biases: to a folder under `learn.runs`, or there."""
    wandb_project: str = Field("metarec-stream", min_length=1)
    """The project there."""


class GateSettings(Section):
    """When what was learned is published."""

    window: int = Field(2_048, ge=64)
    """Newest held-out events on which the candidate is compared with its anchor, which is what it
    was so many events ago; each is scored by both before the candidate learns from it."""
    minimum: int = Field(256, ge=16)
    """Fewest events for a test."""
    confidence: float = Field(2.0, ge=0.0, le=10.0)
    """Standard errors by which the candidate's mean loss must be below the anchor's. So much above
    it, twice, and what was learned since the anchor is withdrawn."""

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if self.minimum > self.window:
            raise ValueError("minimum must be at most window, or nothing is ever published")
        return self
