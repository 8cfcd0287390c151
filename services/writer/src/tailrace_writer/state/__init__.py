"""A run's state in the destination: the tables, how facts change them, and what the leader decides from them."""
