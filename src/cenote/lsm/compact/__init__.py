"""Merging table files: which, by what rules, by whom, and what it leaves."""
