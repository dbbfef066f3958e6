"""A real registry (Debian's docker-registry) on loopback, in a folder of its own."""

import socket
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import httpx

from weftwork.testing.container_images import OCI_INDEX, OCI_MANIFEST, MadeImage
from weftwork.testing.ports import free_ports


class RegistryServer(AbstractContextManager["RegistryServer"]):
    """`host` is what stands before the first / of its images' names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self.host = f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        settings = self._folder / "registry.yml"
        settings.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._folder / 'data'}}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        log = (self._folder / "registry.log").open("wb")
        self._process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return self
            except OSError:
                assert self._process.poll() is None, (self._folder / "registry.log").read_text()
                assert time.monotonic() < deadline, "the registry does not start"
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def push(self, repository: str, tag: str, image: MadeImage) -> str:
        """The name to pull it by."""
        with httpx.Client(base_url=f"http://{self.host}/v2/{repository}/", timeout=30) as client:
            for digest, data in image.blobs.items():
                if digest != image.digest:
                    started = client.post("blobs/uploads/").raise_for_status()
                    place = httpx.URL(started.headers["Location"]).copy_merge_params({"digest": digest})
                    client.put(place, content=data).raise_for_status()
            self._put(client, tag, image.blobs[image.digest], OCI_MANIFEST)
        return f"{self.host}/{repository}:{tag}"

    def push_index(self, repository: str, tag: str, index: bytes) -> str:
        with httpx.Client(base_url=f"http://{self.host}/v2/{repository}/", timeout=30) as client:
            self._put(client, tag, index, OCI_INDEX)
        return f"{self.host}/{repository}:{tag}"

    @staticmethod
    def _put(client: httpx.Client, tag: str, document: bytes, media_type: str) -> None:
        client.put(f"manifests/{tag}", content=document, headers={"Content-Type": media_type}).raise_for_status()
