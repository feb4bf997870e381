"""The ONNX Runtime engine and the graph formats it supports."""
