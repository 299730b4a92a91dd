"""What the source document's SQLAlchemy session factory does in the time that it is given.

`sqlalchemy_session.py URL CLIENTS CONNECTIONS` says `ready`, and answers each line `transaction-read SECONDS`
or `transaction-write SECONDS` with the number of transactions that its threads did, and in how many seconds.
"""

import json
import random
import sys
import threading
import time
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

READ = text("SELECT name FROM pipelines WHERE id = :id")
WRITE = text("UPDATE pipelines SET runs = runs + 1 WHERE id = :id")


@contextmanager
def get_tenant_session(org_id, db_engine):
    """The factory as the document prints it."""
    if not org_id:
        raise ValueError("org_id is required for tenant-scoped sessions")
    with Session(db_engine) as session:
        session.execute(
            text("SET app.current_org_id = :org_id"),
            {"org_id": org_id},
        )
        try:
            yield session
            session.commit()
        except Exception:
            session.rollback()
            raise


def read(engine, org, number):
    with get_tenant_session(f"00000000-0000-4000-8000-000000000{org}", engine) as session:
        name = session.execute(READ, {"id": number}).scalar_one()
    if name != f"pipeline {org}-{number}":
        raise RuntimeError("another row was read")


def write(engine, org, number):
    with get_tenant_session(f"00000000-0000-4000-8000-000000000{org}", engine) as session:
        written = session.execute(WRITE, {"id": number}).rowcount
    if written != 1:
        raise RuntimeError("no row was written")


WORK = {"transaction-read": read, "transaction-write": write}


def client(engine, work, until, seed, done):
    chance = random.Random(seed)
    count = 0
    while time.monotonic() < until:
        # Cheaper than randrange, which is a good part of a microsecond.
        work(engine, 100 + int(chance.random() * 20), 1 + int(chance.random() * 500))
        count += 1
    done.append(count)


def main():
    url, clients, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    engine = create_engine(url, pool_size=connections, max_overflow=0)
    engine.connect().close()
    print("ready", flush=True)
    for line in sys.stdin:
        work, seconds = line.split()
        done = []
        begun = time.monotonic()
        until = begun + float(seconds)
        threads = [
            threading.Thread(target=client, args=(engine, WORK[work], until, seed, done))
            for seed in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A thread that failed has printed why, and is not among those that counted.
        if len(done) != clients:
            sys.exit("a client failed")
        seconds = time.monotonic() - begun
        print(json.dumps({"transactions": sum(done), "seconds": seconds}), flush=True)


main()
