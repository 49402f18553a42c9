"""Runs one task's scripts on this machine: executors, environments, the task's folder and its outputs."""
