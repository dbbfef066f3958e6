"""Container images."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

INVALID_IMAGE_REFERENCE = code(
    Kind.INVALID,
    "INVALID_IMAGE_REFERENCE",
    "Invalid name of an image",
    "The text is no name of a container image.",
    "Write such as nginx, nginx:1.27, registry.example/team/app:2 or app@sha256:… with 64 hexadecimal digits.",
)
IMAGE_NOT_FOUND = code(
    Kind.UNKNOWN,
    "IMAGE_NOT_FOUND",
    "Image not found",
    "The registry, the file or this machine has no image of that name.",
    "Check its name and its tag; `weft image list` shows what is on this machine.",
)
IMAGE_ACCESS_DENIED = code(
    Kind.FORBIDDEN,
    "IMAGE_ACCESS_DENIED",
    "Access to the image denied",
    "The registry wants a login that it was not given, or would send it over a line that others read.",
    "Log in with `docker login` or `podman login`, or let REGISTRY_AUTH_FILE name the file with the login.",
)
IMAGE_INVALID = code(
    Kind.INVALID,
    "IMAGE_INVALID",
    "Invalid image",
    "A document of the image is not what the OCI specification says, or bytes are not those that their digest names.",
    "Pull it again; if it stays so, the image or its registry is damaged and has to be made or pushed anew.",
)
IMAGE_PLATFORM_MISSING = code(
    Kind.INVALID,
    "IMAGE_PLATFORM_MISSING",
    "Image is not for this platform",
    "The image is not made for the operating system and the architecture that were asked for.",
    "Choose one of the platforms that the message lists, or another image.",
)
IMAGE_REFUSED = code(
    Kind.INVALID,
    "IMAGE_REFUSED",
    "Image refused",
    "A layer of the image is damaged, leads out of the image, or grows beyond every measure. Nothing is left of it.",
    "Do not trust this image. When it is yours, make its layers anew.",
)
IMAGE_IN_USE = code(
    Kind.IN_USE,
    "IMAGE_IN_USE",
    "Image in use",
    "The image's disk is in use.",
    "Stop what uses it first.",
)
IMAGES_BUSY = code(
    Kind.CONFLICT,
    "IMAGES_BUSY",
    "Images are being changed",
    "Images come, or are removed, at this moment: one has to wait for the other.",
    "Ask again in a moment.",
)
REGISTRY_UNAVAILABLE = code(
    Kind.UNAVAILABLE,
    "REGISTRY_UNAVAILABLE",
    "Registry unavailable",
    "The registry does not answer, breaks off again and again, or has too many requests.",
    "Try again later; what has arrived is kept, and only the rest is fetched then.",
)
