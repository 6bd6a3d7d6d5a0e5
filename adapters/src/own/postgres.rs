//! A PostgreSQL that somebody else runs.
//!
//! A connection for each question, so that none is answered by what was open before a restart. Witnesses are read by `COPY ..
//! TO STDOUT` in a transaction that is READ ONLY and REPEATABLE READ, with limits on statements and locks, in a session whose
//! forms of numbers and times do not depend on the server's settings.

mod login;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::StreamExt as _;
use harness::own::event::{Planted, Sum};
use harness::own::stack::Witness;
use harness::time::wall_millis;
use tokio::time::timeout;

use super::by_command::{Reader, read_by_command};
use super::place::{Listed, OF_RUN, Place, Record, Sited, Unread, digest};
use super::sum::Summer;
use login::{Login, Session, unread, within};

/// How long connecting, or a question of ours, may take.
const LIMIT: Duration = Duration::from_secs(15);
/// What the comment of our table begins with: a table without it is somebody else's.
const MARKER: &str = "canaries of gameday";
/// The advisory lock that a drill holds on its source: the bytes of "gameday".
const LOCK: i64 = 0x0067_616d_6564_6179;
/// What the names of our tables in a scratch place begin with.
const TABLE: &str = "gameday_marker_";

/// A database and its role.
#[derive(Debug)]
pub struct PostgresPlace {
    login: Login,
    /// The role that may write canaries.
    writer: Login,
    table: Option<String>,
    scratch: bool,
    reader: Reader,
}

impl PostgresPlace {
    /// A place of product `postgres`.
    ///
    /// # Errors
    /// If its connection string cannot be one.
    pub fn new(sited: &Sited<'_>) -> Result<Self, String> {
        let c = sited.component;
        let ca = c.ca_file.as_ref().map(|f| sited.dir.join(f));
        let login = |name: &str| {
            let dsn = sited.secrets.get(name).ok_or_else(|| format!("{name} is not set"))?;
            Login::new(dsn, ca.as_deref()).map_err(|why| format!("{name}: {}", sited.secrets.hide(&why)))
        };
        let name = c.dsn_env.as_deref().unwrap_or_default();
        let own = login(name)?;
        let writer = match sited.canary.and_then(|c| c.dsn_env.as_deref()).filter(|_| !sited.scratch) {
            Some(name) => login(name)?,
            None => own.clone(),
        };
        let told = vec![("GAMEDAY_DSN".to_owned(), sited.secrets.get(name).unwrap_or_default().to_owned())];
        Ok(PostgresPlace {
            login: own,
            writer,
            table: sited.canary.and_then(|c| c.table.clone()),
            scratch: sited.scratch,
            reader: Reader::new(sited, told),
        })
    }

