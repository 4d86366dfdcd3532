"""Graphs as programs with free sizes: torch.export, ONNX files, TorchScript."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from silk_sfm.errors import PluginError
from silk_sfm.export.extractor import ExtractorGraph
from silk_sfm.export.matcher import MatcherGraph
from silk_sfm.files import whole_file
from silk_sfm.nn.silk import SilkNetwork

EXTRACTOR_OUTPUTS = ("keypoints", "scores", "descriptors")
MATCHER_INPUTS = ("descriptors_a", "descriptors_b")
MATCHER_OUTPUTS = ("matches", "probabilities")
MORE = 5
"""Pixels of an image beyond the receptive field, so that maps have neighbours to compare."""
EXAMPLE_SIZE = 96, 128
"""(height, width) of the image that is traced; the program takes any other."""


def export_extractor(graph: ExtractorGraph) -> ExportedProgram:
    """A program (1, 1, H, W) -> keypoints, scores, descriptors; height and width are free."""
    least = graph.network.architecture.receptive_field + MORE
    sides = {2: Dim("height", min=least), 3: Dim("width", min=least)}
    return _exported(graph, (torch.rand(1, 1, *EXAMPLE_SIZE),), (sides,))


def export_matcher(graph: MatcherGraph, descriptor_size: int) -> ExportedProgram:
    """A program (N, D), (M, D) -> matches, probabilities; N and M are free."""
    examples = torch.rand(5, descriptor_size), torch.rand(7, descriptor_size)
    return _exported(graph, examples, ({0: Dim("n_a", min=1)}, {0: Dim("n_b", min=1)}))


def write_onnx(
    program: ExportedProgram, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    """Write an ONNX file, weights inside. Raises PluginError without the extra `onnx`."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise PluginError(f"ONNX needs {' and '.join(missing)}: pip install silk-sfm[onnx].")
    converted = torch.onnx.export(
        program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
    )
    if converted is None:
        raise PluginError(f"torch made no ONNX program for {path}.")
    with whole_file(path) as part:
        part.write_bytes(converted.model_proto.SerializeToString())


def script_network(network: SilkNetwork) -> torch.jit.ScriptModule:
    """TorchScript of (N, 1, H, W) -> logits (N, 1, h, w), raw descriptors (N, D, h, w).

    The dense maps alone: tracing cannot keep the sizes free in the choice of keypoints.
    """
    with torch.no_grad():
        traced = torch.jit.trace(network.eval(), torch.rand(1, 1, *EXAMPLE_SIZE))  # type: ignore[no-untyped-call]
    return cast("torch.jit.ScriptModule", traced)


def _exported(
    graph: nn.Module, examples: tuple[Tensor, ...], free: tuple[dict[int, Dim], ...]
) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(graph.eval(), examples, dynamic_shapes=free)
