"""The files of a training: its state for a resume, and the best weights so far."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from silk_sfm.errors import TrainingError
from silk_sfm.files import whole_file
from silk_sfm.options import flattened
from silk_sfm.training.learner import Learner
from silk_sfm.training.processes import Process

FORMAT = "silk-sfm training 1"
LAST, WEIGHTS, BEST = "last.pt", "weights.safetensors", "best"


@dataclass(frozen=True)
class Ranked:
    """Weights with their score in validation."""

    score: float
    iteration: int

    @property
    def file_name(self) -> str:
        """Below the folder of the best."""
        return f"{self.iteration:07d}.safetensors"


@dataclass
class Progress:
    """How far a training is.

    iteration: how many are done
    best: checkpoints that are kept, the best first
    """

    iteration: int = 0
    best: list[Ranked] = field(default_factory=list)


class Checkpoints:
    """The files of a training, all but the logs.

    `last.pt` is the state, `best/` holds weights as `--weights` takes them, and
    `weights.safetensors` is a copy of the very best. Weights are written before a state that names
    them, and removed after one that does not: a run that is killed never misses any.
    """

    unsaved: bool = False
    """Is there a ranking that `last.pt` does not know?"""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        export: Callable[[nn.Module, Path, Ranked], None],
        score: str,
        keep: int,
        process: Process,
    ) -> None:
        """settings: what must be the same for a resume; score: name of the figure that ranks."""
        self.folder = folder
        self.last = folder / LAST
        self._settings = json.dumps(settings, sort_keys=True)
        self._export = export
        self._score = score
        self._keep = keep
        self._process = process
        self._copied: Ranked | None = None

    def path(self, ranked: Ranked) -> Path:
        """The file of ranked weights."""
        return self.folder / BEST / ranked.file_name

    def resume(self, learner: Learner) -> Progress:
        """Give the learner its last state, if there is one.

        Raises TrainingError when the folder belongs to other settings or the file is damaged.
        """
        if not self.last.exists():
            return Progress()
        state = self._read()
        if state["settings"] != self._settings:
            raise TrainingError(_difference(self.last, state["settings"], self._settings))
        learner.network.load_state_dict(state["network"])
        learner.optimizer.load_state_dict(state["optimizer"])
        progress: dict[str, Any] = state["progress"]
        best = [Ranked(**ranked) for ranked in progress.pop("best")]
        found = Progress(**progress, best=[one for one in best if self.path(one).exists()])
        self._settle(found)
        return found

    def save(self, learner: Learner, progress: Progress) -> None:
        """Write the state; whole, or the one before stays."""
        if not self._process.leads:
            return
        state = {
            "format": FORMAT,
            "settings": self._settings,
            "progress": asdict(progress),
            "network": learner.network.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
        }
        with whole_file(self.last) as part:
            torch.save(state, part)
        self._settle(progress)
        self.unsaved = False

    def rank(self, learner: Learner, progress: Progress, figures: Mapping[str, float]) -> None:
        """Keep the weights if they are among the best; `save` brings the folder up to date."""
        ranked = Ranked(figures[self._score], progress.iteration)
        by_score = sorted([*progress.best, ranked], key=lambda one: (-one.score, -one.iteration))
        progress.best = by_score[: self._keep]
        if ranked not in progress.best:
            return
        self.unsaved = True
        if self._process.leads:
            self._export(learner.network, self.path(ranked), ranked)

    def _settle(self, progress: Progress) -> None:
        """Bring the weights in the folder in line with the state that is there."""
        if not self._process.leads:
            return
        if progress.best and progress.best[0] != self._copied:
            with whole_file(self.folder / WEIGHTS) as part:
                shutil.copyfile(self.path(progress.best[0]), part)
            self._copied = progress.best[0]
        named = {ranked.file_name for ranked in progress.best}
        for path in (self.folder / BEST).glob("*.safetensors"):
            if path.stem.isdigit() and path.name not in named:
                path.unlink()

    def advice(self, progress: Progress) -> str:
        """What to do when training went wrong."""
        if not progress.best:
            return "There is no checkpoint yet. Lower the learning rate and start anew."
        return (
            f"The last good checkpoint is {self.path(progress.best[0])}. Lower the learning rate "
            "and start from it in another folder."
        )

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(self.last, map_location="cpu", weights_only=True)
        except Exception as error:
            raise TrainingError(
                f"{self.last} cannot be read ({type(error).__name__}). Remove it to start anew."
            ) from error
        if state.get("format") != FORMAT:
            raise TrainingError(f"{self.last} is no state of a training. Choose another folder.")
        return state


def _difference(path: Path, before: str, now: str) -> str:
    old, new = flattened(json.loads(before)), flattened(json.loads(now))
    changed = [
        f"{name} {old.get(name)} -> {value}"
        for name, value in new.items()
        if old.get(name) != value
    ]
    return (
        f"{path} was made with other settings ({'; '.join(changed)}). Give these again, another "
        "folder, or --overwrite."
    )
