#!/usr/bin/env python3
"""Simulates a fleet on its tier, without sockets and on a clock of its own, and prints what each part of the tier has to do.

    fleet.py            for 10^4, 10^6 and 10^7 users, about a minute

What is modelled, by the rules of src/shared and src/pacing, event by event: every beat of every replica, with the events that it
brings; every question for the budget of one provider, of which there are many alike; a rolling update in which every replica
is replaced once; and a failover in which nothing is answered for 2.6 s and what the budget knew is lost. Users are
sampled: each makes its requests at random times at random replicas, which is the worst balancing there is, and their numbers
are scaled up. Not modelled: the network, the time that scripts take, and the provider, which answers every call.
"""
import bisect
import heapq
import random
import sys
from collections import Counter

SPAN, FAILOVER, OUTAGE, ROLLING = 420.0, 240.0, 2.6, (90.0, 180.0)
SESSION, REQUESTS, SIGN_OUT_EVERY = 3600.0, 12, 8 * 3600.0
EVENTS_A_BEAT, APART, BATCH = 256, 6.0, 16
SAMPLE = 2000
# Bytes of a session of 450 bytes with its keys, of an upsert that is remembered, and of a mark, as Redis and Valkey keep them.
VALUE, UPSERT, MARK = 688, 180, 120
# Bytes of an event in an answer.
EVENT = 60
# What one node is given to do: scripts take 21 to 31 µs of its one thread, so this is half of what it can.
OPERATIONS_A_NODE, BYTES_A_NODE = 20_000, 8 << 30
FLEETS = [(10_000, 4, 3), (1_000_000, 100, 20), (10_000_000, 1000, 50)]


def beat_every(replicas):
    """A quarter of a second; longer where all of them would beat more than 2,000 times a second."""
    return max(0.25, replicas / 2000)


def is_away(now):
    return FAILOVER <= now < FAILOVER + OUTAGE


class Pace:
    """The generic cell rate algorithm."""

    def __init__(self, count, period, burst):
        self.interval = period / (count - burst + 1)
        self.tolerance = (burst - 1) * self.interval
        self.due = 0.0

    def take(self, now, wanted):
        due = min(max(self.due, now), now + 2 * self.tolerance + 60)
        free = int((now + self.tolerance - due) / self.interval + 1e-9) + 1 if due <= now + self.tolerance else 0
        taken = min(free, wanted)
        self.due = due + taken * self.interval
        return taken, max(0.0, self.due - self.tolerance - now)


def beats(users, replicas):
    """Beats and bytes of the event slot in an ordinary second and in the worst, and how long a sign-out takes to the last
    replica, ordinarily and over the failover."""
    told, now = [], 0.0
    while now < SPAN:
        now += random.expovariate(users / SIGN_OUT_EVERY)
        # What cannot be told is told again until it is done.
        told.append(FAILOVER + OUTAGE if is_away(now) else now)
    told.sort()
    every, a_second, bytes_a_second, slowest, slowest_away = beat_every(replicas), Counter(), Counter(), 0.0, 0.0
    queue = [(random.random() * every, replica, 0) for replica in range(replicas)]
    heapq.heapify(queue)
    while queue and queue[0][0] < SPAN:
        now, replica, seen = heapq.heappop(queue)
        a_second[int(now)] += 1
        wait = every * random.uniform(0.8, 1.2)
        if not is_away(now):
            number = bisect.bisect_right(told, now)
            brought = min(number - seen, EVENTS_A_BEAT)
            if brought:
                late = now - told[seen]
                if FAILOVER <= now < FAILOVER + OUTAGE + 2:
                    slowest_away = max(slowest_away, late + OUTAGE * (told[seen] >= FAILOVER))
                else:
                    slowest = max(slowest, late)
            bytes_a_second[int(now)] += 60 + EVENT * brought
            seen += brought
            wait = 0.001 if brought == EVENTS_A_BEAT else wait
        heapq.heappush(queue, (now + wait, replica, seen))
    ordinary = [int(sum(count[n] for n in range(60, 120)) / 60) for count in (a_second, bytes_a_second)]
    return *ordinary, max(a_second.values()), max(bytes_a_second.values()), slowest, slowest_away


