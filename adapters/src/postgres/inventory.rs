//! What a server consists of for its users, in the words of its own catalogue.
//!
//! Every name is qualified and nothing is looked up by `search_path`, which an intruder may set for a role. What stands
//! in `pg_catalog` itself is told by digests, so that a view of roles which hides one is seen as another view.
//!
//! Left out, each with its reason:
//!
//! | what | why |
//! |---|---|
//! | slots, senders, receivers | made and dropped by every clone, promotion and return of a standby |
//! | settings in files, `ALTER SYSTEM` | who follows whom, and until where a log is replayed, is said there |
//! | numbers of objects and files | a restore truncates the tables, which gives them new files |
//! | temporary and toast schemas | made by sessions, and by the server for long values |
//! | passwords | only a superuser may read what is stored of them |

use harness::inventory::Inventory;

use super::database::{Database, Held, column};
use super::rows::strangers_query;
use crate::features::CallError;

/// Items of one question; a stranger could make any number.
const MOST: usize = 20_000;
/// Strangers that are named.
const NAMED: usize = 200;

/// Relations and functions that are not the server's own.
const OURS: &str =
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'";
const NAME: &str = "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident";

/// Questions whose answers are names and definitions.
fn questions() -> Vec<String> {
    let relation = "pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)";
    let join = "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    vec![
        "SELECT 'role ' || rolname, pg_catalog.concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END,
             CASE WHEN rolinherit THEN NULL ELSE 'noinherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,
             CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin THEN 'login' END,
             CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
             'connections ' || rolconnlimit, 'until ' || rolvaliduntil::text)
         FROM pg_catalog.pg_roles".into(),
        "SELECT 'membership of ' || m.rolname || ' in ' || g.rolname, CASE WHEN a.admin_option THEN 'admin' ELSE '' END
         FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles m ON m.oid = a.member
         JOIN pg_catalog.pg_roles g ON g.oid = a.roleid".into(),
        "SELECT 'settings of ' || coalesce((SELECT rolname FROM pg_catalog.pg_roles r WHERE r.oid = s.setrole), 'everybody')
             || ' in ' || coalesce((SELECT datname FROM pg_catalog.pg_database d WHERE d.oid = s.setdatabase), 'all databases'),
             s.setconfig::text
         FROM pg_catalog.pg_db_role_setting s".into(),
        "SELECT 'database ' || datname, pg_catalog.concat_ws(' ', 'of', pg_catalog.pg_get_userbyid(datdba),
             CASE WHEN datallowconn THEN NULL ELSE 'closed' END, 'connections ' || datconnlimit, datacl::text)
         FROM pg_catalog.pg_database".into(),
        "SELECT 'schema ' || nspname, pg_catalog.concat_ws(' ', 'of', pg_catalog.pg_get_userbyid(nspowner), nspacl::text)
         FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast|temp)'".into(),
        format!(
            "SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
                 WHEN 'f' THEN 'foreign table ' WHEN 'i' THEN 'index ' WHEN 'I' THEN 'index ' WHEN 'c' THEN 'type '
                 ELSE 'table ' END || {relation},
                 pg_catalog.concat_ws(' ',
                     CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid)
                          WHEN c.relkind IN ('i', 'I') THEN pg_catalog.pg_get_indexdef(c.oid) END,
                     (SELECT CASE WHEN i.indisvalid THEN NULL ELSE 'invalid' END FROM pg_catalog.pg_index i
                      WHERE i.indexrelid = c.oid),
                     (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attname,
                          pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                          pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity, a.attacl::text), ', '
                          ORDER BY a.attnum)
                      FROM pg_catalog.pg_attribute a
                      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind NOT IN ('i', 'I')),
                     'of', pg_catalog.pg_get_userbyid(c.relowner), c.relacl::text, c.reloptions::text,
                     CASE WHEN c.relrowsecurity THEN 'row security' END,
                     CASE WHEN c.relforcerowsecurity THEN 'forced' END,
                     CASE c.relpersistence WHEN 'p' THEN NULL ELSE 'persistence ' || c.relpersistence::text END,
                     (SELECT pg_catalog.string_agg('inherits ' || h.inhparent::pg_catalog.regclass::text, ' ')
                      FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid))
             FROM pg_catalog.pg_class c {join} WHERE {OURS} AND c.relkind <> 't'"
        ),
        format!(
            "SELECT 'constraint ' || k.conname || ' of ' || coalesce(k.conrelid::pg_catalog.regclass::text, '-'),
                 pg_catalog.concat_ws(' ', pg_catalog.pg_get_constraintdef(k.oid), CASE WHEN k.convalidated THEN NULL ELSE 'not valid' END)
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace WHERE {OURS}"
        ),
        format!(
            "SELECT 'function ' || {NAME}(p.proname) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
                 pg_catalog.concat_ws(' ', CASE WHEN p.prosecdef THEN 'security definer' END,
                     CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE pg_catalog.pg_get_functiondef(p.oid) END,
                     'of', pg_catalog.pg_get_userbyid(p.proowner), p.proacl::text)
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}"
        ),
        format!(
            "SELECT 'trigger ' || t.tgname || ' of ' || {relation},
                 pg_catalog.concat_ws(' ', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
             FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid {join}
             WHERE NOT t.tgisinternal"
        ),
        "SELECT 'event trigger ' || evtname, pg_catalog.concat_ws(' ', evtevent, evtenabled, evttags::text,
             evtfoid::pg_catalog.regprocedure::text) FROM pg_catalog.pg_event_trigger".into(),
        format!(
            "SELECT 'policy ' || p.polname || ' of ' || {relation},
                 pg_catalog.concat_ws(' ', p.polcmd, CASE WHEN p.polpermissive THEN NULL ELSE 'restrictive' END,
                     (SELECT pg_catalog.string_agg(pg_catalog.pg_get_userbyid(r)::text, ',') FROM pg_catalog.unnest(p.polroles) r),
                     pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
             FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid {join}"
        ),
        format!(
            "SELECT 'rule ' || r.rulename || ' of ' || {relation},
                 pg_catalog.concat_ws(' ', r.ev_enabled, pg_catalog.pg_get_ruledef(r.oid))
             FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class {join}
             WHERE r.rulename <> '_RETURN' AND {OURS}"
        ),
        "SELECT 'default grants of ' || pg_catalog.pg_get_userbyid(defaclrole) || ' on ' || defaclobjtype::text, defaclacl::text
         FROM pg_catalog.pg_default_acl".into(),
        "SELECT 'extension ' || extname, extversion FROM pg_catalog.pg_extension".into(),
        "SELECT 'language ' || lanname, pg_catalog.concat_ws(' ', CASE WHEN lanpltrusted THEN 'trusted' END, lanacl::text)
         FROM pg_catalog.pg_language".into(),
        "SELECT 'foreign server ' || srvname, pg_catalog.concat_ws(' ', 'of', pg_catalog.pg_get_userbyid(srvowner),
             srvoptions::text, srvacl::text) FROM pg_catalog.pg_foreign_server".into(),
        "SELECT 'publication ' || pubname, pg_catalog.concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete)
         FROM pg_catalog.pg_publication".into(),
        "SELECT 'subscription ' || subname, subpublications::text FROM pg_catalog.pg_subscription".into(),
        "SELECT 'large objects', pg_catalog.count(*)::text FROM pg_catalog.pg_largeobject_metadata".into(),
        // What is the server's own changes with its version only.
        "SELECT 'functions of pg_catalog', pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', p.oid, p.proname,
             p.prosrc, p.probin, p.prosecdef, p.proowner, p.prolang, p.proacl::text), ',' ORDER BY p.oid))
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname IN ('pg_catalog', 'information_schema')".into(),
        "SELECT 'views of pg_catalog', pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.relname,
             pg_catalog.pg_get_viewdef(c.oid), c.relowner, c.relacl::text), ',' ORDER BY c.oid))
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind = 'v'".into(),
        "SELECT 'tables of pg_catalog', pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.relname, c.relkind,
             c.relowner, c.relacl::text), ',' ORDER BY c.oid))
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('pg_catalog', 'information_schema')".into(),
        // The catalogue of the feature store has roles of its own.
        "SELECT 'role ' || coalesce(name, 'without a name') || ' of the catalogue', body FROM public.roles WHERE body IS NOT NULL".into(),
    ]
}

/// What the server consists of, as its user may see it.
pub(super) async fn inventory(database: &Database) -> Result<Inventory, CallError> {
    let held = database.hold().await?;
    held.begin().await?;
    // How a definition is told depends on it: with nothing in it, every name is told in full.
    held.ask(held.client().batch_execute("SET LOCAL search_path = ''")).await?;
    let mut all = Inventory::default();
    for question in questions() {
        add(&held, &format!("{question} LIMIT {MOST}"), &mut all).await?;
    }
    let strangers =
        format!("SELECT stranger, ''::text FROM ({}) AS strangers LIMIT {NAMED}", strangers_query());
    add(&held, &strangers, &mut all).await?;
    held.commit().await?;
    Ok(all)
}

async fn add(held: &Held, question: &str, to: &mut Inventory) -> Result<(), CallError> {
    for row in held.ask(held.client().query_typed(question, &[])).await? {
        let (name, definition): (Option<String>, Option<String>) = (column(&row, 0)?, column(&row, 1)?);
        to.add(name.unwrap_or_default(), definition.unwrap_or_default());
    }
    Ok(())
}
