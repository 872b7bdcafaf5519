"""The log: its files, how they are written, replayed and followed."""
