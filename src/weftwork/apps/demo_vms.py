"""`make demo VM=1`: a registry and an image, two tenants with the same address, and a machine for each of them."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from weftwork.apps.demo import Story
from weftwork.drivers.linux import namespaces
from weftwork.testing.container_images import MadeImage, file, folder, link, make_image, make_tar
from weftwork.testing.microvms import guest_init, kernel_root
from weftwork.testing.node import Node
from weftwork.testing.patience import patient
from weftwork.testing.registry_server import RegistryServer
from weftwork.testing.residue import Residue

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh",
    "cat",
    "echo",
    "ls",
    "ip",
    "id",
    "hostname",
    "httpd",
    "nc",
    "ping",
    "ps",
    "sleep",
    "uname",
    "wget",
    "mkdir",
)
TENANTS = ("acme/shop", "bluth/shop")
ADDRESS = "10.20.0.10"
TIMEOUT = f"{patient(180):.0f}s"


def web_image() -> MadeImage:
    """A web server that says whose it is: one program of many names, and a page."""
    entries = [
        *(folder(name) for name in ("bin", "etc", "root", "tmp", "var", "www", "proc", "sys", "dev", "run")),
        file("bin/busybox", BUSYBOX.read_bytes(), 0o755),
        *(link(f"bin/{one}", "busybox") for one in APPLETS),
        file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        file("etc/group", b"root:x:0:\n"),
    ]
    serve = "echo $OWNER > /www/index.html; echo serving; exec httpd -f -p 80 -h /www"
    return make_image([make_tar(entries)], Cmd=["/bin/sh", "-c", serve], Env=["PATH=/bin"])


class Machine:
    """The `weft` of one node, and what is typed."""

    def __init__(self, node: Node, home: Path, story: Story) -> None:
        self._environment = {
            **os.environ,
            "WEFT_SERVER": node.address,
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
        }
        self._story = story

    def typed(self, line: str, *, fails: bool = False) -> str:
        """What it prints; told as it is typed."""
        began = time.monotonic()
        words = [str(Path(sys.executable).with_name("weft")), *shlex.split(line)[1:]]
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self._story.note(f"$ {line}   ({time.monotonic() - began:.1f} s)")
        for one in (done.stdout + done.stderr).splitlines():
            self._story.note(f"    {one}")
        if (done.returncode != 0) is not fails:
            raise RuntimeError(f"{line}: exit code {done.returncode}")
        return done.stdout


def main() -> int:
    if os.geteuid():
        print("error: the demo makes network namespaces and needs root; run it with sudo.", file=sys.stderr)
        return 1
    if [name for name in namespaces.names() if name.startswith("weft-")]:
        print("error: this machine has networks of Weftwork; next: weft down, or python3 tools/private_network.py …")
        return 1
    before, story = Residue.look(), Story()
    story.chapter("A kernel, an init, an image in a registry of this machine")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-demo-")))
        place.chmod(0o755)
        registry = stack.enter_context(RegistryServer(place))
        image = registry.push("shop/web", "1", web_image())
        story.note(f"pushed {image}")
        environment = {
            "WEFT_VMS_BOOT_FOLDER": str(_kernels(place / "boot")),
            "WEFT_VMS_INIT": str(guest_init()),
            "WEFT_VMS_IMAGES_FOLDER": str(place / "images"),
        }
        node = stack.enter_context(Node(place, environment=environment))
        machine = Machine(node, place, story)
        try:
            _play(story, machine, image)
        except RuntimeError as error:
            story.wrong.append(str(error))
            print(node.log.read_text()[-4000:])
    left = before.left_over()
    print(f"\n{story.told} things tried, {len(story.wrong)} not as expected: {story.wrong or 'fine'}")
    print("Residue on this machine: " + ("; ".join(left) if left else "none."))
    return 1 if story.wrong or left else 0


def _kernels(place: Path) -> Path:
    """A folder of one kernel, as the one that was fetched would be."""
    root, release = kernel_root()
    package = place / f"package-{release}"
    package.mkdir(parents=True)
    for part in root.iterdir():
        if part.name != "ready":
            (package / part.name).symlink_to(part)
    (package / "ready").write_text(release)
    return place


def _play(story: Story, machine: Machine, image: str) -> None:
    story.chapter("Two tenants, the same addresses, a VM for each: the same address")
    for project in TENANTS:
        size = f"--memory 256M --disk 128M --timeout {TIMEOUT}"
        machine.typed(f"weft -P {project} vpc create --cidr 10.20.0.0/16")
        machine.typed(
            f"weft -P {project} vm run --image {image} --name web --port 80 --env OWNER={project}"
            f" --nic subnet=default,address={ADDRESS} {size}"
        )
        machine.typed(f"weft -P {project} vm run --image {image} --name probe {size}")
    story.chapter("Into each of them, by name")
    for project in TENANTS:
        said = machine.typed(f"weft -P {project} ssh web -- 'hostname; uname -r; ip -4 addr show dev eth0'")
        _line(story, f"weft ssh web of {project}", ADDRESS in said, "by its name, through the control plane")
    story.chapter("Over their networks, under their groups")
    for project in TENANTS:
        asked = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {ADDRESS} 80"
        page = machine.typed(f"weft -P {project} ssh probe -- {shlex.quote(asked)}").splitlines()[-1]
        _line(story, f"probe of {project} reads its own web", page == project, "the same address, another network")
    story.chapter("A disk of its own, which stays while it is stopped")
    first = TENANTS[0]
    machine.typed(f"weft -P {first} vm exec web -- sh -c 'echo {first} > /root/mark'")
    marks = [
        machine.typed(f"weft -P {project} vm exec web -- sh -c 'cat /root/mark 2>/dev/null || echo none'").strip()
        for project in TENANTS
    ]
    _line(story, "the mark is on its disk, and on no other", marks == [first, "none"], "each VM has its own")
    machine.typed(f"weft -P {first} vm restart web --timeout {TIMEOUT}")
    kept = machine.typed(f"weft -P {first} vm exec web -- sh -c 'cat /root/mark; ip -4 addr show dev eth0'")
    _line(story, "the mark is still there, and the address", first in kept and ADDRESS in kept, "a stop keeps both")
    machine.typed(f"weft -P {first} vm ps -o wide")
    story.chapter("Gone, with all that was theirs")
    for project in TENANTS:
        for name in ("web", "probe"):
            machine.typed(f"weft -P {project} vm rm {name} --timeout {TIMEOUT}")
        machine.typed(f"weft vpc delete {project} --cascade --yes")


def _line(story: Story, text: str, is_so: bool, because: str) -> None:
    story.line(text, lambda: is_so, passes=True, because=because)


if __name__ == "__main__":
    sys.exit(main())
