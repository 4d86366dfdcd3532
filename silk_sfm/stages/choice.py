"""A plug-in with its options: what a recipe names and a store remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from silk_sfm import plugins
from silk_sfm.errors import PluginError
from silk_sfm.extractors.composed import JOINT, compose
from silk_sfm.nn.devices import resolve_device


@dataclass(frozen=True)
class Chosen:
    """A plug-in and its options."""

    name: str
    options: Any

    def make(self, kind: plugins.Kind, device: str) -> Any:
        """The plug-in itself, ready to be called on `device` (`auto`, `cpu`, `cuda`, ...)."""
        made = load_plugin(kind, self.name)(self.options, resolve_device(device))
        if kind == "extractors" and not isinstance(made, plugins.Extractor):
            raise PluginError(
                f"Extractor `{self.name}` lacks one of `descriptor_size`, `weights_digest` (empty "
                "when there are no weights), `channels`, `about`."
            )
        return made


def choose(kind: plugins.Kind, name: str) -> Chosen:
    """A plug-in with its default options. Raises PluginError when there is none of this name."""
    return Chosen(name, load_plugin(kind, name).Options())


def load_plugin(kind: plugins.Kind, name: str) -> type[Any]:
    """The class of a plug-in; an extractor may be made of two, `detector+descriptor`."""
    if kind == "extractors" and JOINT in name:
        return compose(name)
    return plugins.load(kind, name)
