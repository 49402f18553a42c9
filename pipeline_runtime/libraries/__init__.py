"""Users' Python files in pipelines: loaded, opened, called, closed."""
