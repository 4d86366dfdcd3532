import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from silk_sfm.errors import WeightsError
from silk_sfm.nn.published import PUBLISHED, Download, cache_folder, fetch, find_weights

CONTENT = b"weights" * 1000


class Server(http.server.BaseHTTPRequestHandler):
    """/ok is served whole, /cut stops half way, /unsized tells no length, others are missing."""

    def do_GET(self) -> None:
        if self.path not in ("/ok", "/cut", "/unsized"):
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/cut" else CONTENT)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_fetches_once_and_shows_the_licence_first(server: str, tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "cache"

    def announce(line: str) -> None:
        assert not folder.exists()
        said.append(line)

    wanted = Download("pvgg-9", f"{server}/ok", "GPL-3.0")
    path = fetch(wanted, folder, announce)
    assert path == folder / "pvgg-9.ckpt" and path.read_bytes() == CONTENT
    assert said == [f"Fetching the weights pvgg-9 from {server}/ok; licence: GPL-3.0."]
    assert fetch(wanted, folder, announce) == path
    assert len(said) == 1
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("cut", "received 3500 of 7000 bytes"),
        ("unsized", "received 7000 of unknown bytes"),
        ("none", "the server answers 404 Not Found"),
    ],
)
def test_incomplete_downloads_leave_nothing(
    server: str, tmp_path: Path, page: str, reason: str
) -> None:
    wanted = Download("pvgg-9", f"{server}/{page}", "GPL-3.0")
    with pytest.raises(WeightsError) as error:
        fetch(wanted, tmp_path)
    assert str(error.value) == (
        f"Cannot fetch the weights pvgg-9 ({reason}). Download {server}/{page} "
        f"on another machine and save it as {tmp_path}/pvgg-9.ckpt."
    )
    assert list(tmp_path.iterdir()) == []


def test_offline(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as closed:
        port = closed.server_port
    wanted = Download("pvgg-9", f"http://127.0.0.1:{port}/ok", "GPL-3.0")
    with pytest.raises(WeightsError) as error:
        fetch(wanted, tmp_path)
    assert "Connection refused" in str(error.value)
    assert str(error.value).endswith(f"save it as {tmp_path}/pvgg-9.ckpt.")


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SILK_SFM_CACHE", raising=False)
    assert cache_folder() == Path("/home/me/.cache/silk-sfm")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/silk-sfm")
    monkeypatch.setenv("SILK_SFM_CACHE", "/own")
    assert cache_folder() == Path("/own")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = "https://dl.fbaipublicfiles.com/silk/assets/models/silk/"
    assert {name: entry.url.removeprefix(base) for name, entry in PUBLISHED.items()} == {
        "pvgg-4": "analysis/alpha/pvgg-4.ckpt",
        "pvgg-1": "analysis/alpha/pvgg-1.ckpt",
        "pvgg-micro": "analysis/alpha/pvgg-micro.ckpt",
        "coco-rgb-aug": "coco-rgb-aug.ckpt",
    }
    assert find_weights("silk").name == "silk-pvgg-4.safetensors"
    monkeypatch.setenv("SILK_SFM_CACHE", str(tmp_path))
    (tmp_path / "pvgg-1.ckpt").write_bytes(b"already here")
    assert find_weights("pvgg-1") == tmp_path / "pvgg-1.ckpt"


def test_missing_file(tmp_path: Path) -> None:
    for source, found in ((tmp_path / "none.ckpt", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(WeightsError) as error:
            find_weights(source)
        assert str(error.value) == (
            f"No weights {source}: {found}. Give a .safetensors or .ckpt file, or one of the "
            "names silk, pvgg-4, pvgg-1, pvgg-micro, coco-rgb-aug."
        )
