"""When what failed in a pod may be tried again: making a container, having its image, volumes, the sandbox.

The pod's worker asks at every look, for what wakes it (often the status it just reported) is no reason to try any
sooner. How long a container that ran and crashed must wait is another matter: `backoff`.
"""

from pynetes.kubelet import spec
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

RETRY_SECONDS = 10.0
PULL_FAILURE_SHOWN = 2.0
MOUNT = (0.5, 122.0)
SANDBOX = (1.0, 10.0)


class Retries:
    """The moments before which one pod's worker leaves things alone."""

    def __init__(self) -> None:
        self._images: dict[tuple[str, str], float] = {}  # container, image
        self._refusals: dict[tuple[str, str], float] = {}  # container, its hash
        self._delays: dict[tuple[float, float], float] = {}

    def image_failed(self, container: Obj, reason: str, retry_after: float) -> float:
        """A container's image could not be had, and a pull backs off for `retry_after` seconds; returns the wait.

        That a pull failed is seen as such for a moment before it is seen to back off.
        """
        retry = max(retry_after, 0.1)
        wait = min(PULL_FAILURE_SHOWN, retry) if reason == "ErrImagePull" else retry
        self._images[container["name"], container["image"]] = clock.time() + wait
        return wait

    def refused(self, container: Obj) -> float:
        """A container could not be made; returns the wait."""
        self._refusals[container["name"], spec.container_hash(container)] = clock.time() + RETRY_SECONDS
        return RETRY_SECONDS

    def wait(self, container: Obj) -> float:
        """Seconds until a container may be tried again."""
        image = self._images.get((container["name"], container["image"]), 0.0)
        refusal = self._refusals.get((container["name"], spec.container_hash(container)), 0.0)
        return max(0.0, image - clock.time(), refusal - clock.time())

    def next(self, bounds: tuple[float, float]) -> float:
        """The wait after one more failure of what has these bounds (`MOUNT`, `SANDBOX`): it doubles between them."""
        initial, limit = bounds
        self._delays[bounds] = min(self._delays.get(bounds, initial / 2) * 2, limit)
        return self._delays[bounds]

    def clear(self) -> None:
        """What was in the way may be gone: try again at the next look. (An image's back-off stands.)"""
        self._refusals.clear()
        self._delays.clear()
