"""What a cluster can do and permits, asked without changing anything: for the preflight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka import errors as kafka
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import ApiVersionRequest, DescribeConfigsRequest

from tailrace_shared.kafka.admin import TOPIC_EXISTS, Admin, durability

REQUESTS: Final[Mapping[int, str]] = {
    10: "FindCoordinator",
    19: "CreateTopics",
    20: "DeleteTopics",
    21: "DeleteRecords",
    22: "InitProducerId",
    32: "DescribeConfigs",
}
"""Requests beyond plain reading and writing that a run makes, by API key: https://kafka.apache.org/protocol#protocol_api_keys"""

TopicSettings = Mapping[str, tuple[int, Mapping[str, str]]]
"""Name → (partitions, settings)."""


class Inspection(Admin):
    """An administration client that only looks. Raises as ``Admin`` does."""

    async def brokers(self) -> list[int]:
        """Ids of the live brokers."""
        found = await self._persist("describing the cluster", self._client.describe_cluster)
        return sorted(broker["node_id"] for broker in found["brokers"])

    async def missing_requests(self) -> list[str]:
        """Names of the requests that the brokers do not know."""
        response = await self._persist(
            "asking for API versions", lambda: self._client._send_request(ApiVersionRequest())
        )
        known = {entry[0] for entry in response.api_versions}
        return [name for key, name in REQUESTS.items() if key not in known]

    async def validate_topics(self, topics: TopicSettings) -> None:
        """Ask whether these topics could be made as ``create_topics`` would make them. Nothing is made.

        The brokers check right, names, settings, replication and their policy. Raises TerminalError where they refuse.
        """

        async def validate() -> None:
            replication, durable = durability(len((await self._client.describe_cluster())["brokers"]))
            wanted = [
                NewTopic(name, partitions, replication, topic_configs=durable | dict(given))
                for name, (partitions, given) in topics.items()
            ]
            response = await self._client.create_topics(wanted, validate_only=True)
            for _, code, *_ in response.topic_errors:
                if code and code != TOPIC_EXISTS:
                    raise kafka.for_code(code)()

        await self._persist(f"asking whether {', '.join(sorted(topics)[:3])} could be made", validate)

    async def broker_settings(self, broker: int) -> dict[str, str]:
        """The settings of a broker. Raises TerminalError (``kafka.forbidden``) without the right to see them."""
        return await self._settings_of(ConfigResourceType.BROKER, str(broker), broker)

    async def topic_settings(self, topic: str) -> dict[str, str]:
        """The settings of a topic."""
        return await self._settings_of(ConfigResourceType.TOPIC, topic, None)

    async def _settings_of(self, kind: ConfigResourceType, name: str, node: int | None) -> dict[str, str]:
        async def describe() -> dict[str, str]:
            resource = ConfigResource(kind, name)
            wanted = self._client._convert_describe_config_resource_request(resource)
            response = await self._client._send_request(DescribeConfigsRequest([wanted], False), node)
            found: dict[str, str] = {}
            for code, _, _, _, entries in response.resources:
                if code:
                    raise kafka.for_code(code)()
                found |= {entry[0]: entry[1] or "" for entry in entries}
            return found

        return await self._persist(f"reading the settings of {kind.name.lower()} {name}", describe)
