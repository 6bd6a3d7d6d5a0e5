//! gameday and `ssh-keygen` are asked the same: whether a file of signers trusts who signed. They must never differ.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use crate::evidence::signed;

/// Files of signers. `{k}` is the operator's key, `{o}` another's, `{e}` one of another kind; `{at}`, `{before}` and
/// `{after}` are the second of the signature, the one before and the one after.
const FILES: &[&str] = &[
    // Names.
    "ops@example.org {k}",
    "OPS@example.org {k}",
    "audit@example.org {k}",
    "ops@example.org,audit@example.org {k}",
    "audit@example.org,ops@example.org {k}",
    "*@example.org {k}",
    "ops@* {k}",
    "ops@example.??? {k}",
    "ops@example.?? {k}",
    "* {k}",
    "!ops@example.org {k}",
    "*,!ops@example.org {k}",
    "!audit@example.org,* {k}",
    "!audit@example.org {k}",
    "\"ops@example.org\" {k}",
    "\"ops@example.org {k}",
    "ops@example.org, {k}",
    ",ops@example.org {k}",
    "ops@example.org\t{k}",
    "  \tops@example.org   {k}",
    "\u{feff}ops@example.org {k}",
    "\u{feff}# a comment\nops@example.org {k}",
    // Keys.
    "ops@example.org {o}",
    "ops@example.org {e}",
    "ops@example.org {k} and a comment",
    "ops@example.org {k}\r",
    "ops@example.org {k}x",
    "ops@example.org {k}=",
    "ops@example.org ssh-ed25519",
    "ops@example.org",
    "{k}",
    "ops@example.org ssh-rsa AAAA",
    "ops@example.org SSH-ED25519 {k}",
    // Options.
    "ops@example.org namespaces=\"gameday-evidence@v1,gameday-head@v1\" {k}",
    "ops@example.org namespaces=\"gameday-head@v1\" {k}",
    "ops@example.org namespaces=\"gameday-*\" {k}",
    "ops@example.org namespaces=\"*\" {k}",
    "ops@example.org namespaces=\"*,!gameday-head@v1\" {k}",
    "ops@example.org namespaces=\"!gameday-review@v1,*\" {k}",
    "ops@example.org namespaces=\"gameday-evidence@v1, gameday-head@v1\" {k}",
    "ops@example.org namespaces=\"GAMEDAY-EVIDENCE@v1,gameday-head@v1\" {k}",
    "ops@example.org NameSpaces=\"gameday-*\" {k}",
    "ops@example.org namespaces=\"\" {k}",
    "ops@example.org namespaces=gameday-head@v1 {k}",
    "ops@example.org namespaces=\"gameday-* {k}",
    "ops@example.org namespaces=\"gameday-*\",namespaces=\"gameday-*\" {k}",
    "ops@example.org namespaces=\"gameday-*\", {k}",
    "ops@example.org namespaces=\"gameday-*\" valid-before=\"20990101Z\" {k}",
    "ops@example.org cert-authority {k}",
    "ops@example.org namespaces=\"gameday-*\",cert-authority {k}",
    "ops@example.org no-touch-required {k}",
    "ops@example.org verify-required,namespaces=\"*\" {k}",
    // Moments.
    "ops@example.org valid-before=\"20990101Z\" {k}",
    "ops@example.org valid-before=\"20990101\" {k}",
    "ops@example.org valid-before=\"20010101Z\" {k}",
    "ops@example.org valid-after=\"20010101Z\" {k}",
    "ops@example.org valid-after=\"20990101Z\" {k}",
    "ops@example.org valid-before=\"{at}Z\" {k}",
    "ops@example.org valid-before=\"{before}Z\" {k}",
    "ops@example.org valid-after=\"{at}Z\" {k}",
    "ops@example.org valid-after=\"{after}Z\" {k}",
    "ops@example.org valid-before=\"{at}\" {k}",
    "ops@example.org valid-after=\"{at}\" {k}",
    "ops@example.org valid-before=\"{at}UTC\" {k}",
    "ops@example.org valid-before=\"{at}z\" {k}",
    "ops@example.org valid-before=\"{at} Z\" {k}",
    "ops@example.org valid-before=\"20263011\" {k}",
    "ops@example.org valid-before=\"20992112Z\" {k}",
    "ops@example.org valid-before=\"20990230Z\" {k}",
    "ops@example.org valid-before=\"20990231\" {k}",
    "ops@example.org valid-before=\"20990232\" {k}",
    "ops@example.org valid-before=\"2099-01-01\" {k}",
    "ops@example.org valid-before=\"209901012400Z\" {k}",
    "ops@example.org valid-before=\"20990101235961Z\" {k}",
    "ops@example.org valid-before=\"20990101235962Z\" {k}",
    "ops@example.org valid-before=\"2099 1 1Z\" {k}",
    "ops@example.org valid-before=\"209901\" {k}",
    "ops@example.org valid-before=\"\" {k}",
    "ops@example.org valid-before=\"19700101Z\" {k}",
    "ops@example.org valid-after=\"19691231Z\" {k}",
    "ops@example.org valid-after=\"20010101Z\",valid-before=\"20010101Z\" {k}",
    "ops@example.org valid-after=\"20990101Z\",valid-before=\"20010101Z\" {k}",
    "ops@example.org valid-before=\"20990101Z\",valid-before=\"20990101Z\" {k}",
    // Files of more than one line.
    "",
    "# ops@example.org {k}",
    "\n\n# words\nops@example.org {k}\n",
    "audit@example.org nonsense {o}\nops@example.org {k}",
    "ops@example.org nonsense {k}\nops@example.org {k}",
    "ops@example.org {k}\nops@example.org nonsense {k}",
    "ops@example.org valid-before=\"20010101Z\" {k}\nops@example.org {k}",
    "ops@example.org {o}\nops@example.org {k}",
    "audit@example.org {e}\nops@example.org {e}\nops@example.org {k}",
    "ops@example.org namespaces=\"gameday-head@v1\" {k}\nops@example.org namespaces=\"gameday-evidence@v1\" {k}",
    "word\nops@example.org {k}",
    "ops@example.org {k}\nword",
    "audit@example.org {k}\nops@example.org {k}",
];

