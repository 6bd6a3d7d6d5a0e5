//! The tables, and views of them in the shapes of Feast's online store and MLflow's model registry.
//!
//! A row of an entity has all of its features, so that one statement stores it with its digest. Times are microseconds
//! since 1970: `timestamptz` has values that no clock has. Deletions stay, with NULL for the values.

use crate::features::Table;

/// The table of rows.
pub(super) const ROWS: &str = "entity_rows";

/// Columns of the values.
pub(super) const VALUES: &str = "f0, f1, f2, f3, f4, f5, f6, f7";

/// Makes everything there is; run once, by the user who owns it.
pub(super) fn create() -> String {
    let mut sql = format!(
        "CREATE TABLE changes (
             tab text, id text COLLATE \"C\", ver bigint NOT NULL, PRIMARY KEY (tab, id));
         CREATE TABLE {ROWS} (
             entity_key bigint PRIMARY KEY CHECK (entity_key >= 0), ver bigint NOT NULL CHECK (ver >= 0),
             event_us bigint NOT NULL, created_ts timestamptz NOT NULL DEFAULT now(),
             f0 float8, f1 float8, f2 float8, f3 float8, f4 float8, f5 float8, f6 float8, f7 float8,
             digest bytea NOT NULL);
         CREATE TABLE heartbeat (id int PRIMARY KEY, beat bigint NOT NULL);
         INSERT INTO heartbeat VALUES (1, 0);\n"
    );
    for table in Table::ALL {
        sql += &format!(
            "CREATE TABLE {} (
                 name text COLLATE \"C\" PRIMARY KEY, ver bigint NOT NULL CHECK (ver >= 0),
                 event_us bigint NOT NULL, body text, digest bytea NOT NULL);\n",
            table.sql()
        );
    }
    sql + &views()
}

fn views() -> String {
    let features: Vec<String> = (0..8).map(|f| format!("('feature_{f}', f{f})")).collect();
    format!(
        "CREATE VIEW feast_online_store AS
             SELECT entity_key, feature_name, value_num, to_timestamp(event_us / 1e6) AS event_ts, created_ts
             FROM {ROWS}, LATERAL (VALUES {}) AS feature (feature_name, value_num) WHERE value_num IS NOT NULL;
         CREATE VIEW model_versions AS
             SELECT name, (body::jsonb ->> 'version')::int AS version, body::jsonb ->> 'stage' AS current_stage,
                    body::jsonb ->> 'object' AS source, body::jsonb ->> 'sha256' AS sha256
             FROM {} WHERE body IS NOT NULL;\n",
        features.join(", "),
        Table::Models.sql()
    )
}
