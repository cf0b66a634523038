"""Writes the app's SECRET_KEY_BASE, made once and kept in the app's own cache, for dynos that are not given another."""

import os
import pathlib
import secrets

kept = pathlib.Path("/cache/ruby-secret/secret_key_base")
if not kept.exists():
    new = kept.with_suffix(".new")
    new.write_text(secrets.token_hex(64))
    new.chmod(0o600)
    os.replace(new, kept)
profile = pathlib.Path("/app/.profile.d/ruby-secret.sh")
profile.parent.mkdir(parents=True, exist_ok=True)
profile.write_text(f"export SECRET_KEY_BASE=${{SECRET_KEY_BASE:-{kept.read_text()}}}\n")
