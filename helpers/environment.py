"""Each fact once that more than one module needs: names of environment variables, limits, defaults, and what is local.

Imported all over `helpers` and `helpers.service`, so it imports next to nothing itself.
"""

from __future__ import annotations

import ipaddress

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")  # that all pinned packages have wheels for
VERSION = "1.0.0"  # of the kit: what the package's metadata, the doctor, /health and `status` say; see CHANGELOG.md

# An endpoint and who calls it.
URL_VARIABLE = "GRADIENT_API_URL"
TOKEN_VARIABLE = "GRADIENT_ACCESS_TOKEN"
WORKSPACE_VARIABLE = "GRADIENT_WORKSPACE_ID"
LOCAL_WORKSPACE = "local_workspace"  # connect()'s on the local service
MIN_TOKEN_CHARACTERS = 10
WORKSPACE_ID = r"[A-Za-z0-9_.:-]{1,128}"
WORKSPACE_RULE = "letters, digits and '_.:-', up to 128"

LANGUAGE_VARIABLE = "GRADIENT_LANGUAGE"  # in which the helpers speak, "es" for example

# Where things are kept, each over a per-user folder of this name.
APP_NAME = "gradient-notebooks"
CREDENTIALS_FILE_VARIABLE = "GRADIENT_CREDENTIALS_FILE"
DATA_DIR_VARIABLE = "GRADIENT_LOCAL_DATA_DIR"
CACHE_DIR_VARIABLE = "GRADIENT_LOCAL_CACHE_DIR"
LOCAL_TOKEN_VARIABLE = "GRADIENT_LOCAL_TOKEN"  # like the service's --token, but not to be seen in the list of processes

WHEELS_FOLDER = "wheels"  # beside `helpers`: what `helpers.offline` has put there for machines without a network

# What the API takes, and what it takes for granted.
MAX_TEMPERATURE = 2
MAX_TOP_K = 1_000_000
MAX_GENERATED_TOKENS = 511
MAX_NEXT_TOKENS = 1000  # how many of the likeliest next tokens the local service lists
MAX_RANK = 32
DEFAULT_RANK = 8
DEFAULT_LEARNING_RATE = 2e-3

# Those that compute an answer, or a step of a fine-tune: a model of 135 million parameters gains nothing from more.
MAX_THREADS = 8
TOLERATED_CORES = 0.35  # the part of a core that other programs may use before it counts as taken, and is spoken of
LOCAL_RAY = "local"  # the address that means a Ray cluster of this machine's own, which ends with the service

# For the environment of the service, as glibc (2.35 and later) reads it when a program starts; nothing else does. Large
# blocks then come in pages of 2 MB instead of 4 KB, so that a llama.cpp server is made in 0.22 s instead of 0.26.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def is_token(text: str) -> bool:
    """Whether a text can be an access token: long enough to be no slip, and nothing in it that a header can't carry."""
    return len(text) >= MIN_TOKEN_CHARACTERS and text.isascii() and text.isprintable() and " " not in text


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, reached from no other."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
