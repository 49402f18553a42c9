"""Moving edges to what deployments stand for, a few at a time."""
