"""What tests share: databases with minimal roles, installations of the services, ways to wait and to compare."""
