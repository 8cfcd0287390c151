"""A container's health check: 0 while the service answers that it is ready. Standard library alone: it runs every few seconds."""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("TAILRACE_PORT", "8080")), timeout=4)
try:
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    print(answer.read(200).decode("utf-8", "replace"))
    sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    print(f"no answer: {error}")
    sys.exit(1)
