#!/usr/bin/env python3
"""The address of a Service: passes TCP connections on to the replicas behind it, in turn.

service.py --listen ADDRESS:PORT=TARGET... --port PORT --backend ADDRESS...

As kubelet and kube-proxy do it together, new connections go to the replicas that are ready, and those
that are there stay where they are. Unlike them, it tries the others too while none is ready: what a
replica must not do before it is ready shows then.
"""
import argparse
import asyncio
import itertools


class Service:
    def __init__(self, options):
        self.backends, self.path, self.port = options.backend, options.path, options.port
        self.ready, self.turns = set(), itertools.count()

    async def is_ready(self, address):
        try:
            reader, writer = await asyncio.open_connection(address, self.port)
            try:
                writer.write(f"GET {self.path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
        except OSError:
            return False

    async def probe(self, address):
        while True:
            try:
                found = await asyncio.wait_for(self.is_ready(address), 1)
            except asyncio.TimeoutError:
                found = False
            (self.ready.add if found else self.ready.discard)(address)
            await asyncio.sleep(0.2)

    async def connect(self, port):
        turn = next(self.turns)
        candidates = [each for each in self.backends if each in self.ready] or self.backends
        for index in range(len(candidates)):
            try:
                return await asyncio.open_connection(candidates[(turn + index) % len(candidates)], port)
            except OSError:
                pass
        return None

    async def listen(self, address, port, target):
        async def accept(reader, writer):
            found = await self.connect(target)
            if found is None:
                return writer.transport.abort()
            await asyncio.gather(pump(reader, found[1]), pump(found[0], writer))

        return await asyncio.start_server(accept, address, port)


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--listen", action="append", required=True, help="ADDRESS:PORT=TARGET")
    parser.add_argument("--backend", action="append", required=True, help="the address of a replica")
    parser.add_argument("--port", type=int, required=True, help="where a replica says whether it is ready")
    parser.add_argument("--path", default="/readyz")
    options = parser.parse_args()
    service = Service(options)
    servers = []
    for each in options.listen:
        place, target = each.split("=")
        address, port = place.rsplit(":", 1)
        servers.append(await service.listen(address, int(port), int(target)))
    print("serving", flush=True)
    await asyncio.gather(*(service.probe(each) for each in options.backend))


asyncio.run(main())
