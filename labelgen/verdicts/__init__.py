"""Verdicts, outcome and quality, from content and witnesses: what the assistant did, and how its user reacted."""
