"""The job: what a user asks for, as a validated YAML file."""
