"""django-mysql, on a connection for each thread, as Django has it."""

from contextlib import contextmanager

import django
from django.conf import settings

import driver

NAME = f"django-mysql (Python, {driver.NAME})"
PATIENCE = 45


class Library:
    def __init__(self, port, delayed_port, socket):
        def database(host, port=port):
            return {
                "ENGINE": "django.db.backends.mysql",
                "NAME": "bench",
                "USER": "root",
                "HOST": host,
                "PORT": port,
            }

        settings.configure(
            DATABASES={
                "default": database("127.0.0.1"),
                "tcp": database("127.0.0.1"),
                "delayed": database("127.0.0.1", delayed_port),
                # A path is taken for a socket.
                "socket": database(socket),
            }
        )
        django.setup()

    @contextmanager
    def session(self, transport):
        """Gives what makes a lock of a name."""
        from django.db import connections
        from django_mysql.locks import Lock

        try:
            yield lambda name: Lock(name, acquire_timeout=PATIENCE, using=transport)
        finally:
            connections[transport].close()
