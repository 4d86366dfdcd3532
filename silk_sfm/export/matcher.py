"""Double-softmax matching as one graph, on the whole similarity matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from silk_sfm.errors import ConfigError


@dataclass(frozen=True)
class MatcherGraphOptions:
    """What is fixed in a graph; defaults as in the matcher `double-softmax`."""

    temperature: float = 0.1
    """Divides the similarity before the softmax."""
    threshold: float = 0.3
    """Keep a match when its probability is above this, in [0, 1)."""
    descriptor_scale: float = 1.41
    """Length given to the unit descriptors."""

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.descriptor_scale > 0 and 0 <= self.threshold < 1):
            raise ConfigError(
                "temperature and descriptor_scale must be above 0, threshold in [0, 1), got "
                f"{self.temperature}, {self.descriptor_scale} and {self.threshold}."
            )


class MatcherGraph(nn.Module):
    """The matcher `double-softmax`; N and M are free, but at least 1."""

    def __init__(self, options: MatcherGraphOptions) -> None:
        super().__init__()
        self.options = options
        self.factor = options.descriptor_scale**2 / options.temperature

    def forward(self, descriptors_a: Tensor, descriptors_b: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) and (M, D) float32 unit descriptors -> what hloc stores of a pair.

        Returns (N,) int64 index in image b, -1 without a match, and (N,) float32 probabilities.
        A row of zeros matches nothing: give those of `ExtractorGraph` with score 0 as zeros, or
        leave them out.
        """
        similarity = self.factor * descriptors_a @ descriptors_b.T  # (N, M)
        probability = similarity.softmax(dim=1) * similarity.softmax(dim=0)
        values, columns = probability.max(dim=1)
        best_rows = probability.argmax(dim=0)
        rows = torch.arange(similarity.shape[0], device=similarity.device)
        found = (best_rows[columns] == rows) & (values > self.options.threshold)
        return torch.where(found, columns, -1), torch.where(found, values, 0.0)
