"""The node types that come with Tidemill, one per file."""
