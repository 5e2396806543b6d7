"""Whether a text in a configuration is a secret that stands there for all to read, or a stand-in for one.

Told so that it is never wrong rather than never late: by the marks that services put into their keys, and by values
under a secret's name that nobody could have thought of. What is not certain is not said.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

from runagent_grpc.values.secret_names import SECRET_PARAMETERS, names_public, names_secret_variable

__all__ = ["holds_credentials", "is_placeholder", "is_secret"]

# What a service's keys look like, with as much of their length as tells them from words.
_MARKED = re.compile(
    r"""(?x) (?<![A-Za-z0-9])
    (?: sk-[A-Za-z0-9_-]{20,}                                       # OpenAI, Anthropic, OpenRouter
      | gsk_[A-Za-z0-9]{20,} | xai-[A-Za-z0-9]{20,} | hf_[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{20,}
      | pcsk_[A-Za-z0-9_]{20,} | tvly-[A-Za-z0-9-]{20,} | lsv2_[a-z]{2}_[A-Za-z0-9_]{20,}
      | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,} | glpat-[A-Za-z0-9_-]{20,}
      | (?: AKIA | ASIA ) [A-Z0-9]{16}                              # Amazon
      | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,}            # Google
      | xox[abeoprs]-[A-Za-z0-9-]{10,} | xapp-[0-9]-[A-Za-z0-9-]{10,}
      | [sr]k_live_[A-Za-z0-9]{16,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
      | npm_[A-Za-z0-9]{30,} | dop_v1_[a-f0-9]{60,}
      | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}   # a JSON Web Token
      | -----BEGIN\ (?: [A-Z]+\ )* PRIVATE\ KEY-----
    )"""
)
_PLACEHOLDER = re.compile(
    r"""(?xi) ^
    (?: < [^<>|]+ > | \[ .* \] | \{\{ .* \}\} | \$ [A-Z_]+ | [x*.-]+
      | (?: [a-z0-9]+[-_] )* x{3,} [x-]*
      | (?: sk | pk | hf | gsk | key | token )? [-_]?
        (?: your | my | insert | replace | put | enter | paste | add ) [-_ ] .*
      | (?: sk | key | token )? [-_]? \.{3,}
      | change[-_ ]? (?: me | this ) .*
      | (?: to[-_ ]?do | place[-_ ]?holder | dummy | fake | example ) [-_a-z ]*
      | .* [-_ ] here | n/?a | none | null | tbd
    ) $"""
)
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-([^}]*))?\}")
_LEAST_BITS = 3.0
_SHORTEST_RANDOM = 12


def is_placeholder(value: str) -> bool:
    """Whether a value only says that there should be one: `your-api-key`, `changeme`, `<key>`, `sk-xxxx`."""
    return bool(_PLACEHOLDER.match(value.strip()))


def is_secret(name: str, value: str) -> bool:
    """Whether a variable's value gives a secret away. `${VAR}` gives nothing away; a default for it might."""
    text = _REFERENCE.sub(lambda reference: reference[1] or "", value).strip()
    if not text or is_placeholder(text) or names_public(name):
        return False
    marked = _MARKED.search(text)
    if marked:
        return marked[0].startswith("-----") or (
            len(re.findall(r"\d", marked[0])) > 1 and not _is_monotonous(marked[0])
        )
    return holds_credentials(text) or (names_secret_variable(name) and _is_random(text))


def holds_credentials(address: str) -> bool:
    """Whether a URL has a password or a token in it, and leads to another machine than this."""
    try:
        parts = urlsplit(_REFERENCE.sub(lambda reference: reference[1] or "", address))
        host, password = parts.hostname, parts.password
    except ValueError:
        return False
    if not parts.scheme or not host or host in {"localhost", "127.0.0.1", "::1", "host.docker.internal"}:
        return False
    if password and not is_placeholder(password):
        return True
    return any(
        name.lower() in SECRET_PARAMETERS and not is_placeholder(value) and (_MARKED.search(value) or _is_random(value))
        for name, value in parse_qsl(parts.query)
    )


def _is_random(text: str) -> bool:
    """Whether no person has thought of it: a long run of letters and digits, mixed, that hardly repeats itself."""
    if not re.fullmatch(r"[A-Za-z0-9+/=_.~-]{16,}", text):
        return False
    return any(
        len(run) >= _SHORTEST_RANDOM
        and len(re.findall(r"\d", run)) >= 2
        and re.search(r"[A-Za-z]", run)
        and re.search(r"\d[A-Za-z]", run)
        and not _is_monotonous(run)
        for run in re.split(r"[-_.~]", text)
    )


def _is_monotonous(text: str) -> bool:
    count = Counter(text)
    bits = -sum(times / len(text) * math.log2(times / len(text)) for times in count.values())
    return bits < _LEAST_BITS
