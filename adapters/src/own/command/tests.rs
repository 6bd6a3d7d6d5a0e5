//! Commands of every bad sort, and what is left of them.

use std::sync::Mutex;

use super::*;

fn spec<'a>(
    script: &'a [String],
    dir: &'a Path,
    run: &'a str,
    secrets: &'a Secrets,
    limit_ms: u64,
) -> Spec<'a> {
    Spec {
        words: script,
        dir,
        env: vec![("TOLD".into(), "hush-hush".into())],
        limit: Duration::from_millis(limit_ms),
        run,
        log: Some(dir.join("log")),
        secrets,
        sweeps: true,
        keeps: false,
    }
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

async fn play(script: &str, limit_ms: u64) -> (Ended, String) {
    let dir = tempfile::tempdir().unwrap();
    let run = format!("own-{}-{}", std::process::id(), rand_word());
    let secrets = hidden();
    let words = shell(script);
    let ended = run_it(spec(&words, dir.path(), &run, &secrets, limit_ms)).await;
    assert!(crate::local::sweep::find(&run).unwrap().is_empty() || ended.code == Some(0));
    crate::local::sweep::sweep(&run).unwrap();
    (ended, std::fs::read_to_string(dir.path().join("log")).unwrap())
}

async fn run_it(spec: Spec<'_>) -> Ended {
    run(spec, None, None, std::future::pending()).await
}

fn rand_word() -> String {
    crate::local::private::word().unwrap()
}

fn hidden() -> Secrets {
    let (stack, drill) = crate::own::play::tests::example();
    let mut drill = drill;
    drill.restore.env = vec!["TOLD".into()];
    let drill = harness::own::Drill { restore: drill, stack };
    Secrets::of_drill(&drill, |_| Some("hush-hush".into())).unwrap()
}

#[tokio::test]
async fn it_has_a_clean_environment_and_its_output_has_no_secrets() {
    let (ended, log) =
        play("env | cut -d= -f1 | sort | tr '\\n' ' '; echo $TOLD; echo $TOLD >&2; exit 3", 5000).await;
    assert_eq!(ended.code, Some(3));
    assert!(ended.how.contains("exit code 3") && !ended.how.contains("hush"), "{}", ended.how);
    assert!(!log.contains("hush") && log.contains("$DB_DSN"), "{log}");
    for name in log.lines().next().unwrap().split(' ').filter(|n| n.chars().all(|c| c.is_ascii_uppercase())) {
        assert!(
            KEPT.contains(&name) || ["TOLD", "PWD", "SHLVL"].contains(&name) || name.is_empty(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn both_outputs_have_lines_of_their_own() {
    let script = "printf 'half hush-'; sleep 0.2; echo x >&2; sleep 0.2; printf 'hush whole\\n'";
    let (ended, log) = play(script, 5000).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(log, "x\nhalf $DB_DSN whole\n");
}

#[tokio::test]
async fn much_output_is_no_burden() {
    let began = std::time::Instant::now();
    let (ended, log) = play("yes | head -c 30000000; echo the end", 30_000).await;
    assert_eq!((ended.code, ended.printed), (Some(0), 30_000_008));
    assert!(log.len() as u64 <= LOG_MAX + 100);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_secret_in_a_line_without_end_is_hidden_wherever_it_stands() {
    let script = "i=0; while [ $i -lt 30000 ]; do printf '%s%s' $TOLD abc; i=$((i+1)); done";
    let (ended, log) = play(script, 20_000).await;
    assert_eq!(ended.code, Some(0));
    assert!(!log.contains("hush"), "it shows");
    assert!(ended.printed == 30_000 * 12, "{}", ended.printed);
}

#[tokio::test]
async fn what_never_ends_forks_or_floods_is_ended_with_all_that_it_started() {
    let began = std::time::Instant::now();
    for script in
        ["sleep 1000", "trap '' TERM INT HUP; setsid sleep 1000 & (sleep 1000 &) ; sleep 1000", "yes flood"]
    {
        let (ended, log) = play(script, 400).await;
        assert!(ended.code.is_none() && ended.how.contains("did not end within"), "{script}: {}", ended.how);
        assert!(log.len() as u64 <= LOG_MAX + 100);
    }
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_server_that_it_starts_stays_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let run = format!("own-stay-{}", std::process::id());
    let secrets = Secrets::default();
    let words = shell("setsid sleep 1000 & echo started");
    let began = std::time::Instant::now();
    let ended = run_it(spec(&words, dir.path(), &run, &secrets, 10_000)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.how);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(crate::local::sweep::sweep(&run).unwrap().len(), 1);
}

#[tokio::test]
async fn output_that_is_a_reading_is_whole_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets::default();
    let read = async |script: &str, limit: u64| {
        let words = shell(script);
        let heard = Mutex::new(Vec::new());
        let mut feed = |bytes: &[u8]| {
            heard.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        };
        let run_id = format!("own-read-{}", std::process::id());
        let spec = spec(&words, dir.path(), &run_id, &secrets, limit);
        let ended = run(spec, None, Some(&mut feed), std::future::pending()).await;
        (ended, heard.into_inner().unwrap().len())
    };
    let (ended, n) = read("head -c 3000000 /dev/zero; echo said >&2", 10_000).await;
    assert_eq!((ended.code, n), (Some(0), 3_000_000), "{}", ended.how);
    let (ended, _) = read("sleep 1000 & echo a", 500).await;
    assert_eq!(ended.code, None, "{}", ended.how);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plain"), "x").unwrap();
    let secrets = Secrets::default();
    for (word, why) in
        [("./plain", "chmod +x"), ("./none", "No such file"), ("no-such-program-anywhere", "PATH")]
    {
        let words = vec![word.to_owned()];
        let ended = run_it(spec(&words, dir.path(), "own-none", &secrets, 1000)).await;
        assert!(ended.code.is_none() && ended.how.contains(why), "{}", ended.how);
    }
}
