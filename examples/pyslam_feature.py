"""SiLK as pySLAM, and OpenCV's Feature2D, want a feature: sub-pixel KeyPoints and an array."""

import cv2
import numpy as np

from silk_sfm import Silk


class SilkFeature2D:
    def __init__(self, num_features: int = 2000, device: str = "cpu") -> None:
        self.silk = Silk(Silk.Options(top_k=num_features), device)
        self.keypoints, self.descriptors = [], np.zeros((0, 128), np.float32)

    def detectAndCompute(self, frame: np.ndarray, mask: np.ndarray | None = None) -> tuple:  # noqa: N802
        """(H, W) grey or (H, W, 3) BGR uint8 -> list of cv2.KeyPoint, (N, D) float32."""
        grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        found = self.silk(np.float32(grey) / 255)
        if mask is not None:  # 0 = drop
            column, row = np.rint(found.keypoints).astype(int).T
            found = found.select(mask[row, column] > 0)
        self.keypoints = [
            cv2.KeyPoint(float(x), float(y), size=19, angle=-1, response=float(score))
            for (x, y), score in zip(found.keypoints, found.scores, strict=True)
        ]
        self.descriptors = found.descriptors
        return self.keypoints, self.descriptors

    def detect(self, frame: np.ndarray, mask: np.ndarray | None = None) -> list:
        return self.detectAndCompute(frame, mask)[0]

    def compute(self, frame: np.ndarray, keypoints: list, mask: np.ndarray | None = None) -> tuple:
        """Descriptors of the keypoints that `detect` has found in the same frame."""
        return keypoints, self.descriptors
