"""Models and pipelines as the manifest wants them, each pipeline in a worker process of its own."""
