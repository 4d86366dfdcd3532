"""`silk-sfm export-onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import OutputOptions, parse
from silk_sfm.export.extractor import GraphOptions
from silk_sfm.export.matcher import MatcherGraphOptions
from silk_sfm.stages.export_onnx import export_onnx


@dataclass(frozen=True)
class ExportOnnx:
    """SiLK and its matcher as ONNX files, for images of any size.

    OUT/extractor.onnx: image (1, 1, H, W) float32 grey in 0..1 to keypoints (K, 2), scores (K,),
    descriptors (K, D), best first; rows with score 0 are no keypoint. OUT/matcher.onnx:
    descriptors_a (N, D), descriptors_b (M, D) to matches (N,), -1 for none, and probabilities (N,).
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    run: Annotated[OutputOptions, arg(name="")]
    extractor: Annotated[GraphOptions, arg(name="")]
    matcher: Annotated[MatcherGraphOptions, arg(name="")]
    weights: str = "silk"
    """As in `silk-sfm extract`: a name or a file."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = ExportOnnx(tyro.MISSING, OutputOptions(), GraphOptions(), MatcherGraphOptions())
    command = parse(ExportOnnx, "export-onnx", argv, default)
    graphs = command.extractor, command.matcher
    files = export_onnx(command.out, command.weights, *graphs, command.run.overwrite)
    if not command.run.quiet:
        sizes = " and ".join(f"{file.name} ({file.stat().st_size / 1e6:.1f} MB)" for file in files)
        print(f"export-onnx: {sizes} -> {command.out}")
    return 0
