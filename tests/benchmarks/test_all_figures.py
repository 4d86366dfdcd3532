"""Every group of figures with small inputs: `make bench` times them, a plain run sees them work."""

from pathlib import Path
from typing import Any

import pytest

from silk_sfm.benchmarking.figures import Measured, Scope
from silk_sfm.benchmarking.groups import GROUPS, measure_groups

WITHOUT_PHOTOS = [group for group in GROUPS if group != "pipeline"]


@pytest.mark.slow
@pytest.mark.parametrize("group", WITHOUT_PHOTOS)
def test_group(benchmark: Any, group: str, tmp_path: Path) -> None:
    scope = Scope(tmp_path, quick=True)

    def work() -> list[Measured]:
        return list(measure_groups([group], scope))

    rows = benchmark.pedantic(work, rounds=1)
    assert rows
    for row in rows:
        assert min(row.ours) > 0, row.figure.name
        assert not row.baseline or min(row.baseline) > 0, row.figure.name
        benchmark.extra_info[row.figure.name] = {
            "unit": row.figure.unit,
            "ours": row.ours,
            "baseline": row.baseline,
            "ratio": row.ratio,
        }
    assert list(tmp_path.iterdir()) == []  # nothing is left over
