"""What pipelines need as files that are whole: fetched, tried in a process of its own, and kept ready."""
