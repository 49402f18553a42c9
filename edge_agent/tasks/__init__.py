"""The life of tasks, from the manifest to the events that tell of their end."""
