"""Payloads as values and values as payloads."""
