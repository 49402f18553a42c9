"""What reaches beyond the pipeline: web services, and rows on their way to a collection."""
