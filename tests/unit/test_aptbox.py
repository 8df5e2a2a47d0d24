# SPDX-License-Identifier: MIT
"""apt's downloads: by a user without rights, checked, and ours at the end."""

import hashlib
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

from vnpu.artifacts import aptbox, debian
from vnpu.base.errors import BuildError

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here")

CONTENT = b"content"


def owner_of_port(port):
    """The user whose socket has this local port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}"):
            return int(words[7])
    raise LookupError(port)


class Handler(http.server.BaseHTTPRequestHandler):
    clients: list[int] = []

    def do_GET(self):
        self.clients.append(owner_of_port(self.client_address[1]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))
    # the machine's proxies do not reach this
    (tmp_path / "apt.conf").write_text('Acquire::http::Proxy::127.0.0.1 "DIRECT";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    Handler.clients.clear()
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_download_is_checked_and_ours(site, tmp_path):
    """Into a place that only we can reach, as the cache of root is."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    digest = hashlib.sha256(CONTENT).hexdigest()
    debian.fetch_file(f"{site}/file", digest, private / "file")
    assert (private / "file").read_bytes() == CONTENT
    assert (private / "file").stat().st_uid == os.geteuid()
    with pytest.raises(BuildError):
        debian.fetch_file(f"{site}/other", hashlib.sha256(b"x").hexdigest(), private / "other")
    assert not (private / "other").exists()


@pytest.mark.skipif(aptbox.user() == "root", reason="apt stays who it is")
def test_root_does_not_talk_to_the_network(site, tmp_path):
    debian.fetch_file(f"{site}/file", hashlib.sha256(CONTENT).hexdigest(), tmp_path / "file")
    assert Handler.clients and 0 not in Handler.clients
