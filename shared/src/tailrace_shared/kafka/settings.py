"""Where the brokers are and how to prove who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace_shared.errors import UsageError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSettings(BaseSettings):
    """Read from ``TAILRACE_KAFKA_…``; the brokers also from ``TAILRACE_KAFKA``."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_KAFKA_", extra="ignore", populate_by_name=True, frozen=True)

    brokers: str = Field(
        default="localhost:9092",
        validation_alias=AliasChoices("TAILRACE_KAFKA", "TAILRACE_KAFKA_BROKERS"),
        pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$",
        description="host:port, several separated by commas",
    )
    """``host:port``, several separated by commas."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: Path | None = None
    """Read instead of ``sasl_password``: how containers receive secrets."""
    ca_file: Path | None = None
    """PEM of the authority that signed the brokers' certificates; the system's authorities otherwise."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """For one request to a broker."""
    heartbeat_s: float = Field(default=0.5, gt=0)
    """Of group members: how soon they notice a rebalance. At 3 s every joining replica stalls the stage for 3 s."""
    session_s: float = Field(default=6.0, gt=0)
    """Silence after which a dead member's partitions move on. Brokers refuse less than 6 s unless told otherwise."""

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            has_password = self.sasl_password_file is not None or self.sasl_password.get_secret_value()
            if not (self.sasl_username and has_password):
                raise ValueError(
                    f"security_protocol {self.security_protocol} needs sasl_username and sasl_password "
                    "(TAILRACE_KAFKA_SASL_USERNAME, TAILRACE_KAFKA_SASL_PASSWORD or …_PASSWORD_FILE)"
                )
        if self.heartbeat_s * 3 > self.session_s:
            raise ValueError(
                "session_s must be at least three times heartbeat_s, or one lost heartbeat evicts a member"
            )
        return self

    @property
    def bootstrap(self) -> list[str]:
        """The brokers, one by one."""
        return self.brokers.split(",")

    @property
    def security(self) -> str:
        """The security settings in words, without the password: clients do not tell why they could not connect."""
        if not self.security_protocol.startswith("SASL"):
            return self.security_protocol
        return f"{self.security_protocol}, {self.sasl_mechanism}, user {self.sasl_username}"

    def password(self) -> str:
        """The SASL password. Raises UsageError when its file cannot be read."""
        if self.sasl_password_file is None:
            return self.sasl_password.get_secret_value()
        try:
            return self.sasl_password_file.read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            raise _unreadable("kafka.password-file", "TAILRACE_KAFKA_SASL_PASSWORD_FILE", error) from None

    def ssl_context(self) -> ssl.SSLContext | None:
        """For the two protocols with TLS, else None. Raises UsageError when the CA file is no PEM file."""
        if "SSL" not in self.security_protocol:
            return None
        try:
            return ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        except OSError as error:  # ssl.SSLError is one
            raise _unreadable("kafka.ca-file", "TAILRACE_KAFKA_CA_FILE", error) from None

    def client_options(self, context: ssl.SSLContext | None) -> dict[str, Any]:
        """What every aiokafka client is given."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout_s * 1000),
        }
        if context is not None:
            options["ssl_context"] = context
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.password(),
            }
        return options


def _unreadable(code: str, variable: str, error: OSError) -> UsageError:
    reason = error.strerror or type(error).__name__
    return UsageError(code, f"the file that {variable} names cannot be used: {reason}", f"Correct {variable}.")
