#!/usr/bin/env python3
"""Metrics, alert rules and dashboard in a real Prometheus, which scrapes a real node exporter on loopback.

    prometheus.py TEXTFILE RULES DASHBOARD

First with the textfile as it is: rehearsals raise no alert but that nothing real was ever recorded. Then the same drills
declared real, for this test alone: the alerts for the drill that missed its limits have to fire, and every question of the
dashboard has to be answered. Both servers are ended again. Ends with 1 if something is wrong, with 3 if a server is missing.
"""
import json, os, shutil, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request

PATIENCE = 60


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(base, path, **params):
    url = f"http://127.0.0.1:{base}{path}" + ("?" + urllib.parse.urlencode(params) if params else "")
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def until(what, so):
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            if so():
                return
        except OSError as error:  # a server that is still starting
            last = error
        time.sleep(0.2)
    sys.exit(f"FAILED: waited {PATIENCE} s in vain for {what} ({last})")


def main(textfile, rules, dashboard):
    programs = [shutil.which(name) for name in ("prometheus", "prometheus-node-exporter")]
    if not all(programs):
        sys.exit(3)
    work = tempfile.mkdtemp(prefix="gameday-prometheus-")
    metrics, running = os.path.join(work, "metrics"), []
    os.mkdir(metrics)

    def write(text):
        # As `gameday metrics --textfile` does it: whole, or not at all.
        open(os.path.join(work, "next"), "w").write(text)
        os.replace(os.path.join(work, "next"), os.path.join(metrics, "gameday.prom"))

    def firing(server):
        return {(a["labels"]["alertname"], a["labels"].get("scenario", "")) for a in ask(server, "/api/v1/alerts")["alerts"] if a["state"] == "firing"}

    try:
        exporter, server = port(), port()
        as_it_is = open(textfile).read()
        write(as_it_is)
        config = os.path.join(work, "prometheus.yml")
        json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [os.path.abspath(rules)],
                   "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}]}, open(config, "w"))
        for name, command in {
            "exporter": [programs[1], "--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={metrics}",
                         f"--web.listen-address=127.0.0.1:{exporter}"],
            "server": [programs[0], f"--config.file={config}", f"--storage.tsdb.path={work}/data", f"--web.listen-address=127.0.0.1:{server}"],
        }.items():
            running.append(subprocess.Popen(command, stdout=open(f"{work}/{name}.log", "w"), stderr=subprocess.STDOUT))
        value = lambda expr: [float(r["value"][1]) for r in ask(server, "/api/v1/query", query=expr)["result"]]
        until("the first scrape", lambda: value("gameday_build_info") == [1.0])
        if value("node_textfile_scrape_error") != [0.0]:
            sys.exit("FAILED: the node exporter does not take the textfile")
        until("the first alert", lambda: firing(server))
        if names := {name for name, _ in firing(server)} - {"DRTestNeverRecorded"}:
            sys.exit(f"FAILED: rehearsals raised {names}")
        print("prometheus: scraped; of rehearsals no alert but DRTestNeverRecorded")

        write(as_it_is.replace('counts_as="rehearsal"', 'counts_as="production"'))
        wanted = {"DRRecoveryTimeObjectiveMissed", "DRLastDrillNotPassed"}
        until(f"{wanted}", lambda: wanted <= {name for name, _ in firing(server)})
        # A later evaluation, so that what stopped firing is gone: the page of alerts follows the scrape.
        for name, scenario in sorted(firing(server)):
            print(f"prometheus: firing {name} {scenario}")
        asked = empty = 0
        for panel in json.load(open(dashboard))["panels"]:
            for target in panel["targets"]:
                asked += 1
                empty += not value(target["expr"].replace("$counts_as", "production"))
        print(f"prometheus: {asked} questions of the dashboard answered, {empty} of them with nothing")
        if empty == asked:
            sys.exit("FAILED: the dashboard shows nothing")
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(work, ignore_errors=True)


main(*sys.argv[1:])
