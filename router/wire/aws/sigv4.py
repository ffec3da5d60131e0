"""AWS's signatures (version 4), by botocore's signer, which is loaded when it is first needed."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, NamedTuple

SERVICE: Final = "bedrock"
_CREDENTIALS: Final = re.compile(
    r"(?P<id>[A-Z0-9]{16,128}):(?P<secret>[A-Za-z0-9/+=]{16,})(?::(?P<token>[A-Za-z0-9/+=_-]+))?"
)
_REGION: Final = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
_CONTENT: Final = {"Content-Type": "application/json"}


class _Signer(NamedTuple):
    auth: Any
    request: Any
    credentials: Any


def is_pair(key: str) -> bool:
    """Whether a key is AWS credentials, and no API key: those have no colon."""
    return ":" in key


def unusable(key: str) -> str | None:
    """Why such credentials cannot sign; None: they can, and the signer is loaded."""
    if _CREDENTIALS.fullmatch(key) is None:
        return "AWS credentials are written `ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:TOKEN`"
    try:
        _signer()
    except ImportError:
        return "AWS credentials need botocore: pip install 'graftwork[bedrock]', or use an API key"
    return None


def sign(key: str, url: str, payload: bytes, region: str) -> dict[str, str]:
    """The headers that prove who sends ``payload`` to ``url``, for some minutes.

    Args:
        key: the credentials; see ``unusable``.
        url: as it is sent, encoded.
        payload: the body.
        region: AWS's, of the endpoint.
    """
    found = _CREDENTIALS.fullmatch(key)
    assert found is not None
    signer = _signer()
    request = signer.request("POST", url, headers=dict(_CONTENT), data=payload)
    credentials = signer.credentials(found["id"], found["secret"], found["token"])
    signer.auth(credentials, SERVICE, region).add_auth(request)
    return {name: value for name, value in request.headers.items() if name not in _CONTENT}


def region_in(url: str) -> str | None:
    """The region that the address of an endpoint names; None when it names none."""
    found = _REGION.search(url)
    return None if found is None else found[1]


@cache
def _signer() -> _Signer:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    return _Signer(SigV4Auth, AWSRequest, Credentials)