    /// The first value of the first row of a query, as text; `None` if there is no row.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn first_value(&self, query: &str) -> Result<Option<String>, Unread> {
        let s = self.login.connect().await?;
        within(LIMIT, s.client.batch_execute("begin read only")).await?;
        within(LIMIT, s.client.prepare(query)).await?;
        let copy = format!("copy (\n{query}\n) to stdout");
        let mut rows = std::pin::pin!(within(LIMIT, s.client.copy_out(&copy)).await?);
        let Some(first) = rows.next().await.transpose().map_err(|e| unread(&e))? else { return Ok(None) };
        let first = String::from_utf8_lossy(&first);
        Ok(first.split(['\t', '\n']).next().map(str::to_owned))
    }

    fn table(&self) -> Result<&str, Unread> {
        self.table.as_deref().ok_or_else(|| Unread::Failed("no canary table is named for it".into()))
    }

    /// Makes the table of canaries where there is none; refuses one that is not ours.
    async fn canary_table(&self) -> Result<(Session, &str), Unread> {
        let table = self.table()?;
        let s = self.writer.connect().await?;
        if !is_there(&s, table).await? {
            let make = format!(
                "create table {table} (id text primary key, planted_us bigint not null, \
                 stored timestamptz not null default clock_timestamp(), value text not null); \
                 comment on table {table} is '{MARKER}: see `gameday canary --help`'"
            );
            within(LIMIT, s.client.batch_execute(&make)).await?;
        }
        self.is_ours(&s, table).await?;
        Ok((s, table))
    }

    async fn is_ours(&self, s: &Session, table: &str) -> Result<(), Unread> {
        let ask = "select coalesce(obj_description(to_regclass($1), 'pg_class'), '')";
        let row = within(LIMIT, s.client.query_one(ask, &[&table])).await?;
        if row.get::<_, String>(0).starts_with(MARKER) {
            return Ok(());
        }
        Err(Unread::Failed(format!(
            "a table `{table}` is there that gameday has not made: name another one in [canary]"
        )))
    }

    /// Lines of a query, as one figure.
    /// `path` is where names are looked for; that of the role if none is given.
    async fn copy(&self, query: &str, limit: Duration, path: Option<&str>) -> Result<Sum, Unread> {
        let s = self.login.connect().await?;
        let ms = limit.as_millis();
        let setup = format!(
            "set session characteristics as transaction read only; set statement_timeout = {ms}; \
             set lock_timeout = 5000; set idle_in_transaction_session_timeout = {ms}; \
             set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
             set extra_float_digits = 3; set bytea_output = 'hex'; set client_encoding = 'UTF8'; set lc_monetary = 'C'; \
             begin isolation level repeatable read read only"
        );
        within(LIMIT, s.client.batch_execute(&setup)).await?;
        if let Some(path) = path {
            within(LIMIT, s.client.batch_execute(&format!("set local search_path = {path}"))).await?;
        }
        // By itself it must be one query: in brackets it could be the end of one, and more.
        within(LIMIT, s.client.prepare(query)).await?;
        let read = async {
            let mut summer = Summer::default();
            let rows =
                s.client.copy_out(&format!("copy (\n{query}\n) to stdout")).await.map_err(|e| unread(&e))?;
            let mut rows = std::pin::pin!(rows);
            while let Some(piece) = rows.next().await {
                summer.feed(&piece.map_err(|e| unread(&e))?).map_err(Unread::Failed)?;
            }
            Ok(summer.end())
        };
        match timeout(limit, read).await {
            Ok(sum) => sum,
            Err(_) => Err(Unread::Failed(format!("not read within {limit:?}"))),
        }
    }
}

async fn is_there(s: &Session, table: &str) -> Result<bool, Unread> {
    let row = within(LIMIT, s.client.query_one("select to_regclass($1) is not null", &[&table])).await?;
    Ok(row.get(0))
}

