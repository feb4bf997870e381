"""For sherpa-onnx."""
