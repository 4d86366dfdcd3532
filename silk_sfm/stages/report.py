"""What a stage tells: how much it did, what it skipped, what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
CLEAR_PEAK = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


class Track(Protocol):
    """Passes items on and shows how far it is; the command line gives one that draws a bar."""

    def __call__(self, items: Iterable[T], label: str, total: int) -> Iterable[T]:
        """`label` says what is counted, `total` how many items come."""


def silent(items: Iterable[T], label: str, total: int) -> Iterable[T]:
    """A Track that shows nothing."""
    return items


@dataclass(frozen=True)
class Skipped:
    """An input that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class StageReport:
    """What one stage did.

    done: items made now; reused: items that were there already
    found: keypoints, matches or inliers (`found_items`) in those made now
    skipped: inputs that could not be used
    """

    stage: str
    items: str
    done: int
    reused: int
    found: int
    found_items: str
    skipped: tuple[Skipped, ...] = ()

    @property
    def total(self) -> int:
        """Items in the output."""
        return self.done + self.reused

    def __str__(self) -> str:
        parts = [f"{self.stage}: {self.total} {self.items}"]
        if self.reused:
            parts.append(f"{self.reused} of them reused")
        if self.done:
            each = self.found / self.done
            parts.append(f"{self.found} {self.found_items} ({each:.0f} each)")
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return ", ".join(parts)


@dataclass
class Costs:
    """Seconds and peak memory of each stage, in the order in which they ran."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Measure what runs inside the block."""
        reset_peak()
        started = time.perf_counter()
        yield
        self.stages[stage] = {
            "seconds": round(time.perf_counter() - started, 2),
            "peak_memory_mb": round(peak_memory_mb()),
        }


def peak_memory_mb() -> float:
    """Largest resident memory of this process; on Linux since the last `measured` began.

    0 on Windows, where Python's own library does not tell.
    """
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak() -> None:
    """Let `peak_memory_mb` start anew from the present use; only Linux can."""
    with suppress(OSError):
        CLEAR_PEAK.write_text("5")
