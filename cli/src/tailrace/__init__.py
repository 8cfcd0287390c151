"""The tailrace command and its embedded runtime."""
