"""Checks a pipeline's document whole and makes a plan of it."""
