"""Where a host keeps its guests, and how long it waits for them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """`init` is the guest's, as `make guest` builds it."""

    folder: Path
    boot_folder: Path
    init: Path
    kernel_root: Path | None = None
    kernel_release: str = ""
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    boot_s: float = 120.0
    stop_grace_s: float = 10.0
    restart_first_s: float = 1.0
    restart_max_s: float = 60.0
