"""What users ask for: topics of their requests, and rewrites of requests that fail."""