def budget(users, replicas, providers):
    """Questions a second at most, the most calls in a minute against the rate, and the part of the rate that a crowd used."""
    mints = users / SESSION / providers
    # Two calls a mint; the rate leaves a quarter more room than that.
    count = max(replicas, int(mints * 2 * 60 * 1.25))
    pace = Pace(count, 60.01, max(1, -(-count // 20)))
    share = lambda: Pace(max(1, count // replicas), 60.01, max(1, -(-count // 20) // replicas))
    shares, waiting, next_ask = [share() for _ in range(replicas)], [0] * replicas, [0.0] * replicas
    queue, asked, passed, number = [], Counter(), [], 0

    def push(at, what, replica):
        nonlocal number
        number += 1
        heapq.heappush(queue, (at, number, what, replica))

    # From two minutes before the failover to the end, calls come half as often again as the rate allows.
    crowd = (120.0, SPAN)
    now, pending = 0.0, [False] * replicas
    push(0.0, "come", 0)
    while queue and queue[0][0] < SPAN:
        now, _, what, replica = heapq.heappop(queue)
        if what == "come":
            pressure = count / 60 * (1.5 if crowd[0] <= now < crowd[1] else 0.8)
            push(now + random.expovariate(pressure), "come", 0)
            replica = random.randrange(replicas)
            if waiting[replica] >= 64:
                continue
            waiting[replica] += 1
            if pending[replica]:
                continue
            pending[replica] = True
            push(max(now, next_ask[replica]), "ask", replica)
            continue
        pending[replica] = False
        own, by_share = shares[replica], FAILOVER <= now < FAILOVER + OUTAGE + 60 + APART
        if by_share and own.due > now + own.tolerance:
            pending[replica] = True
            push(own.due - own.tolerance, "ask", replica)
            continue
        wanted = 1 if by_share else min(waiting[replica], BATCH)
        wait = 0.0
        if is_away(now):
            taken, pace.due = 1, 0.0
        else:
            asked[int(now)] += 1
            taken, wait = pace.take(now, wanted)
        for _ in range(taken):
            own.due = min(max(own.due, now) + own.interval, now + own.tolerance + own.interval)
        passed += [now] * taken
        waiting[replica] -= taken
        if wait:
            next_ask[replica] = now + wait + 0.001 + random.random() * replicas / 1000
        if waiting[replica]:
            pending[replica] = True
            push(max(now, next_ask[replica]), "ask", replica)
    most, begin = 0, 0
    for end, at in enumerate(passed):
        while passed[begin] <= at - 60:
            begin += 1
        most = max(most, end - begin + 1)
    used = lambda begin, end: sum(begin <= at < end for at in passed) / (count * (end - begin) / 60)
    by_share = (FAILOVER, FAILOVER + OUTAGE + 60 + APART)
    return max(asked.values()), most / count, used(125, FAILOVER), used(*by_share), used(by_share[1], SPAN)


def sessions(users, replicas):
    """Questions and mints a second, the rolling update included, scaled from a sample."""
    asks, mints, begin = 0, 0, 2 * SESSION
    for _ in range(SAMPLE):
        times = sorted(random.random() * 3 * SESSION for _ in range(3 * REQUESTS))
        ends, known = 0.0, {}
        for at in times:
            replica = random.randrange(replicas)
            counts = at >= begin
            # Each replica is replaced once, in turn; what it knew is gone.
            replaced = begin + ROLLING[0] + (ROLLING[1] - ROLLING[0]) * replica / replicas
            if at >= ends:
                ends, known = at + SESSION, {replica: at}
                asks += 2 * counts  # enter, land
                mints += counts
            elif replica not in known or known[replica] < replaced <= at:
                asks += counts  # enter: a hit
                known[replica] = at
    scale = users / SAMPLE / SESSION
    return asks * scale, mints * scale

def main():
    random.seed(15)
    table = {}
    for users, replicas, providers in FLEETS:
        print(f"{users} users", file=sys.stderr)
        often, read, most_often, most_read, slowest, slowest_away = beats(users, replicas)
        questions, most, used, by_share, after = budget(users, replicas, providers)
        asks, mints = sessions(users, replicas)
        memory = users * (VALUE + UPSERT) + users * MARK * (SESSION + 60) / SIGN_OUT_EVERY
        operations = often + asks + 2 * mints
        nodes = max(1, -(-int(operations) // OPERATIONS_A_NODE), -(-int(memory) // BYTES_A_NODE))
        table[f"{users:,} users"] = {
            "replicas": f"{replicas:,}",
            "providers": f"{providers}",
            "memory of the tier": f"{memory / 1e6:,.0f} MB",
            "questions a second, all": f"{operations:,.0f}",
            "mints a second": f"{mints:,.0f}",
            "nodes": f"{nodes}",
            "event slot: beats a second": f"{often:,}",
            "event slot: the worst second, after the failover": f"{most_often:,}",
            "event slot: read a second": f"{read / 1e3:,.0f} KB",
            "event slot: read in the worst second": f"{most_read / 1e3:,.0f} KB",
            "a sign-out reaches the last replica": f"{slowest:.2f} s",
            "the same, over the failover": f"{slowest_away:.2f} s",
            "one provider's slot: questions in the worst second": f"{questions:,}",
            "calls in any minute, of the rate": f"{most:.2f}",
            "of the rate, used by a crowd": f"{used:.2f}",
            "the same by shares, after the failover": f"{by_share:.2f}",
            "the same, a minute later": f"{after:.2f}",
        }
    print("| | " + " | ".join(table) + " |")
    print("|---|" + "---|" * len(table))
    for row in next(iter(table.values())):
        print(f"| {row} | " + " | ".join(column[row] for column in table.values()) + " |")


if __name__ == "__main__":
    main()
