"""`silk-sfm evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, OutputOptions, parse
from silk_sfm.cli.main import DONE
from silk_sfm.cli.printing import tracker
from silk_sfm.evaluation.plots import check_plots, write_plots
from silk_sfm.evaluation.protocol import PROTOCOLS, load_protocol
from silk_sfm.evaluation.published import PUBLISHED
from silk_sfm.evaluation.tables import Results
from silk_sfm.stages.evaluate import (
    Evaluation,
    EvaluationOptions,
    note_data,
    read_methods,
    refuse_other_data,
)

Options = TypeVar("Options")
TAKE_ANY_WORD = ("--out", "--methods", "--pair-file", "--model", "--dataset")
"""Options whose value may be called like a protocol."""
Name = Literal["hpatches", "homography", "pose", "registration", "sfm", "imc2022", "phototourism"]


@dataclass(frozen=True)
class NoOptions:
    """Of a protocol that is not named yet."""


@dataclass(frozen=True)
class Evaluate(Generic[Options]):
    """Measure methods on a data set with known geometry.

    Prints a table and writes CSV, JSON, Markdown and plots. A method is a recipe: features and
    matches are exported once to OUT/METHOD, as ordinary stores that a rerun reuses, and then
    scored. Name a protocol to see its own options: `silk-sfm evaluate hpatches --help`.
    """

    protocol: Annotated[Positional[Name], arg(metavar="PROTOCOL")]
    """What is measured, on which layout of data. hpatches: sequences with homographies, in SiLK's,
    KP2D's, R2D2's or Descriptor Space's way; homography: pairs with a homography (EVD); pose: pairs
    with intrinsics and relative pose (ScanNet, YFCC, MegaDepth lists); registration: RGB-D pairs;
    sfm: reconstructions against true poses; imc2022: Image Matching Challenge; phototourism: files
    for the Image Matching Benchmark."""
    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """Folder of the data set."""
    out: Path
    """Folder for predictions and results."""
    run: Annotated[OutputOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    evaluation: Annotated[EvaluationOptions, arg(name="")]
    protocol_options: Annotated[Options, arg(name="")]
    methods: str = "silk,sift"
    """Recipes that come with silk-sfm or TOML files, separated by commas."""
    plots: bool = True
    """Draw PNG pictures of the results (needs matplotlib: the extra `viz`)."""


def named_protocol(argv: list[str]) -> str | None:
    """The protocol among the words, which decides what else may be said; the value of an option
    may be called like one (`--out pose`).
    """
    words = zip(["", *argv], argv, strict=False)
    return next(
        (word for before, word in words if word in PROTOCOLS and before not in TAKE_ANY_WORD), None
    )


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    named = named_protocol(argv)
    protocol_class = load_protocol(named) if named else None
    options: Any = protocol_class.Options if protocol_class else NoOptions
    missing = tyro.MISSING
    default = Evaluate[Any](
        missing, missing, missing, OutputOptions(), DeviceOptions(), EvaluationOptions(), options()
    )
    command = parse(Evaluate[options], "evaluate", argv, default)
    if command.plots:
        check_plots()
    methods = read_methods(command.methods.split(","))
    refuse_other_data(command.out, command.data)
    protocol = load_protocol(command.protocol)(command.data, command.out, command.protocol_options)
    note_data(command.out, command.data)
    evaluation = Evaluation(
        protocol,
        methods,
        command.out,
        command.evaluation,
        command.where.device,
        command.run.overwrite,
        tracker(command.run),
    )
    rows = evaluation.run()
    results = Results(protocol.title, rows, PUBLISHED.get(protocol.published, ()))
    written = [*results.write(command.out), *evaluation.exported]
    if command.plots:
        written += write_plots(protocol.title, rows, command.out)
    if not command.run.quiet:
        for where, report in evaluation.reports:
            print(f"{where}: {report}")
        print(f"\n{results.text()}\n\n{' '.join(map(str, written))}")
    return DONE
