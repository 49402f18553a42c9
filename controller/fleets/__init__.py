"""Applying fleet documents: checked whole, then made so."""
