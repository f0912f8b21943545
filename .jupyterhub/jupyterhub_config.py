"""A hub for a room on one machine: JupyterLab for each learner, on a copy of the lessons, and one Gradient service.

Read by JupyterHub; "A hub" in notebooks/INSTRUCTORS.md has the command, and says what is kept apart and what is not.
All that the hub keeps is in the folder `hub` of the kit's per-user data, which GRADIENT_LOCAL_DATA_DIR overrides.
"""

import hashlib
import hmac
import json
import os
import secrets
import sys
from pathlib import Path

from helpers import private_file
from helpers.environment import (
    DATA_DIR_VARIABLE,
    LOCAL_TOKEN_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_VARIABLE,
)
from helpers.service import paths

c = get_config()  # noqa: F821 - JupyterHub gives it to this file

# Who knows the room's password logs in under any name, and every server runs as the user who starts the hub. To have
# accounts of the machine instead, leave this block out and start the hub as root: JupyterHub then asks PAM.
password = os.environ.get("GRADIENT_HUB_PASSWORD", "")
if len(password) < 8:
    sys.exit("The hub needs a password: set GRADIENT_HUB_PASSWORD to 8 characters or more, then start it again.")
c.JupyterHub.authenticator_class = "shared-password"  # others: see oauthenticator
c.SharedPasswordAuthenticator.user_password = password
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"

bin_folder = Path(sys.executable).parent
os.environ["PATH"] = os.pathsep.join([str(bin_folder), os.environ["PATH"]])  # has the proxy, and what a terminal runs
state = paths.data_dir() / "hub"
state.mkdir(mode=0o700, parents=True, exist_ok=True)
secret_file = state / "secret.json"  # with it goes what learners have made: no other gives them their workspaces again
if not secret_file.exists():
    private_file.write_json(secret_file, secrets.token_hex(32))
secret = json.loads(secret_file.read_text(encoding="utf-8")).encode()


def derived(purpose: str) -> str:
    """Text that no one guesses who lacks the secret, the same at every start."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).hexdigest()[:32]


c.Authenticator.allow_all = True
c.Authenticator.username_pattern = r"[a-z0-9][a-z0-9_-]{0,31}\Z"  # a name becomes a folder's

c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")

here = Path(__file__).resolve().parent
service_port = os.environ.get("GRADIENT_HUB_SERVICE_PORT", "8085")
options = ["--port", service_port, "--cache-dir", str(paths.cache_dir()), "--quiet"]
c.JupyterHub.services = [
    {
        "name": "gradient",
        "command": [sys.executable, str(here / "service.py"), *options],
        "environment": {LOCAL_TOKEN_VARIABLE: derived("token"), DATA_DIR_VARIABLE: str(state / "service")},
    }
]

c.SimpleLocalProcessSpawner.home_dir_template = str(state / "homes" / "{username}")
c.Spawner.cmd = [sys.executable, str(here / "learner.py")]
c.Spawner.notebook_dir = "~/lessons"
c.Spawner.default_url = "/lab/tree/README.md"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # seconds: a whole room logs in at once
c.Spawner.environment = {
    URL_VARIABLE: f"http://127.0.0.1:{service_port}/api",
    TOKEN_VARIABLE: derived("token"),
    WORKSPACE_VARIABLE: lambda spawner: derived(f"workspace of {spawner.user.name}"),
}
