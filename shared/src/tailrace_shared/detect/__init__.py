"""Detection of personal data by the names and types of columns: pure, in several languages, before any row is read."""

from tailrace_shared.detect.columns import detect
from tailrace_shared.detect.entities import LABELS, Confidence, Entity, Finding
from tailrace_shared.detect.names import concepts_of, role_of

__all__ = ["LABELS", "Confidence", "Entity", "Finding", "concepts_of", "detect", "role_of"]
