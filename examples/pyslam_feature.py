"""SiLK as pySLAM, and OpenCV's Feature2D, want a feature: sub-pixel KeyPoints and an array."""

import cv2
import numpy as np

from silk_sfm import Silk


class SilkFeature2D:
    def __init__(self, num_features: int = 2000, device: str = "cpu") -> None:
        self.silk = Silk(Silk.Options(top_k=num_features), device)

    def detectAndCompute(self, frame: np.ndarray, mask: np.ndarray | None = None) -> tuple:  # noqa: N802
        """(H, W) grey or (H, W, 3) BGR uint8 -> list of cv2.KeyPoint, (N, D) float32."""
        found = self.silk(grey(frame))
        if mask is not None:  # 0 = drop
            column, row = np.rint(found.keypoints).astype(int).T
            found = found.select(mask[row, column] > 0)
        keypoints = [
            cv2.KeyPoint(float(x), float(y), size=19, angle=-1, response=float(score))
            for (x, y), score in zip(found.keypoints, found.scores, strict=True)
        ]
        return keypoints, found.descriptors

    def detect(self, frame: np.ndarray, mask: np.ndarray | None = None) -> list:
        return self.detectAndCompute(frame, mask)[0]

    def compute(self, frame: np.ndarray, keypoints: list, mask: np.ndarray | None = None) -> tuple:
        """Descriptors at keypoints of any detector, between SiLK's cells: (N, D) float32."""
        xy = np.float32([point.pt for point in keypoints]).reshape(-1, 2)
        return keypoints, self.silk.describe(grey(frame), xy)


def grey(frame: np.ndarray) -> np.ndarray:
    plane = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return np.float32(plane) / 255
