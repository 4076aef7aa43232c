#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The load generator against the real relay: a little of each workload, and nothing is lost, comes
twice or comes in a wrong order. What the figures are is of no interest here."""
# sanitizers: address
import contextlib
import importlib.util
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402

SCRIPT = os.path.join(sottolab.SOURCE, "bench", "bench_relay.py")
LITTLE = {"RUNS": 1, "PIN": 0, "SECS": 0.3, "SECS2": 0.5, "WARM": 0.1, "SETTLE": 0.2, "TRIES": 1,
          "PAIRS": 4, "RATE": 200, "COUNT": 300, "LOGINS": 40, "IDLE": 30, "KILLS": 2,
          "KILL_AFTER": "40-200", "BIG_BOXES": 20, "BIG_MESSAGES": 300}


def module():
    spec = importlib.util.spec_from_file_location("bench_relay", SCRIPT)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def figures(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def bench(lab, work):
    """What ours came to in each part, as text by name."""
    out = lab.path("lines")
    env = {name: str(value) for name, value in LITTLE.items()}
    env.update(SOTTO_BUILD=sottolab.BUILD, WORKS=work, OUT=out, PEERS="", SOTTOD_ARGS="")
    result = lab.run([SCRIPT], env=env)
    assert result.code == 0, result
    with open(out, encoding="utf-8") as f:
        lines = [figures(line) for line in f]
    ours = [line for line in lines if line["peer"] == "sotto"]
    assert ours, result
    for line in ours:
        for name in ("lost", "lost_acked", "dup", "ooo", "nack", "stale", "requests", "closed"):
            assert line.get(name, "0") == "0", (name, line)
    return ours


def check_live(lab):
    """W1: pairs that are online lose nothing"""
    [line] = bench(lab, "W1")
    assert line["work"] == "w1" and int(line["slices"]) == 1, line


def check_timetable(lab):
    """W2: messages on a timetable arrive"""
    [line] = bench(lab, "W2")
    assert float(line["p50_ms"]) > 0, line


def check_stored(lab):
    """W3: what is stored for a receiver that is away comes once, in the order of each sender"""
    for line in bench(lab, "W3"):
        assert line["acked"] == line["got"] == line["count"] == "300", line


def check_idle(lab):
    """W4: connections that do nothing stay"""
    [line] = bench(lab, "W4")
    assert line["ready"] == "30" and line["ok"] == "1", line


def check_sign_in(lab):
    """W5: every sign-in succeeds"""
    [line] = bench(lab, "W5")
    assert line["ok"] == line["conns"] == "40", line


def check_killed(lab):
    """W6: a relay that is killed while it stores keeps what it acknowledged"""
    rounds = bench(lab, "W6")
    assert len(rounds) == 2, rounds
    for line in rounds:
        assert int(line["acked"]) >= 40 and int(line["got"]) >= int(line["acked"]), line


def check_full(lab):
    """W1big: the same beside mailboxes that hold something"""
    stock, live = bench(lab, "W1big")
    assert stock["work"] == "stock" and stock["acked"] == "300", stock
    assert live["work"] == "w1" and float(live["start_ms"]) > 0, live


def check_people(lab):
    """make bench-people: an hour of few people"""
    out = lab.path("lines")
    result = lab.run([os.path.join(sottolab.SOURCE, "bench", "bench_people.py")], env={
        "SOTTO_BUILD": sottolab.BUILD, "PEOPLE": "12", "SECONDS": "3", "OUT": out})
    assert result.code == 0, result
    with open(out, encoding="utf-8") as f:
        stock, day = (figures(line) for line in f)
    assert stock["acked"] == "160" and stock["nack"] == "0", stock  # 20 for each of 8
    assert day["online"] == "4" and day["nack"] == day["requests"] == "0", day
    assert float(day["srv_cpu_ms"]) > 0 and int(day["rss_kb"]) > 0, day


def check_loss_is_told():
    """A run that lost something fails, whatever else it came to"""
    with contextlib.redirect_stdout(io.StringIO()):
        for figure in ("lost=1", "lost_acked=1", "dup=2", "ooo=3", "nack=1"):
            results = module().Results()
            results.add("W6", "sotto", "work=w6 peer=sotto acked=5 lost_acked=0")
            assert results.wrong == [], results.wrong
            results.add("W6", "sotto", f"work=w6 peer=sotto acked=5 {figure}")
            assert len(results.wrong) == 1, (figure, results.wrong)


if __name__ == "__main__":
    sottolab.main([check_live, check_timetable, check_stored, check_idle, check_sign_in,
                   check_killed, check_full, check_people, check_loss_is_told])
