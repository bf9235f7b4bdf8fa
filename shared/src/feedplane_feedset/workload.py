"""How a FeedSet runs: its spool, its pods and how they are replaced."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from .base import Count, Spec
from .units import Duration, Size

_DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_LABEL_KEY_PATTERN = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
CPU_PATTERN = r"^([1-9][0-9]{0,4}m|[1-9][0-9]{0,2}|[0-9]{1,3}\.[0-9]{1,3})$"

SubdomainName = Annotated[str, Field(pattern=_DNS_SUBDOMAIN_PATTERN, max_length=253)]
LabelKey = Annotated[str, Field(pattern=_LABEL_KEY_PATTERN, max_length=317)]
LabelValue = Annotated[str, Field(pattern=_LABEL_VALUE_PATTERN, max_length=63)]
Cpu = Annotated[str, Field(pattern=CPU_PATTERN, max_length=8)]
MemoryBytes = Annotated[int, Size("32Mi", "256Gi")]


def cpu_millis(text: str) -> int:
    """Thousandths of a processor: `250m` is 250, `1.5` is 1500."""
    if text.endswith("m"):
        return int(text[:-1])
    whole, _, fraction = text.partition(".")
    return int(whole) * 1_000 + int(fraction.ljust(3, "0"))


class SpoolMedium(StrEnum):
    """What the journal's volume is made of."""

    EMPTY_DIR = "EmptyDir"
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"


class ReclaimPolicy(StrEnum):
    """What becomes of a claim that is not wanted any more."""

    RETAIN = "Retain"
    DELETE = "Delete"


class OnFull(StrEnum):
    """What gives way when the journal's budget is spent."""

    SHED_BY_PRIORITY = "ShedByPriority"
    STOP_CAPTURE = "StopCapture"


class Spool(Spec):
    """The journal between capture and the stores, one per collector."""

    medium: SpoolMedium = Field(
        default=SpoolMedium.EMPTY_DIR,
        description="EmptyDir lives as long as the pod; PersistentVolumeClaim survives it. Cannot be changed later.",
    )
    storage_class_name: SubdomainName | None = Field(
        default=None, description="Storage class of the claim; required with medium PersistentVolumeClaim."
    )
    size_bytes: Annotated[int, Size("64Mi", "4Ti")] = Field(
        default=4 << 30, description="Disk budget of one collector's journal."
    )
    retention_ns: Annotated[int, Duration("1m", "30d")] = Field(
        default=86_400_000_000_000,
        description="How long a segment stays after every writer has stored it, within the budget.",
    )
    reclaim_policy: ReclaimPolicy = Field(
        default=ReclaimPolicy.RETAIN,
        description="What becomes of a claim when its collector or the FeedSet goes. Retain: it stays, and a FeedSet of "
        "the same name takes up what was not stored; Delete: it goes too.",
    )
    on_full: OnFull = Field(
        default=OnFull.SHED_BY_PRIORITY,
        description="ShedByPriority drops the least valuable feeds first, StopCapture stops all; both record the gap.",
    )

    @model_validator(mode="after")
    def _claim_has_a_class(self) -> Self:
        if self.medium is SpoolMedium.PERSISTENT_VOLUME_CLAIM and self.storage_class_name is None:
            raise PydanticCustomError(
                "storage_class", "medium PersistentVolumeClaim needs storageClassName", {"key": "storageClassName"}
            )
        return self


class ResourceRequests(Spec):
    """What the scheduler sets aside."""

    cpu: Cpu = Field(default="250m", description="Processor share, as in 250m or 2.")
    memory_bytes: MemoryBytes = Field(default=256 << 20, description="Memory.")


class ResourceLimits(Spec):
    """What the container may not exceed."""

    cpu: Cpu | None = Field(
        default=None, description="Processor share. Absent: no limit, since throttling shows up as latency."
    )
    memory_bytes: MemoryBytes = Field(default=512 << 20, description="Memory; beyond it the container is ended.")


class Resources(Spec):
    """Resources of one container: a collector's, unless a subclass sets other defaults."""

    requests: ResourceRequests = Field(default_factory=ResourceRequests, description="What the scheduler sets aside.")
    limits: ResourceLimits = Field(default_factory=ResourceLimits, description="What the container may not exceed.")

    @model_validator(mode="after")
    def _requests_fit_limits(self) -> Self:
        if self.requests.memory_bytes > self.limits.memory_bytes:
            raise PydanticCustomError(
                "resources", "requests.memory is more than limits.memory", {"key": "requests.memory"}
            )
        if self.limits.cpu is not None and cpu_millis(self.requests.cpu) > cpu_millis(self.limits.cpu):
            raise PydanticCustomError("resources", "requests.cpu is more than limits.cpu", {"key": "requests.cpu"})
        return self


class WriterRequests(ResourceRequests):
    """What the scheduler sets aside for a writer."""

    cpu: Cpu = Field(default="50m", description="Processor share, as in 250m or 2.")
    memory_bytes: MemoryBytes = Field(default=96 << 20, description="Memory.")


class WriterResources(Resources):
    """Resources of one writer container, which runs beside each collector."""

    requests: WriterRequests = Field(default_factory=WriterRequests, description="What the scheduler sets aside.")


class RolloutStrategy(StrEnum):
    """How a collector's pod is replaced."""

    MAKE_BEFORE_BREAK = "MakeBeforeBreak"
    RECREATE = "Recreate"


class Rollout(Spec):
    """How pods are replaced when the FeedSet changes."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.MAKE_BEFORE_BREAK,
        description="MakeBeforeBreak ends the old pod when the new one overlaps with it; "
        "Recreate ends it first and leaves a gap.",
    )
    min_ready_seconds: Annotated[Count, Field(ge=0, le=600)] = Field(
        default=15, description="Overlap of the old and the new pod."
    )
    drain_seconds: Annotated[Count, Field(ge=1, le=3_600)] = Field(
        default=90, description="Time a writer gets to empty the journal of an ending pod."
    )
    progress_deadline_seconds: Annotated[Count, Field(ge=60, le=7_200)] = Field(
        default=600, description="A rollout that makes no progress for this long is reported as failed."
    )
    hold_when_sink_unhealthy: StrictBool = Field(
        default=True, description="Do not end pods while a sink takes no data: their journal may be the only copy."
    )

    @model_validator(mode="after")
    def _deadline_outlasts_overlap(self) -> Self:
        if self.progress_deadline_seconds <= self.min_ready_seconds:
            raise PydanticCustomError(
                "deadline",
                "progressDeadlineSeconds must be more than minReadySeconds",
                {"key": "progressDeadlineSeconds"},
            )
        return self


class PodTemplate(Spec):
    """Where pods may run."""

    priority_class_name: SubdomainName | None = Field(default=None, description="PriorityClass of the pods.")
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict, description="Labels a node must carry."
    )
