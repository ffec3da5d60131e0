"""How providers are reached: proxies, certificates to trust, and our own."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EgressConfig(BaseModel):
    """How a provider is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proxy: str | None = Field(
        default=None,
        pattern=r"^http://[^/@\s?#]+$",
        description="`http://host:port` of a proxy that connects (CONNECT) and reads nothing",
    )
    proxy_credentials_file: Path | None = Field(
        default=None, description="file with `user:password` for the proxy"
    )
    ca_file: Path | None = Field(
        default=None, description="PEM: certificates to trust, in place of the machine's"
    )
    client_certificate_file: Path | None = Field(
        default=None, description="PEM: our own certificate, for servers that ask who calls"
    )
    client_key_file: Path | None = Field(
        default=None, description="PEM: its key, unless it is in the same file"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise ValueError("client_key_file needs client_certificate_file")
        if self.proxy_credentials_file is not None and self.proxy is None:
            raise ValueError("proxy_credentials_file needs proxy")
        return self
