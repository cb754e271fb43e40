"""Formats circuits are exchanged in."""
