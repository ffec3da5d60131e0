"""Keys, tokens and passwords: what a holder can do something with."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from router.govern.detect import Span
from router.govern.detect.rules import Rule

_LEAST_ENTROPY: Final = 2.8
"""Bits a character: below are rows of x and other stand-ins."""

_KNOWN: Final = (
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{30,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|agent)-[\w-]{20,255}",  # GitLab
    r"xox[abeoprs]-[\w-]{10,255}",  # Slack
    r"xapp-\d-[A-Z0-9]{6,20}-\d{6,20}-[a-z0-9]{20,128}",
    r"hooks\.slack\.com/services/T\w{6,12}/B\w{6,12}/\w{16,32}",
    r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,255}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,128}",
    r"AIza[\w-]{35}",  # Google
    r"GOCSPX-[\w-]{20,40}",
    r"ya29\.[\w-]{20,1024}",
    r"sk-ant-[\w-]{20,255}",  # Anthropic
    r"sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,255}",  # OpenAI and OpenRouter
    r"hf_[A-Za-z0-9]{30,64}",  # Hugging Face
    r"gsk_[A-Za-z0-9]{40,64}",  # Groq
    r"xai-[A-Za-z0-9]{40,128}",
    r"r8_[A-Za-z0-9]{36,40}",  # Replicate
    r"pplx-[a-zA-Z0-9]{40,64}",
    r"nvapi-[\w-]{40,128}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[\w-]{40,1024}",
    r"SG\.[\w-]{16,32}\.[\w-]{30,64}",  # SendGrid
    r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
    r"key-[0-9a-f]{32}",  # Mailgun
    r"do[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
    r"dapi[a-f0-9]{32}(?:-\d)?",  # Databricks
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
    r"lin_api_[A-Za-z0-9]{32,64}",
    r"ntn_[A-Za-z0-9]{40,64}",  # Notion
    r"dp\.(?:pt|st|ct)\.[A-Za-z0-9._-]{40,64}",  # Doppler
    r"hv[sbr]\.[\w-]{24,255}",  # Vault
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,80}",  # Terraform
    r"gl(?:sa|c)_[A-Za-z0-9+/_=]{32,255}",  # Grafana
    r"NRAK-[A-Z0-9]{27}",  # New Relic
    r"(?:sq0(?:atp|csp|idp)-[\w-]{22,43}|EAAA[\w-]{60})",  # Square
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}",  # Discord
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"eyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}\.[\w-]{8,2048}",  # JSON Web Token
    r"eyJ[\w-]{8,4096}\.[\w-]{0,1024}\.[\w-]{8,512}\.[\w-]{8,8192}\.[\w-]{8,512}",
    r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}",  # Azure
    r"sig=[A-Za-z0-9%+/]{40,100}(?:%3D|=)",
    r"ops_eyJ[\w-]{100,1024}",  # 1Password
    r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",  # Postman
)
_PEM: Final = re.compile(r"-----BEGIN ((?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?)-----")
_PUTTY: Final = re.compile(r"PuTTY-User-Key-File-\d")
_STAND_IN: Final = re.compile(
    r"example|changeme|placeholder|redacted|your[_-]|my[_-]?(?:secret|password|token|key)"
    r"|x{4,}|\*{3,}|\.{3,}|0{6,}|1234567|<|\$\{|%\(|\{\{",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"[({\[$]|\w\.\w+\.\w|^(?:os|env|process|self|config|settings)\b")


def entropy(text: str) -> float:
    """Bits a character, by how often each occurs in the text itself."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def _random(match: re.Match[str]) -> float:
    text = match[0]
    if entropy(text) < _LEAST_ENTROPY or not any(map(str.isdigit, text)):
        return 0
    return 0.4 if _STAND_IN.search(text) else 1.0


def _assigned(match: re.Match[str]) -> float:
    value = match["value"]
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    if not mixed or _STAND_IN.search(value) or _CODE.search(value):
        return 0
    return 0.8 if entropy(value) >= 2.5 else 0


def private_keys(text: str) -> Iterator[Span]:
    """PEM, OpenSSH, PGP and PuTTY keys, also without their end: then to the end of the text."""
    done = 0
    for match in _PEM.finditer(text):
        if match.start() < done:
            continue
        end = f"-----END {match[1]}-----"
        place = text.find(end, match.end())
        done = len(text) if place < 0 else place + len(end)
        yield Span(match.start(), done, "PRIVATE_KEY")
    putty = _PUTTY.search(text)
    if putty is not None:
        yield Span(putty.start(), len(text), "PRIVATE_KEY")


_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|credentials?|api[_ -]?key|access[_ -]?key"
    r"|auth[_ -]?(?:key|token)|client[_ -]?secret|secret[_ -]?key|private[_ -]?key|bearer"
    r"|passwort|kennwort|contrase(?:ñ|n)a|mot de passe|senha"
)
RULES: Final = (
    Rule(
        "SECRET",
        re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_KNOWN)})(?![A-Za-z0-9])"),
        _random,
    ),
    Rule(
        "SECRET",
        re.compile(
            rf"(?<![A-Za-z0-9])(?=[pstcabkm])(?:{_WORDS})s?[\"']?"
            r"(?:\s{0,3}(?::=|=>|[:=])\s{0,3}|\s{1,3}is:?\s{1,3}|\s)"
            r"[\"'`]?(?P<value>[^\s\"'`,;<>]{8,256})(?<![.,;:!?)])",
            re.IGNORECASE,
        ),
        _assigned,
    ),
    Rule(
        "URL_CREDENTIALS",
        re.compile(
            r"\b[a-z][a-z0-9+.-]{1,24}://(?P<value>[^\s/:@?#\"'<>]{0,128}:[^\s/@?#\"'<>]{1,256})@",
            re.IGNORECASE,
        ),
        lambda match: 0.3 if _STAND_IN.search(match["value"]) else 1.0,
        needs=("://",),
    ),
)
