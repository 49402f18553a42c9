"""The broker: an embedded one, its accounts, and how each party reaches it."""
