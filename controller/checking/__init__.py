"""Models that nobody trusts yet, loaded and looked at in processes of their own."""
