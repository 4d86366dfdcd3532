import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from silk_sfm.nn.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def write_maps():
    maps = [torch.ones(5 * 2**20) for _ in range(10)]  # 20 MiB each

for _ in range(5):
    write_maps()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    write_maps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what it sets is glibc's")
def test_memory_is_used_again() -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", COUNT_FAULTS, mode],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for mode in ("keep", "default")
    }
    assert faults["keep"] < 200 and faults["keep"] * 10 < faults["default"]
