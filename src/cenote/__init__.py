"""cenote: S3-compatible object storage in SQLite files."""

__version__ = "0.1.0.dev0"
