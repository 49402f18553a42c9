"""ONNX models in pipelines: what goes in, what comes out, several messages in one call."""
