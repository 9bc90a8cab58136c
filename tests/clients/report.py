"""What was checked: printed as it happens, counted, and the exit code at the end."""

import time


class Failed(Exception):
    """A check did not hold; the message says what was seen."""


class Report:
    """Collects checks by section; a failed one does not stop the others."""

    def __init__(self) -> None:
        self.passed = 0
        self.failures: list[str] = []
        self._section = ""
        self._begun = time.monotonic()

    def section(self, name: str) -> None:
        """Starts a group of checks."""
        self._section = name
        print(f"\n{name}", flush=True)

    def ok(self, what: str) -> None:
        """A check held."""
        self.passed += 1
        print(f"  ok    {what}", flush=True)

    def fail(self, what: str, seen: str) -> None:
        """A check did not hold."""
        self.failures.append(f"{self._section}: {what}")
        shown = seen.replace("\n", "\n          ")
        print(f"  FAIL  {what}\n          {shown}", flush=True)

    def run(self, what: str, check) -> bool:
        """Runs a function that raises if something is not as it must be."""
        try:
            check()
        except Exception as error:  # whatever it is, it is this check's result, and the rest goes on
            self.fail(what, f"{type(error).__name__}: {error}")
            return False
        self.ok(what)
        return True

    def finish(self) -> int:
        """Prints the sum and returns the exit code."""
        seconds = time.monotonic() - self._begun
        print(f"\n{self.passed} checks passed, {len(self.failures)} failed, in {seconds:.0f} s")
        for failure in self.failures:
            print(f"  FAIL  {failure}")
        return 1 if self.failures else 0


def expect(condition: object, seen: object) -> None:
    """Raises with what was seen unless the condition holds."""
    if not condition:
        raise Failed(str(seen)[:2000])


def expect_equal(seen: object, wanted: object, what: str = "") -> None:
    """Raises unless both are equal."""
    if seen != wanted:
        prefix = f"{what}: " if what else ""
        raise Failed(f"{prefix}got {str(seen)[:1500]}, expected {str(wanted)[:1500]}")
