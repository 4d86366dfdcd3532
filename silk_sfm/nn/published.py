"""Weights that have a name: one set in the package, others fetched from their authors on demand.

A family of networks has a `Catalogue`: the names of its weights, and whence they come under which
licence.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from silk_sfm.errors import WeightsError
from silk_sfm.files import whole_file

log = logging.getLogger(__name__)

DEFAULT_WEIGHTS = "silk"

BUNDLED_LICENCE = "Apache-2.0, in the package"

BUNDLED = {
    DEFAULT_WEIGHTS: "silk-pvgg-4.safetensors",
    "silk-micro": "silk-pvgg-micro.safetensors",
}
"""Our own weights, Apache-2.0; a file of the same name that ends in .md describes each."""

AUTHORS_URL = "https://dl.fbaipublicfiles.com/silk/assets/models/silk/"
AUTHORS_LICENCE = "GPL-3.0 (published with the repository facebookresearch/silk)"
TIMEOUT_S = 60.0

RESTRICTED = "NON-COMMERCIAL"
"""In the licence of weights that are not free to use."""


@dataclass(frozen=True)
class Download:
    """A weights file on the network.

    name: the name of the weights
    url: where the authors offer them
    licence: of the weights; says so when they are not free to use
    suffix: of the file in the cache
    digest: `sha256:...` of the file, or `git:...`, its id in a git repository; empty when unknown
    member: the name of the file in the tar archive that `url` gives; empty when it is no archive
    """

    name: str
    url: str
    licence: str
    suffix: str = ".ckpt"
    digest: str = ""
    member: str = ""

    @property
    def is_restricted(self) -> bool:
        """Does the licence forbid common uses?"""
        return RESTRICTED in self.licence

    @property
    def file_name(self) -> str:
        """What it is called in the cache."""
        return f"{self.name}{self.suffix}"


@dataclass(frozen=True)
class Catalogue:
    """The weights of one family of networks that have a name.

    files: which files its networks read, for messages
    bundled: file names in the package
    published: what is fetched when it is first asked for
    """

    files: str
    bundled: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Download] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the bundled ones first."""
        return (*self.bundled, *self.published)


def offer(*catalogues: Catalogue) -> str:
    """The names of all their weights with the licences, in one line."""
    names: dict[str, list[str]] = {}
    for catalogue in catalogues:
        for name in catalogue.bundled:
            names.setdefault(BUNDLED_LICENCE, []).append(name)
        for wanted in catalogue.published.values():
            names.setdefault(wanted.licence, []).append(wanted.name)
    return "; ".join(f"{', '.join(group)}: {licence}" for licence, group in names.items())


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

SILK_CATALOGUE = Catalogue(".safetensors or .ckpt", BUNDLED, PUBLISHED)


def cache_folder() -> Path:
    """$SILK_SFM_CACHE, else $XDG_CACHE_HOME/silk-sfm, else ~/.cache/silk-sfm."""
    if own := os.environ.get("SILK_SFM_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "silk-sfm"


def find_weights(
    source: str | Path,
    announce: Callable[[str], None] | None = None,
    catalogue: Catalogue = SILK_CATALOGUE,
) -> Path:
    """The file of a weights name or path; fetches the authors' weights when they are not there.

    A name wins over a file of that name (write `./silk` for the file). `announce` is given the
    licence before anything is fetched. Raises WeightsError when there is no such file.
    """
    name = str(source)
    if name in catalogue.bundled:
        return Path(__file__).parents[1] / "data" / catalogue.bundled[name]
    if name in catalogue.published:
        return fetch(catalogue.published[name], cache_folder(), announce)
    path = Path(source)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        names = f", or one of the names {', '.join(catalogue.names)}" if catalogue.names else ""
        raise WeightsError(f"No weights {name}: {found}. Give a {catalogue.files} file{names}.")
    return path


def fetch(wanted: Download, folder: Path, announce: Callable[[str], None] | None = None) -> Path:
    """The path of `wanted` in `folder`; downloaded, whole or not at all, unless it is there.

    The licence is announced first: to the log, unless told otherwise, and as an error when the
    weights are not free to use, so that a quiet command shows it, too.
    """
    path = folder / wanted.file_name
    if path.is_file():
        return path
    say = announce or (log.error if wanted.is_restricted else log.warning)
    say(f"Fetching the weights {wanted.name} from {wanted.url}; licence: {wanted.licence}.")
    try:
        with (
            urllib.request.urlopen(wanted.url, timeout=TIMEOUT_S) as response,
            whole_file(path) as part,
            part.open("wb") as file,
        ):
            _receive(response, file)
            file.flush()
            _check_digest(part, wanted.digest)
            if wanted.member:
                _keep_member(part, wanted.member)
    except (OSError, HTTPException, tarfile.TarError, _WrongFileError) as error:
        raise WeightsError(
            f"Cannot fetch the weights {wanted.name} ({_reason(error)}). "
            f"Download {wanted.url} on another machine and {_how_to_save(wanted)} {path}."
        ) from error
    return path


class _WrongFileError(Exception):
    """The server sent something else than it announced, or than is known of the file."""


def _how_to_save(wanted: Download) -> str:
    return f"save its file {wanted.member} as" if wanted.member else "save it as"


def _check_digest(path: Path, digest: str) -> None:
    kind, _, expected = digest.partition(":")
    if not kind:
        return
    content = path.read_bytes()
    as_git = hashlib.sha1(b"blob %d\0" % len(content) + content)  # the id of a file in git
    found = (as_git if kind == "git" else hashlib.sha256(content)).hexdigest()
    if found != expected:
        raise _WrongFileError(f"received another file, {kind} {found} instead of {expected}")


def _keep_member(archive: Path, member: str) -> None:
    """Put the file named `member`, in whichever folder of a tar archive, in the archive's place."""
    with tarfile.open(archive) as opened:
        found = [entry for entry in opened if entry.isfile() and Path(entry.name).name == member]
        stream = opened.extractfile(found[0]) if found else None
        if stream is None:
            raise _WrongFileError(f"no file {member} in the archive")
        content = stream.read()
    archive.write_bytes(content)


def _receive(response: HTTPResponse, file: BinaryIO) -> None:
    shutil.copyfileobj(response, file)
    announced, received = response.headers.get("Content-Length"), file.tell()
    if announced is None or int(announced) != received:
        raise _WrongFileError(f"received {received} of {announced or 'unknown'} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error)
