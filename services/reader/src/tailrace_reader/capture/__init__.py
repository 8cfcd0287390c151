"""Change capture: a logical replication slot's stream, decoded by column into change records."""
