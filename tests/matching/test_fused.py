"""The fused double softmax: what can be seen without a GPU, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from silk_sfm.errors import ConfigError
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.matching.fused import LINE, SPAN, blocks_for, fused_double_softmax
from silk_sfm.options import result_options

PARITY = Path(__file__).with_name("fused_parity.py")
CHIP_BYTES = 99 * 1024
"""Shared memory of one program on the smallest GPUs since 2020 (compute capability 8.6)."""
TYPES = {
    "sides": "*i64",
    "partials": "*fp32",
    "partial_places": "*i32",
    "logs": "*fp32",
    "best": "*fp32",
    "places": "*i32",
    "scale": "fp32",
}


def run_parity(**environment: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, str(PARITY)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=PARITY.parents[2],
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_agrees_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="needs the package triton")
    summary = run_parity(TRITON_INTERPRET="1", OMP_NUM_THREADS="1").splitlines()[-1]
    assert "passed" in summary
    assert "skipped" not in summary


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_agrees_on_a_gpu() -> None:
    pytest.importorskip("triton", reason="needs the package triton")
    assert "passed" in run_parity().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("size", "numbers", "dtype"),
    [
        (32, "bf16", torch.bfloat16),
        (128, "bf16", torch.bfloat16),
        (256, "fp16", torch.float16),
        (512, "bf16", torch.bfloat16),
        (128, "fp32", torch.float32),
    ],
)
def test_compiles_and_fits_on_the_chip(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capability: int,
    size: int,
    numbers: str,
    dtype: torch.dtype,
) -> None:
    """Triton needs no GPU to compile: 16-bit numbers by tensor cores, and no register spilled."""
    pytest.importorskip("triton", reason="needs the package triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    blocks = blocks_for(size, dtype)
    cut = {"SIZE": size, "STEP": blocks.step, "ROWS": blocks.rows, "COLUMNS": blocks.columns}
    for name in ("exponential_sums", "best_entries"):
        made = compiled(name, capability, numbers, cut | {"SPAN": SPAN}, blocks.stages)
        assert made.metadata.shared <= CHIP_BYTES
        unit = "wgmma.mma_async" if capability == 90 else "mma.sync"
        assert (unit in made.asm["ptx"]) == (numbers != "fp32")
        assert "STACK:0 " in resources(made.asm["cubin"], tmp_path)
    for name in ("logs_of_sums", "first_best"):
        made = compiled(name, capability, numbers, {"LINE": LINE}, stages=3)
        assert "STACK:0 " in resources(made.asm["cubin"], tmp_path)


def compiled(
    name: str, capability: int, numbers: str, constants: dict[str, int], stages: int
) -> Any:
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from silk_sfm.matching import fused_kernels

    kernel = getattr(fused_kernels, name)
    types = TYPES | {"vectors": f"*{numbers}"}
    signature = {key: types.get(key, "constexpr") for key in kernel.arg_names}
    aligned = [["tt.divisibility", 16]]
    pointers = [i for i, key in enumerate(kernel.arg_names) if signature[key].startswith("*")]
    return compile_kernel(
        ASTSource(kernel, signature, constants, {(i,): aligned for i in pointers}),
        target=GPUTarget("cuda", capability, 32),
        options={"num_stages": stages, "enable_fp_fusion": True},
    )


def resources(binary: bytes, folder: Path) -> str:
    """What the assembler says of registers and stack; spilled registers are on the stack."""
    from triton import knobs

    (folder / "kernel.cubin").write_bytes(binary)
    command = [knobs.nvidia.cuobjdump.path, "-res-usage", folder / "kernel.cubin"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_devices_without_triton_kernels() -> None:
    pytest.importorskip("triton", reason="needs the package triton")
    message = "The kernel `triton` runs on CUDA devices, not on `cpu`. Use --kernel tiles."
    with pytest.raises(ConfigError) as made:
        DoubleSoftmax(DoubleSoftmaxOptions(kernel="triton"), "cpu")
    with pytest.raises(ConfigError) as called:
        fused_double_softmax([(torch.eye(2), torch.eye(2))], 1.0, 0.1)
    assert str(made.value) == str(called.value) == message


def test_triton_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "silk_sfm.matching.fused_kernels", raising=False)
    monkeypatch.delattr("silk_sfm.matching.fused_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ConfigError) as caught:
        DoubleSoftmax(DoubleSoftmaxOptions(kernel="triton"), "cuda")
    assert str(caught.value) == (
        "The kernel `triton` needs the package Triton, which is not installed: "
        "pip install 'silk-sfm[triton]', or use --kernel tiles."
    )


def test_unknown_kernel() -> None:
    with pytest.raises(ConfigError, match=r"kernel must be one of tiles, triton, got cublas\."):
        DoubleSoftmaxOptions(kernel="cublas")  # type: ignore[arg-type]


def test_stores_remember_the_kernel() -> None:
    """A match can differ where two candidates are nearly equal."""
    assert result_options(DoubleSoftmaxOptions())["kernel"] == "tiles"


def test_matching_in_tiles_does_not_import_triton() -> None:
    code = """if True:
        import sys
        from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
        DoubleSoftmax(DoubleSoftmaxOptions())
        sys.exit("triton" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
