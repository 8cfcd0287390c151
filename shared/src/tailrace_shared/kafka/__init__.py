"""Kafka, with the settings that were measured and the traps closed: clients, administration, errors."""

from tailrace_shared.kafka.admin import Admin
from tailrace_shared.kafka.clients import Kafka, forbid_topic_creation
from tailrace_shared.kafka.errors import map_error, translated
from tailrace_shared.kafka.settings import KafkaSettings

__all__ = ["Admin", "Kafka", "KafkaSettings", "forbid_topic_creation", "map_error", "translated"]
