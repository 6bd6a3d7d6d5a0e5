#!/usr/bin/env python3
"""Pages in a real browser, without a driver: Chromium's own protocol over two pipes, and Python's library alone.

    page.py check FILE..                 every page at each size and in both schemes, and on paper; ends with 1 if one is wrong
    page.py shoot FILE PNG [KEY=VALUE..] a picture: width, height, scheme (light, dark), to (a CSS selector), scale
    page.py pdf FILE PDF                 the page on paper, as the browser prints it

`check` refuses: whatever the console or the browser's log says, a request for anything but the page, a page that is wider
than its window, texts of a chart that overlap or leave it, text that is hardly to be told from its background, a
picture or a script, and on paper a heading that stands apart from what follows it.
"""
import base64, json, os, re, select, shutil, subprocess, sys, tempfile, time

PATIENCE = 60  # seconds for any one answer: the machine may be busy
SIZES = [(400, 860), (820, 1180), (1280, 900)]
SCHEMES = ["light", "dark"]


class Browser:
    """One headless Chromium, ended and its profile removed when the block is left."""

    def __init__(self):
        found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        program = next(filter(None, found), None)
        if not program:
            sys.exit("page.py: no Chromium (Debian: apt-get install chromium)")
        self.profile = tempfile.mkdtemp(prefix="gameday-page-")
        ours, theirs = os.pipe(), os.pipe()
        # The browser reads from its descriptor 3 and writes to 4; high numbers first, so that neither is overwritten.
        far_in, far_out = os.dup2(ours[0], 60), os.dup2(theirs[1], 61)
        command = [program, "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars",
                   "--force-color-profile=srgb", "--font-render-hinting=none", "--no-first-run", "--disable-extensions",
                   "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={self.profile}", "about:blank"]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium's own sandbox refuses root; the pages are ours
        shell = 'exec 3<&60 4>&61 60<&- 61>&-; exec "$0" "$@"'
        self.process = subprocess.Popen(["bash", "-c", shell, *command],
                                        pass_fds=(far_in, far_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (ours[0], theirs[1], far_in, far_out):
            os.close(fd)
        self.write, self.read, self.rest = ours[1], theirs[0], b""
        self.last, self.answers, self.events = 0, {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def pump(self, until):
        """Reads messages until there is one more, or the time has come."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0, until - time.monotonic()))
            got = os.read(self.read, 1 << 20) if ready else b""
            if not got:
                raise RuntimeError("the browser ended" if ready else f"the browser did not answer within {PATIENCE} s")
            self.rest += got
        text, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(text)
        if "id" in message:
            self.answers[message["id"]] = message
        else:
            self.events.append(message)

    def call(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data):]
        until = time.monotonic() + PATIENCE
        while self.last not in self.answers:
            self.pump(until)
        answer = self.answers.pop(self.last)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, method, session):
        until = time.monotonic() + PATIENCE
        while not any(e["method"] == method and e.get("sessionId") == session for e in self.events):
            self.pump(until)


class Page:
    """One file in a tab of its own."""

    def __init__(self, browser, path, width=1280, height=900, scheme="light", scale=1, media=""):
        self.browser, self.url = browser, "file://" + os.path.abspath(path)
        browser.events.clear()
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.target = target
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=self.url)
        browser.wait("Page.loadEventFired", self.session)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def ask(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "the question is wrong"))
        return answer["result"].get("value")

    def noise(self):
        """What the browser complained about, and what it asked the network for."""
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            params = event["params"]
            if event["method"] == "Log.entryAdded":
                yield "log: " + params["entry"]["text"]
            elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                yield "console: " + json.dumps(params)[:300]
            elif event["method"] == "Network.requestWillBeSent" and params["request"]["url"] != self.url:
                yield "request: " + params["request"]["url"][:300]

    def png(self, to=None, height=None):
        clip = {}
        if to:
            box = self.ask(f"(() => {{ const b = document.querySelector({json.dumps(to)}).getBoundingClientRect();"
                           "return [b.x + scrollX, b.y + scrollY, b.width, b.height] })()")
            clip = {"clip": {"x": box[0], "y": box[1], "width": box[2], "height": min(box[3], height or box[3]), "scale": 1}}
        elif height is None:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png", **clip)["data"]
        return base64.b64decode(data)

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])


LOOK = r"""(() => {
  const wrong = [], text = e => e.textContent.trim().slice(0, 40);
  const all = s => [...document.querySelectorAll(s)];
  if (document.documentElement.scrollWidth > innerWidth)
    wrong.push(`wider than its window: ${document.documentElement.scrollWidth} of ${innerWidth}: ` + all('main *').filter(
      e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 0.5).slice(0, 3).map(e => e.tagName + ' ' + text(e)).join(' | '));
  // On a screen of usual width, and on paper, nothing may have to be scrolled.
  if (innerWidth > 1000 || matchMedia('print').matches)
    for (const e of all('.scroll')) if (e.scrollWidth > e.clientWidth + 1) wrong.push(`${e.getAttribute('aria-label')}: ${e.scrollWidth - e.clientWidth} px too wide`);
  if (all('script, img, iframe, object, embed, link, video, audio, form, image, foreignObject').length) wrong.push('something that no report needs');
  for (const chart of all('svg.chart')) {
    const label = chart.getAttribute('aria-label'), frame = chart.viewBox.baseVal, texts = [...chart.querySelectorAll('text')].filter(t => t.textContent.trim());
    const boxes = texts.map(t => [t, t.getBBox()]);
    for (const [t, b] of boxes)
      if (b.x < -1 || b.y < -1 || b.x + b.width > frame.width + 1 || b.y + b.height > frame.height + 1) wrong.push(`${label}: "${text(t)}" leaves the chart`);
    // Letters have room above and below in their box: only what overlaps by more is seen.
    for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
      const [s, a] = boxes[i], [t, b] = boxes[j];
      const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x), high = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
      if (wide > 0.5 && high > 4) wrong.push(`${label}: "${text(s)}" over "${text(t)}"`);
    }
    if (!chart.closest('section').querySelector('table')) wrong.push(`${label}: no table beside it`);
  }
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data] };
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const seen = {};
  for (const e of all('main *')) {
    const drawn = e instanceof SVGElement;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || drawn && e.tagName !== 'text') continue;
    let under = e; while (under && rgb(getComputedStyle(under).backgroundColor)[3] < 255) under = under.parentElement;
    const [ink, paper] = [getComputedStyle(e)[drawn ? 'fill' : 'color'], getComputedStyle(under || document.body).backgroundColor];
    const key = ink + paper; if (key in seen) continue;
    const [a, b] = [light(rgb(ink)), light(rgb(paper))].sort((x, y) => y - x); seen[key] = (a + 0.05) / (b + 0.05);
    if (seen[key] < 4.5) wrong.push(`contrast ${seen[key].toFixed(2)} of "${text(e)}"`);
  }
  for (const a of all('a[href]')) if (!a.getAttribute('href').startsWith('#') || !document.getElementById(a.getAttribute('href').slice(1))) wrong.push('a link to nowhere: ' + a.getAttribute('href'));
  return wrong;
})()"""

# A heading, and what stands below it: on paper both have to be on one page.
BELOW = {"What happened, over time": "SERVICES", "How long answers took": "latency", "Whether answers are still right": "recall before, first",
         "What became of every acknowledged record": "records|NOT READ BACK", "What had to hold, and what was measured": "Verdict",
         "Faults and recovery": "Issued", "Latency of good answers": "before the fault", "Moment by moment": "Kind", "What was skipped, and why": "", "To check it and to play it again": "Run",
         "The lines that prove it": "#"}


def paper(path, pdf):
    """What is wrong with the pages of a PDF; their number."""
    kept = tempfile.NamedTemporaryFile(suffix=".pdf")
    kept.write(pdf), kept.flush()
    if not shutil.which("pdftotext"):
        return ["skip"], 0
    text = subprocess.run(["pdftotext", "-layout", kept.name, "-"], check=True, capture_output=True, text=True).stdout
    pages, wrong = text.split("\f")[:-1], []
    for number, page in enumerate(pages, 1):
        lines = [line.strip() for line in page.splitlines() if line.strip()]
        if not lines:
            wrong.append(f"paper: page {number} is empty")
        for at, line in enumerate(lines):
            rest = "\n".join(lines[at + 1:])
            if line in BELOW and not (rest and re.search(BELOW[line], rest)):
                wrong.append(f"paper: \"{line}\" stands apart at the end of page {number}")
    return wrong, len(pages)


def check(paths):
    failed = skipped = 0
    with Browser() as browser:
        for path in paths:
            wrong = []
            for width, height in SIZES:
                for scheme in SCHEMES:
                    with Page(browser, path, width, height, scheme) as page:
                        found = page.ask(LOOK) + list(page.noise())
                        wrong += [f"{width} px, {scheme}: {what}" for what in found]
            with Page(browser, path, 703, 1000, media="print") as page:  # 210 mm without margins
                wrong += [f"paper: {what}" for what in page.ask(LOOK)]
            with Page(browser, path) as page:
                found, pages = paper(path, page.pdf())
                skipped += found == ["skip"]
                wrong += [what for what in found if what != "skip"]
            failed += bool(wrong)
            print(f"{'WRONG' if wrong else 'right'}: {path}: {os.path.getsize(path):,} bytes, {pages} sheets")
            for what in wrong[:40]:
                print("   ", what)
    print(f"{len(paths)} pages, each at {len(SIZES)} sizes in {len(SCHEMES)} schemes and on paper: {failed} wrong")
    if skipped:
        print("skipped: headings on paper: pdftotext is missing (Debian: poppler-utils)")
    return 1 if failed else 0


def shoot(path, png, options):
    asked = dict(option.split("=", 1) for option in options)
    width, scale = int(asked.get("width", 1280)), float(asked.get("scale", 1))
    with Browser() as browser, Page(browser, path, width, int(asked.get("height", 900)), asked.get("scheme", "light"), scale) as page:
        data = page.png(asked.get("to"), int(asked["height"]) if "height" in asked else None)
    open(png, "wb").write(data)
    return 0


def main():
    match sys.argv[1:]:
        case ["check", *paths] if paths:
            return check(paths)
        case ["shoot", path, png, *options]:
            return shoot(path, png, options)
        case ["pdf", path, pdf]:
            with Browser() as browser, Page(browser, path) as page:
                open(pdf, "wb").write(page.pdf())
            return 0
    print(__doc__, file=sys.stderr)
    return 2


sys.exit(main())
