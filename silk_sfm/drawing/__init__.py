"""Pictures of keypoints, matches and models."""
