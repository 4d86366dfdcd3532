"""The machine and the libraries that did the work."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from silk_sfm import __version__

CPU_INFO = Path("/proc/cpuinfo")
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""The flags of /proc/cpuinfo that decide how fast networks and matrix products are."""
LIBRARIES = ("torch", "numpy", "h5py", "opencv-python-headless", "pycolmap")


def describe_machine() -> dict[str, str]:
    """What to print above the figures, by label."""
    described = {
        "cpu": _cpu_model(),
        "cores": f"{os.cpu_count()} ({torch.get_num_threads()} threads in torch)",
        "instructions": " ".join(instruction_sets()) or "unknown",
        "memory": _memory(),
        "gpu": _gpus(),
        "system": platform.platform(terse=True),
    }
    return {label: value for label, value in described.items() if value}


def library_versions() -> dict[str, str]:
    """Versions of Python, of silk-sfm and of the libraries that do the work."""
    versions = {"silk-sfm": __version__, "python": platform.python_version()}
    return versions | {name: _version(name) for name in LIBRARIES}


def _version(library: str) -> str:
    if library == "torch":
        return torch.__version__
    if library == "opencv-python-headless":  # another build of OpenCV serves as well
        import cv2

        return str(cv2.__version__)
    try:
        return version(library)
    except PackageNotFoundError:  # the same library from a package of another name
        return "unknown"


def _cpu_model() -> str:
    return _cpu_field("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Those of `INSTRUCTION_SETS` that this CPU has; empty where that cannot be known."""
    flags = (_cpu_field("flags") or _cpu_field("Features")).split()
    return [name for name in INSTRUCTION_SETS if name in flags]


def _cpu_field(label: str) -> str:
    """The first value of a label in /proc/cpuinfo; empty where there is none."""
    if not CPU_INFO.exists():
        return ""
    for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return ""


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return ""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{total / 2**30:.0f} GiB"


def _gpus() -> str:
    if not torch.cuda.is_available():
        return "none"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
