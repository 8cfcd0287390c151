"""Contracts, planning and data plane that the Tailrace services share. It knows no service."""

__version__ = "0.1.0"