/// In the second, summer time must not matter; in the third, moments lie hours later.
const ZONES: [&str; 3] = ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5"];

#[test]
fn gameday_and_ssh_keygen_trust_the_same_signers() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        println!("skipped: ssh-keygen is missing (ci/setup installs it)");
        return;
    }
    let (desk, run) = signed();
    let key = |name: &str| {
        let text = desk.read(name);
        text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
    };
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
        .arg(desk.path("ecdsa"))
        .status();
    assert!(made.unwrap().success());
    let ledger = desk.read("evidence/runs.jsonl");
    let at = ledger.rsplit("\"at\":\"").next().unwrap().split('"').next().unwrap().to_owned();
    let second = |shift: &str| {
        let date = Command::new("date")
            .args(["-u", "-d", &format!("{at} {shift}"), "+%Y%m%d%H%M%S"])
            .output()
            .unwrap();
        String::from_utf8(date.stdout).unwrap().trim().to_owned()
    };
    let (now, before, after) = (second(""), second("-1 second"), second("+1 second"));
    let mut answers = [0, 0];
    for zone in ZONES {
        for file in FILES {
            let text = file
                .replace("{k}", &key("keys/operator.key.pub"))
                .replace("{o}", &key("keys/reviewer.key.pub"));
            let text = text.replace("{e}", &key("ecdsa.pub")).replace("{at}", &now);
            desk.write("signers", &text.replace("{before}", &before).replace("{after}", &after));
            let theirs = ["HEAD gameday-head@v1", &format!("{run}/SHA256SUMS gameday-evidence@v1")]
                .iter()
                .all(|asked| {
                    let (signed, namespace) = asked.split_once(' ').unwrap();
                    let mut command = Command::new("ssh-keygen");
                    command
                        .args(["-Y", "verify", "-I", "ops@example.org", "-n", namespace, "-f"])
                        .arg(desk.path("signers"));
                    command.arg("-O").arg(format!("verify-time={now}Z"));
                    command.arg("-s").arg(desk.path(&format!("evidence/{signed}.sig"))).env("TZ", zone);
                    command.stdin(File::open(desk.path(&format!("evidence/{signed}"))).unwrap());
                    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
                });
            let mut command = Command::new(assert_cmd::cargo::cargo_bin("gameday"));
            command
                .args(["evidence", "verify", "evidence", "--signers", "signers"])
                .current_dir(desk.path(""));
            let ours = command.env("TZ", zone).output().unwrap();
            let said = String::from_utf8_lossy(&ours.stderr).into_owned();
            assert!([Some(0), Some(2), Some(5)].contains(&ours.status.code()), "{zone}: {file:?}: {said}");
            assert_eq!(
                ours.status.success(),
                theirs,
                "{zone}: {file:?}: ssh-keygen says {theirs}, gameday: {said}"
            );
            answers[usize::from(theirs)] += 1;
        }
    }
    assert!(answers.iter().all(|n| *n > 60), "{answers:?}");
}
