"""Tailrace writer service."""
