"""The weights that have a name: one set in the package, the authors' ones fetched on demand."""

from __future__ import annotations

import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from silk_sfm.errors import WeightsError
from silk_sfm.files import whole_file

log = logging.getLogger(__name__)

DEFAULT_WEIGHTS = "silk"
"""Our own weights, Apache-2.0; `silk_sfm/data/silk-pvgg-4.md` describes them."""

BUNDLED = {DEFAULT_WEIGHTS: "silk-pvgg-4.safetensors"}

AUTHORS_URL = "https://dl.fbaipublicfiles.com/silk/assets/models/silk/"
AUTHORS_LICENCE = "GPL-3.0 (published with the repository facebookresearch/silk)"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Download:
    """A weights file on the network."""

    name: str
    url: str
    licence: str

    @property
    def file_name(self) -> str:
        """What it is called in the cache."""
        return f"{self.name}.ckpt"


PUBLISHED = {
    name: Download(name, AUTHORS_URL + file, AUTHORS_LICENCE)
    for name, file in {
        "pvgg-4": "analysis/alpha/pvgg-4.ckpt",
        "pvgg-1": "analysis/alpha/pvgg-1.ckpt",
        "pvgg-micro": "analysis/alpha/pvgg-micro.ckpt",
        "coco-rgb-aug": "coco-rgb-aug.ckpt",
    }.items()
}
"""The authors' checkpoints, by the names of the paper's experiments."""

WEIGHTS_NAMES = (*BUNDLED, *PUBLISHED)


def cache_folder() -> Path:
    """$SILK_SFM_CACHE, else $XDG_CACHE_HOME/silk-sfm, else ~/.cache/silk-sfm."""
    if own := os.environ.get("SILK_SFM_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "silk-sfm"


def find_weights(source: str | Path, announce: Callable[[str], None] = log.warning) -> Path:
    """The file of a weights name or path; fetches the authors' weights when they are not there.

    A name wins over a file of that name (write `./silk` for the file). `announce` is given the
    licence before anything is fetched. Raises WeightsError when there is no such file.
    """
    name = str(source)
    if name in BUNDLED:
        return Path(__file__).parents[1] / "data" / BUNDLED[name]
    if name in PUBLISHED:
        return fetch(PUBLISHED[name], cache_folder(), announce)
    path = Path(source)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise WeightsError(
            f"No weights {name}: {found}. Give a .safetensors or .ckpt file, "
            f"or one of the names {', '.join(WEIGHTS_NAMES)}."
        )
    return path


def fetch(wanted: Download, folder: Path, announce: Callable[[str], None] = log.warning) -> Path:
    """The path of `wanted` in `folder`; downloaded, whole or not at all, unless it is there."""
    path = folder / wanted.file_name
    if path.is_file():
        return path
    announce(f"Fetching the weights {wanted.name} from {wanted.url}; licence: {wanted.licence}.")
    try:
        with (
            urllib.request.urlopen(wanted.url, timeout=TIMEOUT_S) as response,
            whole_file(path) as part,
            part.open("wb") as file,
        ):
            _receive(response, file)
    except (OSError, HTTPException, _IncompleteError) as error:
        raise WeightsError(
            f"Cannot fetch the weights {wanted.name} ({_reason(error)}). "
            f"Download {wanted.url} on another machine and save it as {path}."
        ) from error
    return path


class _IncompleteError(Exception):
    """The server sent less or more than it announced."""


def _receive(response: HTTPResponse, file: BinaryIO) -> None:
    shutil.copyfileobj(response, file)
    announced, received = response.headers.get("Content-Length"), file.tell()
    if announced is None or int(announced) != received:
        raise _IncompleteError(f"received {received} of {announced or 'unknown'} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error)
