"""PostgreSQL and Redis behind proxies that tests close, for processes that are to lose them."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from infra.stack.ports import free_port
from tests.faults.proxy import Proxy
from tests.running import Stack


class Breaking:
    """The way of some processes to PostgreSQL and Redis."""

    def __init__(self, stack: Stack) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.settings: dict[str, str] = {}
        """For the processes that go this way."""
        self._proxies: dict[str, Proxy] = {}
        for name, url, setting in (
            ("postgres", stack.database_url, "CHORUS_DATABASE_URL"),
            ("redis", stack.redis_url, "CHORUS_REDIS_URL"),
        ):
            there = urlsplit(url).port
            assert there is not None
            proxy = self._proxies[name] = Proxy(name, free_port(), there)
            self.settings[setting] = url.replace(f":{there}/", f":{proxy.port}/")
            self._do(proxy.open())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    @contextmanager
    def away(self, *names: str) -> Iterator[None]:
        """Connections break, and new ones are refused."""
        for name in names:
            self._do(self._proxies[name].refuse())
        try:
            yield
        finally:
            for name in names:
                self._do(self._proxies[name].open())

    @contextmanager
    def silent(self, name: str) -> Iterator[None]:
        """Nothing comes through, and nobody is told."""
        proxy = self._proxies[name]
        self._loop.call_soon_threadsafe(proxy.swallow, True)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(proxy.swallow, False)

    def close(self) -> None:
        for proxy in self._proxies.values():
            self._do(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
