"""What a journal says: which writes were acknowledged, and what the drill itself read of the stores."""
import json
import pathlib


class Ledger:
    """`allowed`: of each store and key, the states that it may show; None stands for absence."""

    def __init__(self, journal):
        self.phases, self.scenario, self.seen = {}, None, {}
        writes, self.allowed, self.acknowledged = {}, {}, 0
        for line in pathlib.Path(journal).read_bytes().split(b"\n")[:-1]:
            event = json.loads(line)
            kind, body = next(iter(event["kind"].items()))
            if kind == "began":
                self.scenario = body["scenario"]
            elif kind == "entered":
                self.phases[body] = event["at_us"]
            elif kind == "seeded":
                for key in range(body["count"]):
                    writes.setdefault((body["store"], key), []).append((0, 0, 0, "ok"))
            elif kind == "wrote":
                state = None if body.get("delete") else body["ver"]
                write = (state, body["sent_us"], body["done_us"], body["outcome"])
                writes.setdefault((body["store"], body["key"]), []).append(write)
            elif kind == "read_back":
                self.page(body)
        for (store, key), of_key in writes.items():
            acked = [w for w in of_key if w[3] == "ok"]
            newest = [w[0] for w in acked if not any(later[1] >= w[2] and later != w for later in acked)]
            perhaps = [w[0] for w in of_key if w[3] == "info"]
            self.allowed.setdefault(store, {})[key] = {*newest, *perhaps, *([] if acked else [None])}
            self.acknowledged += len(acked)

    def page(self, page):
        """Every reading of the drill, by what was read and when."""
        of = (page.get("store"), page["pass"], page.get("region"), page.get("attempt", 0))
        reading = self.seen.setdefault(of, {"keys": {}, "bad": set(), "complete": False})
        for first, last in page.get("seeded", []):
            reading["keys"].update((key, 0) for key in range(first, last + 1))
        reading["keys"].update(page.get("written", []))
        reading["bad"].update(page.get("corrupt", []) + page.get("duplicate", []))
        reading["complete"] |= page.get("end") == "complete"

    def wrong(self, store, keys):
        """Keys whose state is none that they may have."""
        allowed = self.allowed.get(store, {})
        lost = {key for key, states in allowed.items() if keys.get(key) not in states}
        return lost | {key for key in keys if key not in allowed} | {k for k, v in keys.items() if v is None}

    def listed(self, store):
        """Keys that the drill itself read as lost, corrupt, twice, or nobody's: the worst of its complete readings."""
        keys = set()
        for (of, *_), reading in self.seen.items():
            if of == store and reading["complete"]:
                shown = {k: v for k, v in reading["keys"].items() if k not in reading["bad"]}
                keys |= reading["bad"] | self.wrong(store, {**shown, **dict.fromkeys(reading["bad"])})
        return keys
