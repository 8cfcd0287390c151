"""Tailrace generator service."""
