//! Configuration and commands of a server, as pure functions: whoever runs containers or processes runs these.
//!
//! ```text
//! {root}/data                        the cluster (PGDATA), all of it PostgreSQL's own
//! {root}/conf/postgresql.conf        what follows; outside PGDATA, since pg_rewind copies all that is inside
//! {root}/conf/pg_hba.conf
//! {root}/conf/passfile               how a standby logs on to its primary
//! {root}/archive                     finished segments of the log, where there is an archive
//! {root}/postgres.log
//! ```
//!
//! In a container the first process is [`entry`], which waits; servers are started and stopped inside it, so that
//! `pg_rewind` finds a stopped server in a running container.

use super::shell::Command;

/// The bootstrap superuser: operators, and intruders who know its password.
pub const OPERATOR: &str = "postgres";
/// The user of the feature store, owner of its tables and of the database of the same name.
pub const USER: &str = "gameday";
/// Who streams the log.
pub const REPLICATOR: &str = "replicator";
/// Every role of the server that was granted.
pub const ROLES: [&str; 3] = [OPERATOR, USER, REPLICATOR];
/// The database.
pub const DATABASE: &str = "gameday";

/// Where everything of one server is, inside its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The node's folder; it belongs to the user who runs the server.
    pub root: String,
    /// The folder of PostgreSQL's programs.
    pub bin: String,
    /// Addresses to listen on: `127.0.0.1`, or `*` inside a container.
    pub listen: String,
    /// The port.
    pub port: u16,
    /// From where clients come, as `pg_hba.conf` says it: `127.0.0.1/32`, or `samenet`.
    pub clients: String,
    /// Whether finished segments of the log are archived.
    pub archive: bool,
}

impl Layout {
    /// PGDATA.
    pub fn data(&self) -> String {
        format!("{}/data", self.root)
    }

    /// The archive of the log.
    pub fn archived(&self) -> String {
        format!("{}/archive", self.root)
    }

    /// A file of the configuration.
    pub fn conf(&self, file: &str) -> String {
        format!("{}/conf/{file}", self.root)
    }

    /// `postgresql.conf`.
    pub fn postgresql_conf(&self) -> String {
        let Self { listen, port, .. } = self;
        let archive = if self.archive {
            let to = format!("{}/%f", self.archived());
            // Never a segment that is only half there, never one in the place of another.
            format!(
                "archive_mode = always\narchive_command = 'cmp -s \"%p\" \"{to}\" || {{ test ! -f \"{to}\" \
                 && cp \"%p\" \"{to}.part\" && sync \"{to}.part\" && mv \"{to}.part\" \"{to}\"; }}'\n"
            )
        } else {
            String::new()
        };
        format!(
            "data_directory = '{}'\nhba_file = '{}'\nlisten_addresses = '{listen}'\nport = {port}\n\
             unix_socket_directories = ''\nmax_connections = 100\nshared_buffers = 32MB\n\
             dynamic_shared_memory_type = 'mmap'\n\
             password_encryption = 'scram-sha-256'\ntimezone = 'UTC'\nlc_messages = 'C'\n\
             # What is acknowledged is durable.\n\
             fsync = on\nsynchronous_commit = on\nfull_page_writes = on\n\
             # Standbys, and a way back for an old primary.\n\
             wal_level = replica\nwal_log_hints = on\nhot_standby = on\nmax_wal_senders = 10\n\
             max_replication_slots = 10\nmax_slot_wal_keep_size = 1GB\nwal_keep_size = 64MB\n\
             wal_receiver_status_interval = 1s\nwal_retrieve_retry_interval = 200ms\n\
             recovery_target_timeline = 'latest'\n{archive}",
            self.data(),
            self.conf("pg_hba.conf"),
        )
    }

    /// `pg_hba.conf`: passwords from everywhere, and nothing without.
    pub fn pg_hba_conf(&self) -> String {
        let Self { clients, .. } = self;
        format!(
            "# TYPE DATABASE    USER       ADDRESS METHOD\n\
             host   replication {REPLICATOR} {clients} scram-sha-256\n\
             host   all         all        {clients} scram-sha-256\n"
        )
    }

    /// Makes a new cluster, with checksums on every page. The superuser's password is in a file.
    pub fn initdb(&self, password_file: &str) -> Command {
        self.program("initdb").args([
            "--pgdata",
            &self.data(),
            "--data-checksums",
            "--username",
            OPERATOR,
            "--pwfile",
            password_file,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--wal-segsize=4",
            "--no-instructions",
            // Nobody was promised anything yet; the first checkpoint syncs what it writes.
            "--no-sync",
        ])
    }

    /// Copies a running primary. Fails if a page of it fails its checksum.
    pub fn basebackup(&self, primary: &Conninfo, slot: Option<&str>, to: &str) -> Command {
        let command = self.program("pg_basebackup").args([
            "--pgdata",
            to,
            "--dbname",
            &primary.text(),
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-password",
        ]);
        match slot {
            Some(slot) => command.args(["--create-slot", "--slot", slot]),
            None => command,
        }
    }

    /// Starts the server and waits until it answers, or says that it is up for recovery.
    pub fn start(&self) -> Command {
        let options = format!("-c config_file={}", self.conf("postgresql.conf"));
        let log = format!("{}/postgres.log", self.root);
        self.pg_ctl("start").args(["--log", &log, "--options", &options, "--wait", "--timeout=60"])
    }

    /// Stops it: `fast` with a checkpoint, `immediate` as if the power failed.
    pub fn stop(&self, mode: &str) -> Command {
        self.pg_ctl("stop").args(["--mode", mode, "--wait", "--timeout=60"])
    }

