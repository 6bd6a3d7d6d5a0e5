#!/usr/bin/env python3
"""A small API over a SQLite file, as somebody might have one: notes, and a place for gameday's canaries.

usage: api.py FILE PORT.  GET /health, /notes, /canaries; PUT /notes/ID; PUT and DELETE /canaries/ID."""
import json, sqlite3, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Api(BaseHTTPRequestHandler):
    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # who asked has gone

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do(self):
        table, _, name = self.path.strip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        db = sqlite3.connect(sys.argv[1], timeout=5)
        try:
            with db:
                for known in ("notes", "canaries"):
                    db.execute(f"create table if not exists {known} (id text primary key, body text not null)")
                if table == "health":
                    db.execute("select count(*) from notes").fetchone()
                    return self.answer(200, json.dumps({"state": "well"}))
                if table not in ("notes", "canaries"):
                    return self.answer(404, "no such thing\n")
                if self.command == "PUT" and name:
                    db.execute(f"insert or replace into {table} values (?, ?)", (name, body))
                elif self.command == "DELETE" and table == "canaries":
                    db.execute("delete from canaries where id = ?", (name,))
                elif self.command == "GET" and not name:
                    rows = db.execute(f"select id, body from {table} order by id")
                    return self.answer(200, "".join(f"{row[0]} {row[1]}\n" for row in rows))
                else:
                    return self.answer(405, "not like this\n")
            self.answer(200, "")
        except sqlite3.Error as e:
            self.answer(500, f"{e}\n")
        finally:
            db.close()

    do_GET = do_PUT = do_DELETE = do

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Api).serve_forever()
