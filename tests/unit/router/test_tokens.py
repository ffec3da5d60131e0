"""Tokens in place of keys: only what the issuer signed, for us, and while it holds."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from router.admit.keys import Keyring, KeysFile, hash_key, load_keys
from router.admit.tokens import AccessTokens
from router.config.auth import ApiKey, AuthConfig, KeyScope, TokenIssuer
from router.errors import Unauthenticated
from tests.fakes.identity_provider import AUDIENCE, ISSUER, IdentityProvider


def issuer(provider: IdentityProvider, **more: Any) -> TokenIssuer:
    """As configured."""
    return TokenIssuer(
        name="acme", issuer=ISSUER, audience=AUDIENCE, jwks_file=provider.jwks_file, **more
    )


@pytest.fixture
def provider(tmp_path: Path) -> IdentityProvider:
    """One that signs with Ed25519."""
    return IdentityProvider(tmp_path / "jwks.json")


def refused(tokens: AccessTokens, token: str) -> str:
    """The error's code."""
    with pytest.raises(Unauthenticated) as caught:
        tokens.identify(token)
    assert token not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_signed_token_says_who_it_is(tmp_path: Path, algorithm: str) -> None:
    """Tenant, program, person, scopes and what rules may read come from its claims."""
    provider = IdentityProvider(tmp_path / "jwks.json", algorithm)
    config = issuer(
        provider,
        tenant_claim="org",
        client_claim="azp",
        subject_claim="sub",
        scopes={"inference", "reviewer"},
        scope_claim="scope",
        claims=("department", "groups", "missing"),
    )
    token = provider.token(
        org="retail",
        azp="desk",
        sub="ann@acme.example",
        scope="inference admin",
        department="returns",
        groups=["a", "b"],
        salary=3,
    )
    caller = Keyring([], AccessTokens([config])).identify(f"Bearer {token}", None)
    assert (caller.name, caller.tenant, caller.subject) == (
        "acme/desk",
        "retail",
        "ann@acme.example",
    )
    assert caller.scopes == {KeyScope.INFERENCE}, "no more than the configuration grants"
    assert caller.claims == {"department": "returns", "groups": ["a", "b"]}
    assert not caller.is_local


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": time.time() - 3600}, "token_expired"),
        ({"exp": None}, "invalid_token"),
        ({"aud": "somebody else"}, "invalid_token"),
        ({"aud": None}, "invalid_token"),
        ({"iss": "https://evil.example"}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"nbf": time.time() + 3600}, "invalid_token"),
    ],
)
def test_what_does_not_hold_is_refused(
    provider: IdentityProvider, claims: dict[str, Any], code: str
) -> None:
    """Past, for others, by others."""
    assert refused(AccessTokens([issuer(provider)]), provider.token(**claims)) == code


def test_no_trick_with_the_algorithm_works(provider: IdentityProvider) -> None:
    """Unsigned, and signed with the public key as if it were a shared secret."""
    tokens = AccessTokens([issuer(provider)])
    said = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60}
    assert refused(tokens, jwt.encode(said, "", "none", headers={"kid": provider.kid}))
    public = provider.key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    forged = jwt.encode(said, public.ljust(32), "HS256", headers={"kid": provider.kid})
    assert refused(tokens, forged) == "invalid_token"
    head, body, seal = provider.token().split(".")
    other = base64.urlsafe_b64encode(json.dumps({**said, "org": "x"}).encode()).decode().strip("=")
    assert refused(tokens, f"{head}.{other}.{seal}") == "invalid_token"
    assert refused(tokens, f"{head}.{body}.") == "invalid_token"


@pytest.mark.parametrize("junk", ["ey..", "eyJ.a.b", "ey" + "A" * 20_000 + "..", "eyé.ü.x"])
def test_junk_is_refused(provider: IdentityProvider, junk: str) -> None:
    """Whatever it is."""
    assert refused(AccessTokens([issuer(provider)]), junk) == "invalid_token"


def test_keys_of_a_provider_change_while_we_run(provider: IdentityProvider) -> None:
    """A withdrawn key's tokens end with the next look, remembered ones as well."""
    ring = Keyring([], AccessTokens([issuer(provider)]))
    watch = KeysFile(AuthConfig(), ring)
    assert watch.is_there
    first = f"Bearer {provider.token()}"
    assert ring.identify(first, None).name == "acme"
    provider.rotate()
    second = f"Bearer {provider.token()}"
    watch.look()
    assert ring.identify(first, None).name == ring.identify(second, None).name == "acme"
    provider.rotate(withdraw=True)
    watch.look()
    for old in (first, second):
        with pytest.raises(Unauthenticated):
            ring.identify(old, None)


def test_a_broken_key_set_changes_nothing(provider: IdentityProvider) -> None:
    """It is named, and what was read last counts."""
    tokens = AccessTokens([issuer(provider)])
    token = provider.token()
    for text in ("{", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}'):
        provider.jwks_file.write_text(text)
        with pytest.raises(ValueError, match="jwks"):
            tokens.look()
        assert tokens.identify(token).name == "acme"
        assert tokens.identify(provider.token(sub=text)).name == "acme", "one never seen before"
        with pytest.raises(ValueError, match="jwks"):
            AccessTokens([issuer(provider)])


def test_a_broken_key_set_keeps_nobody_elses_keys_alive(
    provider: IdentityProvider, tmp_path: Path
) -> None:
    """A key that is taken away, and another issuer's that was replaced, are gone all the same."""
    file, other = tmp_path / "keys.yaml", IdentityProvider(tmp_path / "other.json")
    file.write_text(yaml.safe_dump([{"name": "old", "sha256": hash_key("old")}]))
    second = TokenIssuer(
        name="second", issuer="https://second", audience=AUDIENCE, jwks_file=other.jwks_file
    )
    config = AuthConfig(keys_file=file, tokens=(issuer(provider), second))
    ring = Keyring(load_keys(config), AccessTokens(config.tokens))
    watch = KeysFile(config, ring)
    stale = other.token(iss="https://second")
    assert ring.identify("Bearer old", None).name == "old"
    assert ring.identify(f"Bearer {stale}", None).name == "second"
    provider.jwks_file.write_text("{")
    IdentityProvider(other.jwks_file)
    file.write_text(yaml.safe_dump([{"name": "new", "sha256": hash_key("new")}]))
    with pytest.raises(ValueError, match="jwks"):
        watch.look()
    assert ring.identify("Bearer new", None).name == "new"
    for credential in ("old", stale):
        with pytest.raises(Unauthenticated):
            ring.identify(f"Bearer {credential}", None)


def test_a_token_without_its_tenant_is_refused(provider: IdentityProvider) -> None:
    """It is nobody's default."""
    assert (
        refused(AccessTokens([issuer(provider, tenant_claim="org")]), provider.token())
        == "invalid_token"
    )


def test_keys_go_on_beside_tokens(provider: IdentityProvider) -> None:
    """And with issuers alone nothing is open."""
    key = ApiKey(name="app", sha256=hash_key("gw-x"))
    ring = Keyring([key], AccessTokens([issuer(provider)]))
    assert ring.identify("Bearer gw-x", None).name == "app"
    alone = Keyring([], AccessTokens([issuer(provider)]))
    assert not alone.is_open
    for said in (None, "Bearer gw-x"):
        with pytest.raises(Unauthenticated):
            alone.identify(said, None)
