#!/usr/bin/env python3
"""Fetch the pinned ONNX Runtime library into .runtime/onnxruntime/.

The library comes out of the official Python wheel, which pip downloads by
version and sha256 (requirements.txt beside this file). Nothing is installed
and no Python package is imported: one shared library is unpacked, checked
against its own sha256, and moved into place by one rename. Running it again
when the right library is there does nothing, so it may be called every time.

    fetch.py                  fetch if needed
    fetch.py --check          only say whether the right library is there
    fetch.py --into DIR       another target directory
    fetch.py --wheel FILE     use a wheel that is already on this machine
"""

import argparse
import hashlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"
LIBRARY = "libonnxruntime.so.1.31.1"
NOTICES = ("LICENSE", "ThirdPartyNotices.txt")

# machine → (pip platform tag, sha256 of the wheel, sha256 of the library in it)
PINS = {
    "x86_64": (
        "manylinux_2_28_x86_64",
        "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ),
    "aarch64": (
        "manylinux_2_28_aarch64",
        "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ),
}


class Failure(Exception):
    """What went wrong and what to do, in one message for a person."""


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def pins(machine):
    if sys.platform != "linux":
        raise Failure(f"no library is pinned for {sys.platform}: Kumobooru runs on Linux")
    if machine not in PINS:
        raise Failure(
            f"no library is pinned for the processor '{machine}' (known: {', '.join(PINS)}); "
            "put a libonnxruntime.so of version 1.24 or newer somewhere and name it with ORT_DYLIB_PATH"
        )
    return PINS[machine]


def download(tag, folder):
    """Let pip fetch the wheel: it checks version and hash and keeps its own cache."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--platform", tag, "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311",
        "--dest", str(folder), "--requirement", str(REQUIREMENTS),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return next(folder.glob("onnxruntime-*.whl"))
    said = (done.stderr or done.stdout).strip()
    if "No module named pip" in said:
        raise Failure("this Python has no pip: run 'apt-get install python3-pip' and try again")
    if "DO NOT MATCH THE HASHES" in said:
        raise Failure(
            "the wheel that was downloaded is not the pinned one (its sha256 differs); nothing was "
            f"installed. Is a proxy or mirror changing it?\n{said}"
        )
    raise Failure(
        "pip could not download the ONNX Runtime wheel. Without a network, copy the wheel here from "
        f"another machine and run this script with --wheel FILE. pip said:\n{said}"
    )


def unpack(wheel, library_sha256, folder):
    """Take the library and its licence out of the wheel, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in NOTICES:
            (folder / name).write_bytes(archive.read(f"onnxruntime/{name}"))
        data = archive.read(f"onnxruntime/capi/{LIBRARY}")
    got = hashlib.sha256(data).hexdigest()
    if got != library_sha256:
        raise Failure(f"{LIBRARY} inside {wheel} has sha256 {got}, expected {library_sha256}")
    handle, part = tempfile.mkstemp(prefix=LIBRARY, suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o755)
        os.replace(part, folder / LIBRARY)
    except BaseException:
        os.unlink(part)
        raise


def run(arguments):
    tag, wheel_sha256, library_sha256 = pins(arguments.machine)
    library = arguments.into / LIBRARY
    if library.is_file() and sha256(library) == library_sha256:
        print(f"ONNX Runtime is in place: {library}")
        return
    if arguments.check:
        state = "is damaged or another build" if library.is_file() else "is missing"
        raise Failure(f"{library} {state}: run {HERE / 'fetch.py'}")
    if arguments.wheel:
        if not arguments.wheel.is_file():
            raise Failure(f"there is no file {arguments.wheel}")
        got = sha256(arguments.wheel)
        if got != wheel_sha256:
            raise Failure(f"{arguments.wheel} has sha256 {got}, the pinned wheel for {tag} has {wheel_sha256}")
        unpack(arguments.wheel, library_sha256, arguments.into)
    else:
        with tempfile.TemporaryDirectory(prefix="kumo-runtime-") as folder:
            unpack(download(tag, pathlib.Path(folder)), library_sha256, arguments.into)
    print(f"ONNX Runtime fetched: {library}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=pathlib.Path, default=REPOSITORY / ".runtime" / "onnxruntime")
    parser.add_argument("--wheel", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--machine", default=platform.machine(), help="processor to fetch for (default: this one)")
    try:
        run(parser.parse_args())
    except (Failure, OSError, zipfile.BadZipFile, KeyError) as failure:
        print(f"fetch.py: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
