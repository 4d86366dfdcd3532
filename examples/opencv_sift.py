"""An extractor plug-in: silk-sfm extract PHOTOS F.h5 --extractor opencv_sift:Sift"""

from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm import About, LocalFeatures


@dataclass(frozen=True)
class SiftOptions:
    max_keypoints: int = 4000
    """Keep so many keypoints, those with the highest contrast."""


class Sift:
    about = About(summary="SIFT by OpenCV", licence="Apache-2.0", paper="Lowe, IJCV 2004")
    channels = "grey"
    descriptor_size = 128
    weights_digest = ""
    Options = SiftOptions

    def __init__(self, options: SiftOptions, device: str = "cpu") -> None:
        self.sift = cv2.SIFT_create(options.max_keypoints)

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        size = image.shape[1], image.shape[0]
        found, descriptors = self.sift.detectAndCompute(np.uint8(image * 255), None)
        if not found:
            return LocalFeatures.empty(self.descriptor_size, size)
        root = np.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True))  # RootSIFT
        keypoints = np.float32([keypoint.pt for keypoint in found])
        scores = np.float32([keypoint.response for keypoint in found])
        return LocalFeatures(keypoints, scores, root, size)
