"""Records messages, runs them through pipelines again, and compares what comes of them."""
