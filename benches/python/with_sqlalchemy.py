"""sqlalchemy-dlock, on a connection for each thread."""

from contextlib import contextmanager

from sqlalchemy import NullPool, create_engine
from sqlalchemy_dlock import create_sadlock

import driver

NAME = f"sqlalchemy-dlock (Python, {driver.NAME})"
PATIENCE = 45


class Library:
    def __init__(self, port, delayed_port, socket):
        def engine(options, port=port):
            url = f"{driver.DIALECT}://root@127.0.0.1:{port}/bench{options}"
            return create_engine(url, poolclass=NullPool)

        self.engines = {
            "tcp": engine(""),
            "delayed": engine("", delayed_port),
            "socket": engine(f"?unix_socket={socket}"),
        }

    @contextmanager
    def session(self, transport):
        """Gives what makes a lock of a name."""
        with self.engines[transport].connect() as connection:
            yield lambda name: create_sadlock(
                connection, name, contextual_timeout=PATIENCE
            )
