# SPDX-License-Identifier: Apache-2.0
"""The mail in a relay's database, as the table that people think of: an envelope a row.

    with sqlite3.connect(...) as db:
        mail.load(db)          # TEMP TABLE envelope (box, seq, id, day, request, bytes)
        ...
        mail.save(db)          # what the table holds now is what waits
"""
import struct

PLACE = struct.Struct(">QQ16sIIB")  # box, seq, id, length, day, request


def load(db):
    db.execute("CREATE TEMP TABLE envelope (box, seq, id, day, request, bytes,"
               " PRIMARY KEY (box, seq))")
    for places, data in db.execute("SELECT places, bytes FROM mail ORDER BY id").fetchall():
        at = 0
        for box, seq, id_, length, day, request in PLACE.iter_unpack(places):
            db.execute("INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?)",
                       (box, seq, id_, day, request, data[at:at + length]))
            at += length


def save(db):
    db.execute("DELETE FROM mail")
    for box, seq, id_, day, request, data in db.execute(
            "SELECT * FROM envelope ORDER BY box, seq").fetchall():
        db.execute("INSERT INTO mail (places, bytes) VALUES (?, ?)",
                   (PLACE.pack(box, seq, id_, len(data), day, request), data))
