import platform
import subprocess
import sys

import pytest

LIBC = """
import ctypes

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
"""
COUNT_FAULTS = """
import resource, sys, threading
from silk_sfm.nn.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def write_maps():
    if sys.argv[2] == "here":
        write()
        return
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()

def write():
    maps = [libc.malloc(20 * 2**20) for _ in range(10)]
    for each in maps:
        ctypes.memset(each, 1, 20 * 2**20)
    for each in reversed(maps):
        libc.free(each)

write_maps()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
write_maps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what it sets is glibc's")
@pytest.mark.parametrize("where", ["here", "in a thread"])
def test_memory_is_used_again(where: str) -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", LIBC + COUNT_FAULTS, mode, where],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for mode in ("keep", "default")
    }
    assert faults["keep"] < 200 and faults["keep"] * 10 < faults["default"]


RESIDENT_AROUND = """
from silk_sfm.nn.allocator import give_back_freed_memory, keep_freed_memory

def megabytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))

keep_freed_memory()
maps = [libc.malloc(20 * 2**20) for _ in range(10)]
for each in maps:
    ctypes.memset(each, 1, 20 * 2**20)
for each in maps:
    libc.free(each)
kept = megabytes()
give_back_freed_memory()
print(kept - megabytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what it calls is glibc's")
def test_memory_is_given_back() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", LIBC + RESIDENT_AROUND], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) > 150
