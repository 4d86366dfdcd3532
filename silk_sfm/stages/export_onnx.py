"""The extractor and the matcher of SiLK to ONNX files."""

from __future__ import annotations

from pathlib import Path

from silk_sfm.errors import ConfigError
from silk_sfm.export.extractor import ExtractorGraph, GraphOptions
from silk_sfm.export.matcher import MatcherGraph, MatcherGraphOptions
from silk_sfm.export.programs import (
    EXTRACTOR_OUTPUTS,
    MATCHER_INPUTS,
    MATCHER_OUTPUTS,
    export_extractor,
    export_matcher,
    write_onnx,
)
from silk_sfm.nn.weights import load_silk

EXTRACTOR, MATCHER = "extractor.onnx", "matcher.onnx"


def export_onnx(
    out: Path,
    weights: str,
    extractor: GraphOptions,
    matcher: MatcherGraphOptions,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write OUT/extractor.onnx and OUT/matcher.onnx; returns their paths.

    Raises ConfigError when there is one already, WeightsError for weights that cannot be used,
    PluginError without the extra `onnx`.
    """
    for file in (out / EXTRACTOR, out / MATCHER):
        if file.exists() and not overwrite:
            raise ConfigError(f"There is a {file} already. Add --overwrite to replace it.")
    network = load_silk(weights)
    program = export_extractor(ExtractorGraph(network, extractor))
    write_onnx(program, out / EXTRACTOR, ("image",), EXTRACTOR_OUTPUTS)
    size = network.architecture.descriptor_size
    program = export_matcher(MatcherGraph(matcher), size)
    write_onnx(program, out / MATCHER, MATCHER_INPUTS, MATCHER_OUTPUTS)
    return out / EXTRACTOR, out / MATCHER
