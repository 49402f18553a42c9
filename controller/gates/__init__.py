"""Whether a new version is good enough to be used: measured here, on the same rows as its rival."""
