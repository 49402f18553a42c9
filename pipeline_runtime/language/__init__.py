"""The expressions of transform, filter, switch and window."""
