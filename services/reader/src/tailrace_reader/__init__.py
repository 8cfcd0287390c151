"""Tailrace reader service."""
