"""Takes messages through a compiled pipeline."""
