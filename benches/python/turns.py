"""Threads that take turns at locks."""

import random
import time
from threading import Barrier, BrokenBarrierError, Thread


class Turns:
    def __init__(self, session, threads, names, seconds, watch):
        self.session = session
        self.names = names
        self.seconds = seconds
        self.watch = watch
        self.counts = [0] * threads
        self.waits = [[] for _ in range(threads)]
        self.entered = [0] * threads
        # Counted under the lock, in two steps: whoever is not alone loses counts.
        self.counter = 0
        self.errors = []
        self.start = self.end = 0.0
        self.barrier = Barrier(threads, action=self.begin)

    def begin(self):
        self.start = time.perf_counter()
        self.end = self.start + self.seconds

    def run(self):
        threads = [Thread(target=self.thread, args=(i,)) for i in range(len(self.counts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return {
            "seconds": self.seconds,
            "counts": self.counts,
            "waits": sorted(wait * 1e6 for waits in self.waits for wait in waits),
            "lost": sum(self.entered) - self.counter,
        }

    def thread(self, number):
        try:
            with self.session() as lock:
                # Before time, and with a name of its own.
                with lock(name(self.names + number)):
                    pass
                self.barrier.wait()
                self.repeat(number, lock)
        except BrokenBarrierError:
            # Another's error.
            pass
        except Exception as error:
            self.errors.append(error)
            self.end = 0.0
            self.barrier.abort()

    def repeat(self, number, lock):
        names = [name(index) for index in range(self.names)]
        pick = random.Random(number)
        turn = {
            "nothing": self.turn,
            "waits": self.timed_turn,
            "exclusion": self.counted_turn,
        }[self.watch]
        while time.perf_counter() < self.end:
            turn(number, lock(names[0] if self.names == 1 else pick.choice(names)))
            # One that ended too late does not count.
            if time.perf_counter() < self.end:
                self.counts[number] += 1

    def turn(self, number, lock):
        with lock:
            pass

    def timed_turn(self, number, lock):
        asked = time.perf_counter()
        with lock:
            self.waits[number].append(time.perf_counter() - asked)

    def counted_turn(self, number, lock):
        with lock:
            count = self.counter
            time.sleep(0.0001)
            self.counter = count + 1
            self.entered[number] += 1


def name(index):
    return f"accounts:{index + 1}"
