"""The ONNX Runtime engine and the graphs that it runs."""
