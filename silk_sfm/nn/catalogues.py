"""Where the weights of other methods come from, and under which licence; none is in the package."""

from __future__ import annotations

from silk_sfm.nn.published import Catalogue, Download

FILES = ".pth, .pt, .ckpt or .safetensors"

SUPERPOINT_COMMIT = "1411bbd68c50163555d39c1b26e9e046ebd48f27"

SUPERPOINT = Catalogue(
    FILES,
    published={
        "superpoint-v6": Download(
            "superpoint-v6",
            f"https://github.com/rpautrat/SuperPoint/raw/{SUPERPOINT_COMMIT}"
            "/weights/superpoint_v6_from_tf.pth",
            "MIT (rpautrat/SuperPoint, retrained)",
            ".pth",
            "git:f645e8db1b10a7be84d4e50d67a3c64dd240a49a",
        ),
        "superpoint-v1": Download(
            "superpoint-v1",
            "https://github.com/magicleap/SuperPointPretrainedNetwork/raw/master/superpoint_v1.pth",
            "Magic Leap, NON-COMMERCIAL research use only, no redistribution",
            ".pth",
            "sha256:52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e",
        ),
    },
)
"""The retrained weights are free to use; those of the paper's authors are not."""

R2D2 = Catalogue(
    FILES,
    published={
        "r2d2-wasf-n16": Download(
            "r2d2-wasf-n16",
            "https://github.com/naver/r2d2/raw/master/models/r2d2_WASF_N16.pt",
            "CC BY-NC-SA 3.0 (NAVER), NON-COMMERCIAL use only",
            ".pt",
            "sha256:9ae90e02a9a133d100ca7aeaa32f4d4d7736a6dd222a530a25c8f7da5e508528",
        )
    },
)

KP2D = Catalogue(
    FILES,
    published={
        f"kp2d-{version}": Download(
            f"kp2d-{version}",
            "https://tri-ml-public.s3.amazonaws.com/github/kp2d/models/pretrained_models.tar.gz",
            "MIT (published with TRI-ML/KP2D)",
            member=f"{version}.ckpt",
        )
        for version in ("v4", "v3", "v2", "v1", "v0")
    },
)

MSNET = Catalogue(FILES)
"""Its authors published no weights."""
