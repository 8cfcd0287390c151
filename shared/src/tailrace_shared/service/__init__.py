"""What makes a service: one shell for all four, so that who knows one knows all."""
