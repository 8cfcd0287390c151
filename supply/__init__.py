"""What is shipped, and under which licences: ``python -m supply licences``, ``sbom FOLDER`` and ``audit``."""
