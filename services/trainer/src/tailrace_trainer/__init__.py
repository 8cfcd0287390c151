"""Tailrace trainer service."""
