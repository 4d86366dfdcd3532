"""`silk-sfm train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, OutputOptions, option_of, parse
from silk_sfm.cli.main import DONE
from silk_sfm.cli.printing import conclude, tracker
from silk_sfm.stages.train import TrainingJob, train_network
from silk_sfm.training.albums import Source
from silk_sfm.training.checkpoints import WEIGHTS
from silk_sfm.training.logs import Display
from silk_sfm.training.methods import read_training
from silk_sfm.training.recipe import DEFAULT_TRAINING, Training


@dataclass(frozen=True)
class TrainingRunOptions(OutputOptions):
    """How a training runs."""

    config: str = DEFAULT_TRAINING
    """Recipe with the defaults of all options: a TOML file, or train_kp2d, train_msnet,
    train_r2d2, train_silk, train_silk_paper. It decides the method."""


@dataclass(frozen=True)
class Train:
    """Train SiLK, KP2D, R2D2 or MSNet on your photos, or go on with a training.

    FOLDER holds weights.safetensors, the best weights so far (`silk-sfm extract --weights` takes
    them), the best checkpoints, the state for a resume, log.jsonl and what TensorBoard shows.
    Several GPUs: `torchrun --nproc-per-node 4 -m silk_sfm train ...`.
    """

    photos: Annotated[Positional[str], arg(metavar="PHOTOS")]
    """Folder of photos, subfolders too, or a text file that lists photos."""
    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder to write."""
    run: Annotated[TrainingRunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    training: Annotated[Training, arg(name="")]
    also: tuple[str, ...] = ()
    """More folders or lists. `PATH=2` is drawn from twice as often as PHOTOS, whatever the number
    of photos."""
    validation: str = ""
    """Folder or list to validate with, instead of a share of the photos."""
    display: Display = "files"
    """Where figures and pictures are shown besides log.jsonl and pictures/."""
    licence: str = "not stated"
    """Of the weights, as their file will say."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    training = read_training(option_of(argv, "config") or DEFAULT_TRAINING)
    default = Train(tyro.MISSING, tyro.MISSING, TrainingRunOptions(), DeviceOptions(), training)
    command = parse(Train, "train", argv, default)
    job = TrainingJob(
        tuple(Source.parse(text) for text in (command.photos, *command.also)),
        command.folder,
        command.training,
        Source.parse(command.validation) if command.validation else None,
        command.where.device,
        command.licence,
        command.display,
    )
    report = train_network(job, command.run.overwrite, tracker(command.run))
    if not report.leads:
        return DONE
    return conclude(report, command.run, command.folder / WEIGHTS)
