"""Runs a task's scripts one after the other, inside its container or environment.

The agent copies this folder into each task's ``input/``, where it runs with whatever Python the image has: its modules
need Python 3.8 and the standard library, and import each other alone.
"""
