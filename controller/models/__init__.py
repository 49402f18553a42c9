"""Versions of models: made of what runs leave and people bring, decided about, told of, and sent elsewhere."""
