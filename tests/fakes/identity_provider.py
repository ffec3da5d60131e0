"""An identity provider: a key pair, its public half in a file, and tokens that it signs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://id.acme.example", "graftwork"


class IdentityProvider:
    """Signs with its newest key; older ones stay in the file until they are withdrawn."""

    def __init__(self, jwks_file: Path, algorithm: str = "EdDSA") -> None:
        self.jwks_file = jwks_file
        self._algorithm = algorithm
        self._public: list[dict[str, Any]] = []
        self.rotate()

    def rotate(self, *, withdraw: bool = False) -> None:
        """A new key; ``withdraw``: the others are gone from the file."""
        self.key = _new_key(self._algorithm)
        maker = jwt.get_algorithm_by_name(self._algorithm)
        public = json.loads(maker.to_jwk(self.key.public_key()))
        self.kid = f"k{time.monotonic_ns()}"
        kept = [] if withdraw else self._public
        self._public = [*kept, {**public, "kid": self.kid, "alg": self._algorithm, "use": "sig"}]
        self.jwks_file.write_text(json.dumps({"keys": self._public}))

    def token(self, **claims: Any) -> str:
        """Valid for a minute, but for what is said otherwise; None takes a claim away."""
        said = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60, **claims}
        present = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(present, self.key, self._algorithm, headers={"kid": self.kid})


def _new_key(algorithm: str) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
