"""Package data: ONNX graphs, weights and model cards; installed as `gtcrn_frontend.models`."""
