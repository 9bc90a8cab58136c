"""Libraries L1 and L2, made once by the generator of store/core and kept under target/bench."""

import hashlib
import pathlib
import shutil
import subprocess

from . import machine

CORE = machine.REPOSITORY / "services/store/core"


def library(programs, name, vectors=True):
    """Data folder of a store with this library: `L1`, `L2`, or a number of posts."""
    code = hashlib.sha256(b"with vectors" if vectors else b"without")
    for path in sorted([*CORE.glob("examples/fill_library/*.rs"), *CORE.glob("schema/*.sql")]):
        code.update(path.read_bytes())
    folder = machine.BENCH / f"library-{name}-{code.hexdigest()[:8]}"
    if not folder.is_dir():
        for old in machine.BENCH.glob(f"library-{name}-*"):
            shutil.rmtree(old)
        draft = machine.BENCH / f"draft-{name}"
        shutil.rmtree(draft, ignore_errors=True)
        command = [pathlib.Path(programs) / "examples/fill_library", name, draft, "--vectors",
                   "on" if vectors else "off"]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        draft.rename(folder)
    return folder