/// The schemas that hold a table of this name, as they are written in a query.
async fn in_schemas(s: &Session, name: &str) -> Result<Vec<String>, Unread> {
    let ask = "select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relname = $1 and c.relkind in ('r', 'p') and n.nspname not like 'pg\\_%'";
    let rows = within(LIMIT, s.client.query(ask, &[&name])).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The store's clock less ours, at its nearest: half of the time that asking took may be wrong.
async fn clock_ahead_us(s: &Session) -> Result<i64, Unread> {
    let ask = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let before = unix_us();
    let row = within(LIMIT, s.client.query_one(ask, &[])).await?;
    let middle = before + (unix_us() - before) / 2;
    Ok(row.get::<_, i64>(0) - middle)
}

/// Tables and views of users: neither the system's, nor an extension's, nor ours.
const THINGS: &str = "from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
     and c.relname not like 'gameday\\_%' \
     and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')";

/// What a database consists of: relations with their columns, constraints, indexes, functions, triggers, policies, rights.
const INVENTORY: &str = "select 'relation', n.nspname, c.relname, c.relkind::text, \
       coalesce((select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull, ', ' \
         order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), ''), \
       coalesce(c.relacl::text, ''), pg_get_userbyid(c.relowner)::text \
     from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and c.relname not like 'gameday\\_%' \
   union all select 'constraint', n.nspname, k.conname, k.conrelid::regclass::text, pg_get_constraintdef(k.oid), '', '' \
     from pg_constraint k join pg_namespace n on n.oid = k.connamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and k.conname not like 'gameday\\_%' \
   union all select 'index', i.schemaname, i.indexname, i.tablename, i.indexdef, '', '' from pg_indexes i \
     where i.schemaname not like 'pg\\_%' and i.tablename not like 'gameday\\_%' \
   union all select 'function', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), md5(p.prosrc), \
       coalesce(p.proacl::text, ''), pg_get_userbyid(p.proowner)::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
   union all select 'trigger', '', t.tgname, t.tgrelid::regclass::text, pg_get_triggerdef(t.oid), '', '' \
     from pg_trigger t where not t.tgisinternal \
   union all select 'policy', '', y.polname, y.polrelid::regclass::text, \
       coalesce(pg_get_expr(y.polqual, y.polrelid), '') || ' / ' || coalesce(pg_get_expr(y.polwithcheck, y.polrelid), ''), '', '' \
     from pg_policy y \
   union all select 'extension', '', e.extname, e.extversion, '', '', '' from pg_extension e";

#[async_trait]
impl Place for PostgresPlace {
    async fn identify(&self) -> Result<BTreeMap<String, String>, Unread> {
        let s = self.login.connect().await?;
        let ask = "select current_setting('server_version'), current_database()::text, \
             (select oid::text from pg_database where datname = current_database()), \
             to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), \
             pg_is_in_recovery()::text";
        let row = within(LIMIT, s.client.query_one(ask, &[])).await?;
        let names = ["version", "database", "database_oid", "started", "in_recovery"];
        let mut facts: BTreeMap<String, String> =
            names.iter().enumerate().map(|(i, name)| ((*name).to_owned(), row.get::<_, String>(i))).collect();
        // A role may be denied this one.
        let ask = "select system_identifier::text from pg_control_system()";
        if let Ok(row) = within(LIMIT, s.client.query_one(ask, &[])).await {
            facts.insert("system_identifier".into(), row.get(0));
        }
        let writes = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where c.relkind in ('r', 'p') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
             and c.relname not like 'gameday\\_%' \
             and has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')";
        let row = within(LIMIT, s.client.query_one(writes, &[])).await?;
        facts.insert("tables_that_this_role_may_write".into(), row.get::<_, i64>(0).to_string());
        let ask = "select (select count(subname) from pg_subscription), (select count(*) from pg_foreign_table), \
             (select count(*) from pg_class where relname like 'gameday\\_marker\\_%')";
        let row = within(LIMIT, s.client.query_one(ask, &[])).await?;
        for (i, name) in ["subscriptions", "foreign_tables", "markers"].into_iter().enumerate() {
            facts.insert(name.into(), row.get::<_, i64>(i).to_string());
        }
        facts.insert("clock_ahead_us".into(), clock_ahead_us(&s).await?.to_string());
        Ok(facts)
    }

    async fn holds(
        &self,
        _witnesses: &[(String, Witness)],
        _t0_unix_us: Option<u64>,
    ) -> Result<(u64, Vec<String>), Unread> {
        let s = self.login.connect().await?;
        let ask = format!(
            "select n.nspname || '.' || c.relname {THINGS} and c.relkind in ('r', 'p', 'm', 'v', 'S', 'f') order by 1"
        );
        let rows = within(LIMIT, s.client.query(&ask, &[])).await?;
        let mut names: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
        // Canaries of an earlier restore are no less in the way.
        if let Some(table) = &self.table
            && is_there(&s, table).await?
        {
            names.push(table.clone());
        }
        let large =
            within(LIMIT, s.client.query_one("select count(*) from pg_largeobject_metadata", &[])).await?;
        let large = large.get::<_, i64>(0).max(0).unsigned_abs();
        if large > 0 {
            names.push(format!("{large} large objects"));
        }
        let count = names.len() as u64 + large.saturating_sub(1);
        names.truncate(5);
        Ok((count, names))
    }

    async fn canaries(&self) -> Result<Listed, Unread> {
        let table = self.table()?;
        let s = self.login.connect().await?;
        let ahead = clock_ahead_us(&s).await?;
        if !is_there(&s, table).await? {
            // Not planted yet in the source; not come back in the scratch place.
            return if self.scratch {
                Err(Unread::Failed(format!("there is no table `{table}`")))
            } else {
                Ok(Listed::of(Vec::new(), Some(ahead)))
            };
        }
        let ask = format!(
            "select id, planted_us, (extract(epoch from stored) * 1000000)::bigint, value from {table} \
             order by planted_us desc limit 200000"
        );
        let rows = within(LIMIT * 2, s.client.query(&ask, &[])).await?;
        let planted = |row: &tokio_postgres::Row| {
            let at = |i: usize| row.get::<_, i64>(i).max(0).unsigned_abs();
            Planted {
                at_unix_us: at(1),
                store_unix_us: Some(at(2)),
                id: row.get(0),
                digest: digest(&row.get::<_, String>(3)),
            }
        };
        Ok(Listed::of(rows.iter().map(planted).collect(), Some(ahead)))
    }

    async fn witness(
        &self,
        w: &Witness,
        t0_unix_us: Option<u64>,
        _newer: &mut BTreeSet<String>,
    ) -> Result<Sum, Unread> {
        let Some(sql) = &w.sql else {
            return read_by_command(w, &self.reader, t0_unix_us).await;
        };
        let t0 = match t0_unix_us {
            Some(us) => {
                let at = UNIX_EPOCH + Duration::from_micros(us);
                format!("'{}'::timestamptz", wall_millis(at).map_err(|e| Unread::Failed(e.to_string()))?)
            }
            None => "now()".into(),
        };
        self.copy(&sql.replace("$T0", &t0), w.limit.std(), None).await
    }

    async fn inventory(&self) -> Result<Option<Sum>, Unread> {
        // With nothing on the path, every name is written with its schema, whoever asks.
        self.copy(INVENTORY, LIMIT * 4, Some("pg_catalog")).await.map(Some)
    }

    async fn mark(&self, id: &str) -> Result<(), Unread> {
        if self.scratch {
            let s = self.login.connect().await?;
            let make = format!("create table {TABLE}{id} (id text)");
            return within(LIMIT, s.client.batch_execute(&make)).await;
        }
        let record = Record {
            id: format!("{OF_RUN}{id}"),
            at_unix_us: unix_us().unsigned_abs(),
            value: id.to_owned(),
        };
        self.plant(&record).await
    }

    fn may_lag(&self) -> bool {
        true
    }

    async fn lock(&self) -> Result<Option<Box<dyn std::any::Any + Send + Sync>>, Unread> {
        let s = self.login.connect().await?;
        let ask = format!("select pg_try_advisory_lock({LOCK})");
        let row = within(LIMIT, s.client.query_one(&ask, &[])).await?;
        match row.get(0) {
            true => Ok(Some(Box::new(s))),
            false => Err(Unread::Failed("another drill is being played on it".into())),
        }
    }

    async fn marked(&self, id: &str) -> Result<bool, Unread> {
        let s = self.login.connect().await?;
        if !in_schemas(&s, &format!("{TABLE}{id}")).await?.is_empty() {
            return Ok(true);
        }
        let Some(table) = &self.table else { return Ok(false) };
        // Whatever the path of this role: the table is looked for everywhere.
        for schema in in_schemas(&s, table.rsplit('.').next().unwrap_or(table)).await? {
            let name = table.rsplit('.').next().unwrap_or(table);
            let ask = format!("select exists (select from {schema}.{name} where id = $1)");
            let row = within(LIMIT, s.client.query_one(&ask, &[&format!("{OF_RUN}{id}")])).await?;
            if row.get(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn unmark(&self, id: &str) -> Result<(), Unread> {
        if self.scratch {
            let s = self.login.connect().await?;
            return within(LIMIT, s.client.batch_execute(&format!("drop table if exists {TABLE}{id}"))).await;
        }
        let s = self.writer.connect().await?;
        let table = self.table()?;
        if !is_there(&s, table).await? {
            return Ok(());
        }
        self.is_ours(&s, table).await?;
        let remove = format!("delete from {table} where id = $1");
        within(LIMIT, s.client.execute(&remove, &[&format!("{OF_RUN}{id}")])).await.map(drop)
    }

    async fn plant(&self, record: &Record) -> Result<(), Unread> {
        let (s, table) = self.canary_table().await?;
        let insert = format!("insert into {table} (id, planted_us, value) values ($1, $2, $3)");
        let at = i64::try_from(record.at_unix_us).unwrap_or(i64::MAX);
        within(LIMIT, s.client.execute(&insert, &[&record.id, &at, &record.value])).await.map(drop)
    }

    async fn prune(&self, before_unix_us: u64) -> Result<u64, Unread> {
        let (s, table) = self.canary_table().await?;
        let before = i64::try_from(before_unix_us).unwrap_or(i64::MAX);
        let remove = format!("delete from {table} where planted_us < $1 and id not like '{OF_RUN}%'");
        within(LIMIT, s.client.execute(&remove, &[&before])).await
    }
}
