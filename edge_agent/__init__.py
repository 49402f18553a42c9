"""The daemon on an edge: manifest in, tasks and pipeline workers run, report out."""
