"""Track keypoints through a video, or camera 0: python track_video.py VIDEO OUT.avi [MAX_FRAMES]"""

import sys
import time

import cv2
import numpy as np

from silk_sfm import DoubleSoftmax, Silk


def main(source: str, out: str, max_frames: int = sys.maxsize) -> None:
    video = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not video.isOpened():
        sys.exit(f"Cannot open {source}. Give a video file or the number of a camera.")
    silk, matcher = Silk(Silk.Options(top_k=1000)), DoubleSoftmax(DoubleSoftmax.Options())
    writer, before, tracks, n_frames, start = None, None, [], 0, time.perf_counter()
    while n_frames < max_frames and (read := video.read())[0]:
        frame = cv2.resize(read[1], None, fx=(s := min(1, 640 / max(read[1].shape))), fy=s)
        now = silk(np.float32(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)) / 255)
        moved = {} if before is None else dict(matcher(before, now).indices[:, ::-1].tolist())
        old = [tracks[moved[i]][-19:] if i in moved else [] for i in range(len(now))]
        tracks = [[*track, point] for track, point in zip(old, now.keypoints, strict=True)]
        for track in (track for track in tracks if len(track) > 1):
            line = np.int32(np.multiply(track, 16)).reshape(-1, 1, 2)  # 4 binary digits below 1 px
            cv2.polylines(frame, [line], False, (0, 255, 0), 1, cv2.LINE_AA, shift=4)
        n_frames, before = n_frames + 1, now
        rate = n_frames / (time.perf_counter() - start)
        count = f"frame {n_frames}: {len(moved)} of {len(now)} tracked, {rate:.1f} frames/s"
        cv2.putText(frame, count, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255))
        print(count, end="\r", file=sys.stderr)
        size = frame.shape[1::-1]
        writer = writer or cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"MJPG"), 15, size)
        writer.write(frame)
    print(f"{n_frames} frames -> {out}, {n_frames / (time.perf_counter() - start):.1f} frames/s")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))
