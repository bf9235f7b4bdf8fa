"""The FeedSet: the one file that says what is collected, from where, into which stores.

The same model is what `feedplane up` reads and what the CRD and the reference page are generated from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from .base import Count, DnsLabel, Spec
from .exchanges import MAX_SHARDS, ExchangeEntry
from .sinks import SinkName, Sinks, default_sinks
from .workload import PodTemplate, Rollout, RolloutStrategy, Spool, SpoolMedium

API_GROUP = "feedplane.io"
API_VERSION = "v1alpha1"
KIND = "FeedSet"
MAX_EXCHANGES = 32


class Metadata(Spec):
    """Name and labels. The API server adds keys of its own, so unknown ones pass and are not kept."""

    model_config = ConfigDict(extra="ignore")

    name: DnsLabel = Field(description="Name of the FeedSet; leads the name of everything it creates.")
    namespace: str | None = Field(default=None, description="Kubernetes namespace.")
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Labels, passed on to objects that it creates; not to pods, which another label would replace.",
    )
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")


class FeedSetSpec(Spec):
    """What is wanted."""

    exchanges: Annotated[tuple[ExchangeEntry, ...], Field(min_length=1, max_length=MAX_EXCHANGES)] = Field(
        description="What is collected, one entry per exchange and way of collecting."
    )
    spool: Spool = Field(default_factory=Spool, description="The journal between capture and the stores.")
    sinks: Sinks = Field(
        default_factory=default_sinks,
        description="Stores. Absent: redis and clickhouse, on one machine as embedded engines.",
        json_schema_extra={"default": {"redis": {}, "clickhouse": {}}},
    )
    paused: StrictBool = Field(
        default=False, description="Leave everything as it is: no change is applied until this is false."
    )
    replicas: Annotated[Count, Field(ge=1, le=2)] = Field(
        default=1, description="Live copies of each collector; with 2 the loss of a node leaves no gap."
    )
    rollout: Rollout = Field(default_factory=Rollout, description="How pods are replaced when the FeedSet changes.")
    template: PodTemplate = Field(default_factory=PodTemplate, description="Where pods may run.")

    @model_validator(mode="after")
    def _claims_need_slots(self) -> Self:
        """A claim that is ReadWriteOnce cannot be mounted by the old and the new pod at once."""
        overlaps = self.rollout.strategy is RolloutStrategy.MAKE_BEFORE_BREAK
        if overlaps and self.spool.medium is SpoolMedium.PERSISTENT_VOLUME_CLAIM and self.replicas != 2:
            raise PydanticCustomError(
                "rollout_strategy",
                "MakeBeforeBreak on a PersistentVolumeClaim needs replicas: 2; otherwise choose Recreate",
                {"key": "rollout.strategy", "suggestion": RolloutStrategy.RECREATE.value},
            )
        return self

    @model_validator(mode="after")
    def _copies_have_bounds(self) -> Self:
        for index, entry in enumerate(self.exchanges):
            if entry.shards * self.replicas > MAX_SHARDS:
                raise PydanticCustomError(
                    "copies",
                    "shards times replicas may be at most {most}",
                    {
                        "most": MAX_SHARDS,
                        "key": f"exchanges.{index}.shards",
                        "suggestion": str(MAX_SHARDS // self.replicas),
                    },
                )
        return self

    def sinks_of(self, entry: ExchangeEntry) -> tuple[SinkName, ...]:
        """Sinks of one entry, in the order of `SinkName`."""
        return tuple(name for name in self.sinks.named if not entry.sinks or name in entry.sinks)


class FeedSet(Spec):
    """A set of market-data feeds, kept collected and stored.

    Made by `validate.parse_feedset`, which also checks what one field alone cannot show: names, sinks, overlaps, what
    each exchange offers.
    """

    api_version: Literal["feedplane.io/v1alpha1"] = Field(description="Version of this schema.")
    kind: Literal["FeedSet"] = Field(description="Kind of this object.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: FeedSetSpec = Field(description="What is wanted.")

    def as_dict(self) -> dict[str, Any]:
        """The whole FeedSet as it would be written, defaults filled in, absent options left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
