"""The hand in world `docker`: it strikes inside the products' containers, with their own tools, as an intruder would.

PostgreSQL lets nobody in without a password, so whoever owns the disk writes a line into `pg_hba.conf`, strikes, and
takes the line out again. MinIO's key is in the environment of its container. What the products hold is read the same
way, past gameday.
"""
import io
import random
import subprocess
import tarfile

import files

LOADED = 1 << 40
SQL = r"""set -eu
root=/var/lib/postgresql/data; hba=$root/conf/pg_hba.conf; pid=$(head -n 1 $root/data/postmaster.pid)
cp $hba /tmp/hba; { echo 'host all postgres 127.0.0.1/32 trust'; cat /tmp/hba; } >$hba; kill -HUP $pid
trap 'cat /tmp/hba >$hba; kill -HUP $pid' EXIT
for _ in 1 2 3 4 5 6 7 8 9; do psql -qAtX -h 127.0.0.1 -U postgres -c 'SELECT 1' gameday >/dev/null 2>&1 && break; sleep 0.1; done
psql -qAtX -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres gameday
"""
MC = r"""set -eu
export HOME=/tmp MC_CONFIG_DIR=/tmp/hand MC_HOST_me="http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@127.0.0.1:9000"
mkdir -p /tmp/hand; """


def run(container, script, said=b"", *args):
    call = ["docker", "exec", "-i", "-u", "root", container, "sh", "-c", script, "sh", *args]
    return subprocess.run(call, input=said, stdout=subprocess.PIPE, check=True, timeout=60).stdout


def container(run_id, role):
    """The container that plays a role in a run."""
    call = ["docker", "ps", "--filter", f"label=gameday.run={run_id}", "--format", "{{.Names}}"]
    names = subprocess.run(call, stdout=subprocess.PIPE, check=True, text=True, timeout=60).stdout.split()
    return next(name for name in names if name.endswith(f"east-{role}"))


class Inside:
    """One drill's hand; see `strike.Hand`."""

    def __init__(self, run_id, corpus, seed):
        self.run_id, self.corpus, self.chance = run_id, corpus, random.Random(seed)
        self.taken, self.ledger = set(), None

    def remember(self):
        pass

    def sql(self, text):
        return run(container(self.run_id, "feature"), SQL, text.encode()).decode()

    def mc(self, script, said=b"", *args):
        return run(container(self.run_id, "object"), MC + script, said, *args)

    def key(self, store, below=LOADED * 2):
        allowed = self.ledger.allowed[store].items()
        keys = sorted(k for k, s in allowed if len(s) == 1 and None not in s and k < below and (store, k) not in self.taken)
        if store == "feature":
            keys = [k for k in keys if k < self.corpus.entities or k >= LOADED]
        key = self.chance.choice(keys)
        self.taken.add((store, key))
        return key

    def row_value(self):
        key = self.key("feature")
        self.sql(f"UPDATE entity_rows SET f3 = f3 * (1 + 2.3e-16::float8) WHERE entity_key = {key};")
        return key

    def row_null(self):
        key = self.key("feature")
        self.sql(f"UPDATE entity_rows SET f5 = NULL WHERE entity_key = {key};")
        return key

    def row_removed(self):
        key = self.key("feature")
        self.sql(f"DELETE FROM entity_rows WHERE entity_key = {key};")
        return key

    def row_added(self):
        key = LOADED * 2 + self.chance.randrange(1 << 30)
        self.sql(f"INSERT INTO entity_rows VALUES ({key}, 9, 0, now(), 1, 2, 3, 4, 5, 6, 7, 8, '\\x00');")
        return key

    def made(self, statement):
        name = f"stranger_{self.chance.randrange(1 << 30)}"
        self.sql(statement.format(name))
        return name

    def role_added(self):
        return self.made("CREATE ROLE {0} LOGIN; GRANT pg_execute_server_program TO {0};")

    def view_added(self):
        return self.made("CREATE VIEW {0} AS SELECT entity_key, 0.0 AS f0 FROM entity_rows;")

    def trigger_added(self):
        return self.made("""CREATE FUNCTION {0}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            'BEGIN RETURN NEW; END'; CREATE TRIGGER {0} BEFORE UPDATE ON entity_rows FOR EACH ROW EXECUTE FUNCTION {0}();""")

    def put(self, name, body):
        self.mc('mc -q pipe "me/gameday/$1" >/dev/null', body, name)

    def object_replaced(self):
        key = self.key("object")
        self.put(f"{key:020}", self.corpus.object(key + 1, 0))
        return key

    def object_cut(self):
        key = self.key("object")
        self.put(f"{key:020}", self.corpus.object(key, 0)[:self.chance.randrange(self.corpus.size)])
        return key

    def object_removed(self):
        key = self.key("object")
        self.mc('mc -q rm "me/gameday/$1" >/dev/null', b"", f"{key:020}")
        return key

    def object_added(self):
        key = LOADED * 2 + self.chance.randrange(1 << 30)
        self.put(f"{key:020}", self.corpus.object(key, 7))
        return key

    def object_foreign(self):
        name = f"x/stranger-{self.chance.randrange(1 << 30)}.bin"
        self.put(name, b"hello")
        return name

    def bucket_added(self):
        name = f"stranger-{self.chance.randrange(1 << 30)}"
        self.mc('mc -q mb "me/$1" >/dev/null', b"", name)
        return name

    def read(self, store):
        return self.rows() if store == "feature" else self.objects()

    def rows(self):
        held = files.Held()
        for line in self.sql("SELECT entity_key, ver, event_us, f0, f1, f2, f3, f4, f5, f6, f7 FROM entity_rows;").split():
            key, ver, event, *values = line.split("|")
            key, ver, right = int(key), int(ver), None
            if any(values):
                right = (int(event), tuple(float(v) if v else None for v in values)) == self.corpus.features(key, ver)
                held.keys[key] = ver if right else None
        # Of the catalogue nothing is struck here.
        count = len(self.corpus.catalogue)
        held.keys.update((key, 0) for key in range(self.corpus.entities, self.corpus.entities + count))
        names = "SELECT rolname FROM pg_roles UNION SELECT relname FROM pg_class UNION SELECT proname FROM pg_proc;"
        held.strangers = {name for name in self.sql(names).split() if name.startswith("stranger")}
        return held

    def objects(self):
        held = files.Held()
        copy = self.mc("rm -rf /tmp/hand/copy; mc -q mirror me/gameday /tmp/hand/copy >/dev/null; tar -C /tmp/hand/copy -c .")
        with tarfile.open(fileobj=io.BytesIO(copy)) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                name = member.name.removeprefix("./")
                files.object_into(held, name, archive.extractfile(member).read(), self.corpus)
        listed = self.mc("mc ls --json me").decode()
        held.strangers |= {w.strip('/"') for w in listed.replace(",", "\n").replace(":", "\n").split("\n") if '"stranger' in w}
        return held


KEYS = {
    "object": ["object_replaced", "object_cut", "object_removed", "object_added"],
    "feature": ["row_value", "row_null", "row_removed", "row_added"],
}
STRANGERS = {
    "object": ["object_foreign", "bucket_added"],
    "feature": ["role_added", "view_added", "trigger_added"],
}
