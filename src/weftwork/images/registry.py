"""Pulls images from registries (OCI distribution specification 1.1; Docker's token authentication).

Everything is verified against digests, breaks are resumed where they happened, and TLS is off on loopback only.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import httpx

from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.images.blobs import Arrival, Blobs
from weftwork.images.oci import (
    INDEXES,
    LARGEST_DOCUMENT,
    MANIFESTS,
    Descriptor,
    Manifest,
    Platform,
    choose,
    decode_document,
    decode_manifest,
    is_index,
)
from weftwork.model.image_reference import Reference

Progress = Callable[[Descriptor, int], None]
"""Called with a blob and how many bytes of it are here."""

_TRIES = 5
_AT_ONCE = 3
_TIMEOUT = httpx.Timeout(30, connect=10)
_LARGEST_TOKEN = 1 << 20
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """One registry, for one repository: the tokens it gives are good for that alone."""

    def __init__(self, client: httpx.AsyncClient, reference: Reference, login: tuple[str, str] | None) -> None:
        self._client = client
        self._reference = reference
        self._login = login
        self._authorization: str | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, reference: Reference) -> AsyncIterator[Self]:
        scheme = "http" if reference.on_loopback else "https"
        base = f"{scheme}://{reference.server}/v2/{reference.repository}/"
        headers = {"User-Agent": "weftwork", "Accept-Encoding": "identity"}
        async with httpx.AsyncClient(
            base_url=base, headers=headers, timeout=_TIMEOUT, follow_redirects=True, max_redirects=5
        ) as client:
            yield cls(client, reference, _login_of(reference.registry))

    async def pull(self, blobs: Blobs, platform: Platform, progress: Progress) -> tuple[Descriptor, Manifest]:
        """All blobs of the image for the platform, its manifest's descriptor first.

        Raises IMAGE_NOT_FOUND, IMAGE_ACCESS_DENIED, IMAGE_INVALID, IMAGE_PLATFORM_MISSING, REGISTRY_UNAVAILABLE.
        """
        data, media_type = await self._document(self._reference.wanted)
        document = decode_document(data, "manifest")
        if is_index(document, media_type):
            chosen = choose(document, platform)
            data, media_type = await self._document(chosen.digest)
            document = decode_document(data, "manifest")
        manifest = decode_manifest(document)
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def fetch(blob: Descriptor) -> None:
            async with at_once:
                await self._blob(blobs, blob, progress)

        async with asyncio.TaskGroup() as group:
            for blob in {blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values():
                group.create_task(fetch(blob))
        return blobs.add(data, media_type), manifest

    async def _document(self, wanted: str) -> tuple[bytes, str]:
        """A manifest or an index, verified when a digest was asked for; and the media type that the registry says."""
        for again in range(_TRIES):
            try:
                async with self._get(f"manifests/{wanted}", {"Accept": ", ".join((*INDEXES, *MANIFESTS))}) as answer:
                    data = await _body(answer, LARGEST_DOCUMENT)
                break
            except httpx.TransportError as error:
                await self._wait(again, error)
        if wanted.startswith("sha256:") and hashlib.sha256(data).hexdigest() != wanted.removeprefix("sha256:"):
            raise codes.IMAGE_INVALID.refusal(f"{self._reference.registry} sent other bytes than those of {wanted}")
        return data, answer.headers.get("Content-Type", "").partition(";")[0].strip()

    async def _blob(self, blobs: Blobs, blob: Descriptor, progress: Progress) -> None:
        if blobs.has(blob):
            progress(blob, blob.size)
            return
        with blobs.receive(blob) as arrival:
            is_resumed = arrival.received > 0
            await self._receive(arrival, blob, progress)
            if is_resumed and not arrival.is_right:  # what was kept of an earlier pull was wrong already
                arrival.start_over()
                await self._receive(arrival, blob, progress)
            arrival.commit()

    async def _receive(self, arrival: Arrival, blob: Descriptor, progress: Progress) -> None:
        """The rest of a blob, over as many connections as it takes."""
        fruitless = 0
        while arrival.received < blob.size:
            before = arrival.received
            try:
                headers = {"Range": f"bytes={before}-"} if before else {}
                async with self._get(f"blobs/{blob.digest}", headers) as answer:
                    if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                        arrival.start_over()
                    async for chunk in answer.aiter_raw():
                        arrival.write(chunk)
                        progress(blob, arrival.received)
                if arrival.received < blob.size:
                    raise httpx.ReadError(f"the connection ended after {arrival.received} of {blob.size} bytes")
            except httpx.TransportError as error:
                fruitless = 0 if arrival.received > before else fruitless + 1
                await self._wait(fruitless, error)

    async def _wait(self, again: int, error: httpx.TransportError) -> None:
        if again >= _TRIES - 1:
            raise codes.REGISTRY_UNAVAILABLE.refusal(f"{self._reference.registry}: {error or type(error).__name__}")
        await asyncio.sleep(0.1 * 2**again)

    @asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """An answer of success, after authenticating when the registry asks for it."""
        for _ in range(2):
            authorization = {"Authorization": self._authorization} if self._authorization else {}
            async with self._client.stream("GET", path, headers=headers | authorization) as answer:
                self._refuse_downgrade(answer)
                if answer.status_code != httpx.codes.UNAUTHORIZED or self._authorization:
                    self._refuse_failure(answer, path)
                    yield answer
                    return
                challenge = answer.headers.get("WWW-Authenticate", "")
            self._authorization = await self._authenticate(challenge)

    def _refuse_downgrade(self, answer: httpx.Response) -> None:
        if not self._reference.on_loopback and any(one.url.scheme != "https" for one in (*answer.history, answer)):
            raise codes.IMAGE_ACCESS_DENIED.refusal(f"{self._reference.registry} leads to a place without TLS")

    def _refuse_failure(self, answer: httpx.Response, path: str) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        said = f"{self._reference.registry} answered {status} for {path}"
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise codes.IMAGE_ACCESS_DENIED.refusal(f"{self._reference}: {said}")
        if status == httpx.codes.NOT_FOUND:
            raise codes.IMAGE_NOT_FOUND.refusal(f"{self._reference}: {said}")
        raise codes.REGISTRY_UNAVAILABLE.refusal(said)

    async def _authenticate(self, challenge: str) -> str:
        """The header for a challenge: a token of the realm it names, or the login itself.

        The login goes to that realm, as the protocol has it; over TLS only, so that nobody on the way reads it.
        """
        scheme, _, rest = challenge.partition(" ")
        basic = base64.b64encode(":".join(self._login).encode()).decode() if self._login else ""
        if scheme.lower() == "basic" and basic:
            return f"Basic {basic}"
        given = dict(_PARAMETER.findall(rest))
        realm = given.get("realm", "")
        if scheme.lower() != "bearer" or not (realm.startswith("https://") or self._reference.on_loopback):
            raise codes.IMAGE_ACCESS_DENIED.refusal(f"{self._reference.registry} asks for a login that it has not got")
        asked = {"service": given.get("service", ""), "scope": f"repository:{self._reference.repository}:pull"}
        try:
            async with self._client.stream(
                "GET", realm, params=asked, headers={"Authorization": f"Basic {basic}"} if basic else {}
            ) as answer:
                self._refuse_downgrade(answer)
                self._refuse_failure(answer, "a token")
                token = decode_document(await _body(answer, _LARGEST_TOKEN), "token's answer")
        except httpx.TransportError as error:
            raise codes.REGISTRY_UNAVAILABLE.refusal(f"{realm}: {error}") from None
        return f"Bearer {token.get('token') or token.get('access_token') or ''}"


async def _body(answer: httpx.Response, largest: int) -> bytes:
    data = bytearray()
    async for chunk in answer.aiter_raw():
        data += chunk
        if len(data) > largest:
            raise codes.IMAGE_INVALID.refusal(f"a document of the registry has more than {largest} bytes")
    return bytes(data)


def _login_of(registry: str) -> tuple[str, str] | None:
    """From Docker's own file, where `docker login` and `podman login` leave it (REGISTRY_AUTH_FILE names another)."""
    place = os.environ.get("REGISTRY_AUTH_FILE") or Path.home() / ".docker" / "config.json"
    try:
        entry = json.loads(Path(place).read_text())["auths"][registry]["auth"]
        user, _, password = base64.b64decode(entry).decode().partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return user, password


async def pull(
    reference: Reference, blobs: Blobs, platform: Platform, progress: Progress
) -> tuple[Descriptor, Manifest]:
    """The image's blobs, out of its registry: see `Registry.pull`."""
    try:
        async with Registry.open(reference) as registry:
            return await registry.pull(blobs, platform, progress)
    except* Refusal as refusals:
        first: BaseException = refusals
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        refusal = first
    except* httpx.HTTPError as errors:
        refusal = codes.REGISTRY_UNAVAILABLE.refusal(f"{reference.registry}: {errors.exceptions[0]}")
    raise refusal
