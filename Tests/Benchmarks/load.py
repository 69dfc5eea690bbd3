"""Requests from several processes, with every failure counted, for the scripts in this folder."""

import asyncio
import collections
import multiprocessing
import re
import signal
import time

TIMEOUT = 30

# Times are counted in steps of 10 µs; the last one has those of 100 ms and more.
STEP, STEPS = 1e-5, 10_000


class Failed(Exception):
    """Why a request failed."""


class Client(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self):
        self.transport = None
        self.answer = None
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def send(self, request):
        """The future of the answer's head."""
        self.received = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data):
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or self.answer is None or self.answer.done():
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if len(body) >= (int(length[1]) if length else 0):
            self.answer.set_result(head)

    def connection_lost(self, _):
        if self.answer is not None and not self.answer.done():
            where = "within the answer" if self.received else "before an answer"
            self.answer.set_exception(Failed(f"connection closed {where}"))

    def is_open(self):
        return self.transport is not None and not self.transport.is_closing()


class Sender:
    """Requests over several connections of one process."""

    def __init__(self, load, keeps_alive, connections, rate):
        self.load, self.keeps_alive, self.connections = load, keeps_alive, connections
        self.pause = connections / rate if rate else 0

    async def run(self):
        await asyncio.gather(*[self.repeat(number) for number in range(self.connections)])

    async def repeat(self, number):
        client = None
        due = time.monotonic() + self.pause * number / self.connections
        while not self.load.stopped.value:
            if self.pause:
                await asyncio.sleep(max(0, due - time.monotonic()))
                due = max(due + self.pause, time.monotonic())
            reused = client is not None and client.is_open()
            try:
                async with asyncio.timeout(TIMEOUT):
                    if not reused:
                        client = await self.connect(self.load.addresses[number % len(self.load.addresses)])
                    begun = time.monotonic()
                    head = await client.send(self.load.request)
                self.load.time(time.monotonic() - begun)
                status = head.split(b" ", 2)[1].decode()
                if status != "200":
                    raise Failed(f"status {status}")
                if not self.keeps_alive or b"connection: close" in head.lower():
                    client.transport.close()
            except (OSError, Failed, TimeoutError) as failure:
                reason = str(failure) if isinstance(failure, Failed) else type(failure).__name__
                kind = "a kept connection" if reused else "a new connection"
                self.load.fail(f"{reason}, on {kind}")
                if client is not None and client.transport:
                    client.transport.abort()
                client = None
                await asyncio.sleep(0.01)
            # Only this process adds to its own number.
            self.load.counts[self.load.number] += 1

    async def connect(self, address):
        with self.load.connections.get_lock():
            self.load.connections.value += 1
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Client, *address))[1]


class Load:
    """Requests until told to stop, in a `with` statement."""

    def __init__(self, addresses, request, kept=16, new=2, processes=1, rate=0):
        """`kept` and `new` are numbers of connections in each process; `addresses` take turns."""
        self.addresses, self.request = addresses, request
        self.kept, self.new, self.rate = kept, new, rate / processes
        self.counts = multiprocessing.Array("q", processes, lock=False)
        self.times = multiprocessing.Array("q", processes * STEPS, lock=False)
        self.connections = multiprocessing.Value("q", 0)
        self.stopped = multiprocessing.Value("b", 0)
        self.queue = multiprocessing.SimpleQueue()
        self.number = 0
        self.processes = [
            multiprocessing.Process(target=self.send, args=[number]) for number in range(processes)
        ]

    def send(self, number):
        self.number = number
        # Ctrl-C is for the script, which ends its load.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        async def run():
            share = self.rate * self.kept / (self.kept + self.new)
            senders = [Sender(self, True, self.kept, share)] if self.kept else []
            if self.new:
                senders.append(Sender(self, False, self.new, self.rate - share))
            await asyncio.gather(*[sender.run() for sender in senders])

        asyncio.run(run())

    def fail(self, reason):
        self.queue.put((time.monotonic(), reason))

    def time(self, seconds):
        """Counts an answer, from when its request was sent."""
        # Only this process adds to its own part.
        self.times[self.number * STEPS + min(int(seconds / STEP), STEPS - 1)] += 1

    def count(self):
        """How many requests have ended."""
        return sum(self.counts)

    def answered(self):
        """How many answers took each of the steps of time."""
        return [sum(self.times[step::STEPS]) for step in range(STEPS)]

    def wait_for(self, count):
        """Waits until so many requests have ended."""
        while self.count() < count:
            if not all(process.is_alive() for process in self.processes):
                raise Failed("a process that sends requests has ended")
            time.sleep(0.005)

    def __enter__(self):
        self.begun = time.monotonic()
        self.seconds = 0
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.stopped.value = 1
        for process in self.processes:
            process.join()
        self.seconds = time.monotonic() - self.begun

    def failures(self):
        """How often each reason was seen, and the seconds after which it was first."""
        reasons, first = collections.Counter(), {}
        while not self.queue.empty():
            moment, reason = self.queue.get()
            reasons[reason] += 1
            first.setdefault(reason, moment - self.begun)
        return {reason: (number, first[reason]) for reason, number in reasons.most_common()}


class Application(asyncio.Protocol):
    """An application that answers each request at once."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(self.ANSWER * data.count(b"\r\n\r\n"))


class Served:
    """A process that serves an application, in a `with` statement."""

    def __init__(self, port, application=Application):
        self.port, self.application = port, application
        self.listening = multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.serve, daemon=True)

    def serve(self):
        async def run():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self.application, "127.0.0.1", self.port, backlog=4096)
            self.listening.set()
            await server.serve_forever()

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(run())

    def __enter__(self):
        self.process.start()
        if not self.listening.wait(10):
            raise Failed(f"cannot listen on 127.0.0.1:{self.port}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()


def quantile(steps, share):
    """The seconds within which this share of the answers came, by their number in each step of time."""
    left = share * sum(steps)
    for number, count in enumerate(steps):
        left -= count
        if left <= 0:
            return (number + 1) * STEP
    return STEPS * STEP


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]
