"""Weights of the networks that kornia implements: from their authors, checked, never run as code.

Repositories that hold a file under version control vouch for it: its id in git is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from silk_sfm.nn.catalogues import FILES
from silk_sfm.nn.published import Catalogue, Download
from silk_sfm.nn.state import file_digest, load_state, read_state

GITHUB = "https://github.com"
BEFORE_TORCH_0_4_1 = "num_batches_tracked"
"""Counters that older files lack and inference does not read."""

ALIKED_MODELS = {
    "aliked-t16": "97822f50c8458b5a92a678f6d9ad747c5c1989c7",
    "aliked-n16": "9449ca16f784aff7fa4c88ea0925b41f6411eef0",
    "aliked-n16rot": "5aad43f3a944dd9461ecc89e648f15f11dc0c9aa",
    "aliked-n32": "4a8323b10023acaed1195b4d9235224a363186cc",
}
"""Ids in git."""


def _catalogue(*downloads: Download) -> Catalogue:
    return Catalogue(FILES, published={wanted.name: wanted for wanted in downloads})


ALIKED = _catalogue(
    *(
        Download(
            name,
            f"{GITHUB}/Shiaoming/ALIKED/raw/main/models/{name}.pth",
            "BSD-3-Clause",
            ".pth",
            f"git:{git_id}",
        )
        for name, git_id in ALIKED_MODELS.items()
    )
)
DISK = _catalogue(
    Download(
        "disk-depth",
        f"{GITHUB}/cvlab-epfl/disk/raw/master/depth-save.pth",
        "Apache-2.0",
        ".pth",
        "git:0ae0911444297ea0fa5179ac7e9d0e8d7354d537",
    ),
    Download(
        "disk-epipolar",
        f"{GITHUB}/cvlab-epfl/disk/raw/master/epipolar-save.pth",
        "Apache-2.0",
        ".pth",
        "git:50e68668d376afdfa68c070171c0436318a652d1",
    ),
)
XFEAT = _catalogue(
    Download(
        "xfeat",
        f"{GITHUB}/verlab/accelerated_features/raw/main/weights/xfeat.pt",
        "Apache-2.0",
        ".pt",
        "git:9da942e9c7406b8add3746bf98d4b1840233cd92",
    )
)
_DEDODE_RELEASES = f"{GITHUB}/Parskatt/DeDoDe/releases/download"
_STEERERS_RELEASE = f"{GITHUB}/georg-bn/rotation-steerers/releases/download/release-2"
DEDODE_DETECTOR = _catalogue(
    *(
        Download(name, url, "MIT", ".pth")
        for name, url in {
            "dedode-L": f"{_DEDODE_RELEASES}/dedode_pretrained_models/dedode_detector_L.pth",
            "dedode-L-v2": f"{_DEDODE_RELEASES}/v2/dedode_detector_L_v2.pth",
            "dedode-L-C4": f"{_STEERERS_RELEASE}/dedode_detector_C4.pth",
            "dedode-L-SO2": f"{_STEERERS_RELEASE}/dedode_detector_SO2.pth",
        }.items()
    )
)
DEDODE_DESCRIPTOR = _catalogue(
    *(
        Download(name, url, "MIT", ".pth")
        for name, url in {
            "dedode-B": f"{_DEDODE_RELEASES}/dedode_pretrained_models/dedode_descriptor_B.pth",
            "dedode-B-C4": f"{_STEERERS_RELEASE}/B_C4_Perm_descriptor_setting_C.pth",
            "dedode-B-SO2": f"{_STEERERS_RELEASE}/B_SO2_Spread_descriptor_setting_C.pth",
        }.items()
    )
)
KEYNET = _catalogue(
    Download(
        "keynet",
        f"{GITHUB}/axelBarroso/Key.Net-Pytorch/raw/main/model/weights/keynet_pytorch.pth",
        "MIT",
        ".pth",
        "git:1098105dae6906a8d78b71c266d233cf2bd6fa17",
    )
)
ORINET = _catalogue(
    Download(
        "orinet",
        f"{GITHUB}/ducha-aiki/affnet/raw/master/pretrained/OriNet.pth",
        "MIT",
        ".pth",
        "git:2ab035ffdc55ca3803c9316ec05f397dbde69e9e",
    )
)
HARDNET = _catalogue(
    Download(
        "hardnet",
        f"{GITHUB}/DagnyT/hardnet/raw/master/pretrained/train_liberty_with_aug/"
        "checkpoint_liberty_with_aug.pth",
        "MIT",
        ".pth",
        "git:c1b2a5f4e79a5f3e50ec9a1ac98a428965cef37b",
    )
)


LIGHTGLUE = _catalogue(
    *(
        Download(
            f"lightglue-{name}",
            f"{GITHUB}/cvg/LightGlue/releases/download/v0.1_arxiv/{name}_lightglue.pth",
            licence,
            ".pth",
        )
        for name, licence in {
            "aliked": "Apache-2.0",
            "disk": "Apache-2.0",
            "sift": "Apache-2.0",
            "superpoint": "Apache-2.0 (made for SuperPoint v1, whose weights are NON-COMMERCIAL)",
        }.items()
    ),
    Download(
        "lightglue-xfeat",
        f"{GITHUB}/verlab/accelerated_features/raw/main/weights/xfeat-lighterglue.pt",
        "Apache-2.0",
        ".pt",
        "git:061e168b4d9db6b086172f247c8adcebb76d7ef8",
    ),
    *(
        Download(
            f"lightglue-{name}",
            f"https://huggingface.co/kornia/lightglue/resolve/main/{file}",
            "Apache-2.0 (kornia)",
            ".pth",
        )
        for name, file in {
            "dedodeb": "dedodeb_lightglue.pth",
            "keynet_affnet_hardnet": "keynet_affnet_hardnet_lightglue.pth",
        }.items()
    ),
)
"""Named after the features they match, in kornia's words."""


def load_library(
    network: nn.Module, path: Path, part: str = "state_dict", buffers: frozenset[str] = frozenset()
) -> None:
    """Load the tensors of a checkpoint into a network of kornia and put it into eval mode.

    part: the entry of the file that holds the tensors, where it has one
    buffers: tensors of the network that are no weights, which the file may lack
    Raises WeightsError, one line that names the file, when one is missing or of another shape;
    tensors that the network does not have are left.
    """
    load_tensors(network, read_state(path, part), path, buffers)


def load_tensors(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    buffers: frozenset[str] = frozenset(),
) -> None:
    """The same with the tensors read already."""
    own = network.state_dict()
    known = {
        name: tensors.get(name, own[name])
        for name in own
        if name in tensors or name in buffers or name.endswith(BEFORE_TORCH_0_4_1)
    }
    load_state(network, known, path, type(network).__name__)
    network.eval()


def joint_digest(*files: Path) -> str:
    """SHA-256 of the digests of several weights files, in hexadecimal."""
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()
