"""The manifest: how it changes, and who may change it."""
