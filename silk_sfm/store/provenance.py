"""How the data of a store was made: written with it, compared before anything is added."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from silk_sfm.errors import StoreError

FORMAT_VERSION = 1
GENERATION = "generation"
"""Attribute of a store: how often it was started anew with --overwrite."""


@dataclass(frozen=True)
class Provenance:
    """What decides a store's content: two stores with equal digests may be mixed.

    plugin: name of the plug-in; options: its options as JSON-ready values
    inputs: digests of what else it depends on, by name (weights, the stores it read)
    """

    plugin: str
    options: dict[str, Any]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of SHA-256 over all fields."""
        text = json.dumps([self.plugin, self.options, self.inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def write(self, file: h5py.File) -> None:
        """Write the attributes of a file."""
        from silk_sfm import __version__

        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["program"] = f"silk-sfm {__version__}"
        file.attrs["plugin"] = self.plugin
        file.attrs["options"] = json.dumps(self.options, sort_keys=True)
        file.attrs["inputs"] = json.dumps(self.inputs, sort_keys=True)
        file.attrs["digest"] = self.digest

    @staticmethod
    def read(file: h5py.File, path: Path) -> Provenance | None:
        """The attributes of a file; None when another program made it.

        Raises StoreError when a newer silk-sfm made it.
        """
        version = file.attrs.get("format_version")
        if version is None or "plugin" not in file.attrs:
            return None
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{path} has format {version}, this silk-sfm reads up to {FORMAT_VERSION}. "
                "Update silk-sfm."
            )
        return Provenance(
            plugin=str(file.attrs["plugin"]),
            options=json.loads(file.attrs["options"]),
            inputs=json.loads(file.attrs["inputs"]),
        )

    def differences(self, other: Provenance) -> str:
        """One line: each setting that differs, with both values (self, then other)."""
        if self.plugin != other.plugin:
            return f"made by {self.plugin}, now {other.plugin}"
        mine, theirs = {**self.options, **self.inputs}, {**other.options, **other.inputs}
        changed = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return "; ".join(
            f"{key}: made with {_shown(mine.get(key))}, now {_shown(theirs.get(key))}"
            for key in changed
        )


def store_digest(file: h5py.File, path: Path) -> str:
    """Names the content of a store for the stores made from it.

    A store that was started anew has another digest than before; one of another program is known
    by its name alone.
    """
    made = Provenance.read(file, path)
    if made is None:
        return f"foreign: {path.name}"
    generation = int(file.attrs.get(GENERATION, 0))
    return f"{made.digest}.{generation}" if generation else made.digest


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
