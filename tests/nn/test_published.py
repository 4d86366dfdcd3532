import hashlib
import http.server
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from silk_sfm.errors import WeightsError
from silk_sfm.nn.catalogues import KP2D, MSNET, R2D2, SUPERPOINT
from silk_sfm.nn.published import PUBLISHED, Download, cache_folder, fetch, find_weights

CONTENT = b"weights" * 1000


def archive(**files: bytes) -> bytes:
    """A .tar.gz with files in a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"models/{name}.ckpt")
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


ARCHIVE = archive(v0=b"none", v4=CONTENT)


class Server(http.server.BaseHTTPRequestHandler):
    """/ok and /tar are served whole, /cut stops half way, /unsized tells no length."""

    def do_GET(self) -> None:
        if self.path == "/tar":
            self.send_response(200)
            self.send_header("Content-Length", str(len(ARCHIVE)))
            self.end_headers()
            self.wfile.write(ARCHIVE)
            return
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
            "names silk, silk-micro, pvgg-4, pvgg-1, pvgg-micro, coco-rgb-aug."
        )


# ---------- checked files and archives ----------


def test_a_known_file_is_checked(server: str, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    right = Download("net", f"{server}/ok", "MIT", ".pth", f"sha256:{sha256}")
    assert fetch(right, tmp_path).read_bytes() == CONTENT
    wrong = Download("other", f"{server}/ok", "MIT", ".pth", f"sha256:{'0' * 64}")
    with pytest.raises(WeightsError) as error:
        fetch(wrong, tmp_path)
    assert f"received another file, sha256 {sha256} instead of {'0' * 64}" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_file_is_known_by_its_id_in_git(server: str, tmp_path: Path) -> None:
    made = subprocess.run(
        ["git", "hash-object", "--stdin"], input=CONTENT, capture_output=True, check=True
    )
    wanted = Download("net", f"{server}/ok", "MIT", ".pth", f"git:{made.stdout.decode().strip()}")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT


def test_one_file_of_an_archive(server: str, tmp_path: Path) -> None:
    wanted = Download("kp2d-v4", f"{server}/tar", "MIT", member="v4.ckpt")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    absent = Download("kp2d-v9", f"{server}/tar", "MIT", member="v9.ckpt")
    with pytest.raises(WeightsError) as error:
        fetch(absent, tmp_path)
    assert str(error.value) == (
        "Cannot fetch the weights kp2d-v9 (no file v9.ckpt in the archive). Download "
        f"{server}/tar on another machine and save its file v9.ckpt as {tmp_path}/kp2d-v9.ckpt."
    )
    broken = Download("kp2d-v4b", f"{server}/ok", "MIT", member="v4.ckpt")
    with pytest.raises(WeightsError, match="not a gzip file|could not be opened"):
        fetch(broken, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kp2d-v4.ckpt"]


def test_a_restricted_licence_is_shown_to_quiet_commands(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(Download("free", f"{server}/ok", "MIT"), tmp_path)
    fetch(Download("bound", f"{server}/ok", "CC BY-NC-SA, NON-COMMERCIAL"), tmp_path)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"Fetching the weights free from {server}/ok; licence: MIT."),
        (
            "ERROR",
            f"Fetching the weights bound from {server}/ok; licence: CC BY-NC-SA, NON-COMMERCIAL.",
        ),
    ]


# ---------- other families ----------


def test_non_commercial_weights_say_so() -> None:
    said = {
        name: wanted.licence
        for catalogue in (SUPERPOINT, R2D2, KP2D)
        for name, wanted in catalogue.published.items()
    }
    assert {name for name, licence in said.items() if "NON-COMMERCIAL" in licence} == {
        "superpoint-v1",
        "r2d2-wasf-n16",
    }
    assert SUPERPOINT.names[0] == "superpoint-v6" and said["superpoint-v6"].startswith("MIT")
    assert KP2D.names == ("kp2d-v4", "kp2d-v3", "kp2d-v2", "kp2d-v1", "kp2d-v0")


def test_missing_files_of_other_families(tmp_path: Path) -> None:
    for catalogue, names in ((R2D2, ", or one of the names r2d2-wasf-n16"), (MSNET, "")):
        with pytest.raises(WeightsError) as error:
            find_weights(tmp_path / "no.pt", catalogue=catalogue)
        assert str(error.value) == (
            f"No weights {tmp_path}/no.pt: no such file. Give a .pth, .pt, .ckpt or .safetensors "
            f"file{names}."
        )
