"""A Docker engine for tests, stand-ins for images that no registry gives here, and the compose stack as a test sees it."""
