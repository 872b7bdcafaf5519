"""Garbage collection: which files nobody needs any more, and their end."""