    /// Whether it runs: code 0 if so, 3 if not.
    pub fn status(&self) -> Command {
        self.pg_ctl("status")
    }

    /// Takes an old primary back to where the new one left it. The old one is stopped.
    pub fn rewind(&self, source: &Conninfo) -> Command {
        self.program("pg_rewind").args(["--target-pgdata", &self.data(), "--source-server", &source.text()])
    }

    /// Checks every page on disk. The server is stopped. Code 1 if pages are bad.
    pub fn checksums(&self) -> Command {
        self.program("pg_checksums").args(["--check", "--pgdata", &self.data()])
    }

    fn pg_ctl(&self, verb: &str) -> Command {
        self.program("pg_ctl").args([verb, "--pgdata", &self.data(), "--silent"])
    }

    fn program(&self, name: &str) -> Command {
        Command::new(format!("{}/{name}", self.bin))
    }
}

/// How a server is reached by another, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conninfo {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// The database; none, to stream the log.
    pub database: Option<String>,
    /// The name under which a synchronous standby is known.
    pub name: String,
    /// The file with the password.
    pub passfile: String,
}

impl Conninfo {
    /// As libpq reads it.
    pub fn text(&self) -> String {
        let Self { host, port, user, name, passfile, .. } = self;
        let database = self.database.as_ref().map_or_else(String::new, |name| format!(" dbname={name}"));
        format!(
            "host={host} port={port} user={user}{database} application_name={name} passfile='{passfile}' \
             connect_timeout=5 keepalives_idle=5 sslmode=disable"
        )
    }
}

/// What makes a copy of a primary its standby; appended to `postgresql.auto.conf`, beside an empty `standby.signal`.
pub fn standby_conf(primary: &Conninfo, slot: &str) -> String {
    // A primary's own waiting for standbys came with the copy, and would be this one's after a promotion.
    format!(
        "primary_conninfo = '{}'\nprimary_slot_name = '{slot}'\nsynchronous_standby_names = ''\n",
        primary.text().replace('\'', "''")
    )
}

/// What makes a copy of a cluster end at a restore point; appended to `postgresql.auto.conf`, beside an empty
/// `recovery.signal`.
pub fn recovery_conf(archive: &str, point: &str) -> String {
    format!(
        "restore_command = 'cp \"{archive}/%f\" \"%p\"'\nrecovery_target_name = '{point}'\n\
         recovery_target_action = 'promote'\nprimary_conninfo = ''\nprimary_slot_name = ''\n\
         synchronous_standby_names = ''\n"
    )
}

/// The file with the passwords by which a node logs on to any other.
pub fn passfile(operator: &str, replicator: &str) -> String {
    let escaped = |password: &str| password.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:{OPERATOR}:{}\n*:*:*:{REPLICATOR}:{}\n", escaped(operator), escaped(replicator))
}

/// The first process of a container: gives the folder to the server's user and waits, until it is told to end; then it
/// stops the server, if one runs.
pub fn entry(layout: &Layout) -> Vec<String> {
    let Layout { root, bin, .. } = layout;
    let data = layout.data();
    let script = format!(
        "mkdir -p {root} && chown {OPERATOR}: {root} && chmod 700 {root}\n\
         trap 'test -f {data}/postmaster.pid && setpriv --reuid={OPERATOR} --regid={OPERATOR} --init-groups \
         {bin}/pg_ctl stop --pgdata {data} --mode fast --silent; exit 0' TERM INT\n\
         while :; do sleep 3600 & wait $!; done\n"
    );
    vec!["/bin/sh".into(), "-c".into(), script]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            root: "/var/lib/gameday".into(),
            bin: "/usr/lib/postgresql/15/bin".into(),
            listen: "*".into(),
            port: 5432,
            clients: "samenet".into(),
            archive: true,
        }
    }

    fn primary() -> Conninfo {
        Conninfo {
            host: "east-feature".into(),
            port: 5432,
            user: REPLICATOR.into(),
            database: None,
            name: "west_feature".into(),
            passfile: layout().conf("passfile"),
        }
    }

    #[test]
    fn configuration_is_golden() {
        let found = format!(
            "== postgresql.conf\n{}== pg_hba.conf\n{}== a standby's postgresql.auto.conf\n{}\
             == a recovery's postgresql.auto.conf\n{}== passfile\n{}== entry\n{}",
            layout().postgresql_conf(),
            layout().pg_hba_conf(),
            standby_conf(&primary(), "west_feature"),
            recovery_conf("/var/lib/gameday/archive", "before_poison"),
            passfile("se:cret", "back\\slash"),
            entry(&layout()).join("\n"),
        );
        assert_golden(include_str!("tests/settings.golden"), &found);
    }

    #[test]
    fn commands_are_golden() {
        let layout = layout();
        let commands = [
            layout.initdb("/var/lib/gameday/conf/pw"),
            layout.basebackup(&primary(), Some("west_feature"), &layout.data()),
            layout.basebackup(&primary(), None, "/var/lib/gameday/base"),
            layout.start(),
            layout.stop("fast"),
            layout.status(),
            layout.rewind(&Conninfo { user: OPERATOR.into(), database: Some(DATABASE.into()), ..primary() }),
            layout.checksums(),
        ];
        let found: String = commands.iter().map(|command| format!("{command}\n")).collect();
        assert_golden(include_str!("tests/commands.golden"), &found);
    }

    fn assert_golden(golden: &str, found: &str) {
        assert!(golden == found, "it is now:\n{found}");
    }
}
