"""SiLK and its matcher as graphs that run without silk-sfm: torch.export, ONNX, TorchScript."""
