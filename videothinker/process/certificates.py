"""What metrics are shown behind, where those who can reach them are not all to read them."""

from __future__ import annotations

import ssl

from videothinker.config.settings import TlsConfig

REMEDY = "Give PEM files that this user can read, on each machine of the run"


def unusable(tls: TlsConfig) -> str | None:
    """What is wrong with the files, and what to do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        return f"certificate {tls.certificate} with key {tls.key}: {error.strerror}. {REMEDY}"
    try:
        context.load_verify_locations(tls.clients)
    except OSError as error:
        return f"clients {tls.clients}: {error.strerror}. {REMEDY}"
    return None
