"""Look at the built documentation in a real browser: ``python docs/check_site.py docs/_build/html``.

Every page must load without a message on the console, an image that is broken, a request to another host or a link to a
page or a place that is not there, without TeX in its text, and not scroll sideways on a phone; and the search must find
something. Exits with 1 and a list of what is wrong.
"""

import argparse
import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from playwright.sync_api import sync_playwright

PHONE = {"width": 390, "height": 844}
# What would scroll sideways: the page, what the theme makes scroll instead of it, or what it cuts off.
TOO_WIDE = """[...document.querySelectorAll(':root, .bd-article-container, .prev-next-area a')]
    .filter(e => e.scrollWidth > e.clientWidth).map(e => e.className || e.localName)"""
# Commands of TeX in the text: formulas that were not made ones of the browser.
TEX = r"""(() => {
    const copy = document.querySelector('article')?.cloneNode(true);
    copy?.querySelectorAll('pre, code').forEach(e => e.remove());
    return copy?.textContent.match(/\\[a-z]{2,}/g) ?? [];
})()"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args):
        pass


def browser_path() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(
            f"No browser found ({', '.join(BROWSERS)}). Install one, e.g. apt-get install chromium."
        )
    return found


def look_at(page, url: str) -> tuple[list[str], set[str], set[str]]:
    """(what is wrong with a page, its links, the places in it that can be linked to)."""
    problems, host = [], urlparse(url).netloc

    def asked(request):
        if urlparse(request.url).netloc not in ("", host):
            problems.append(f"asks another host: {request.url}")

    listeners = {
        "console": lambda m: (
            m.type in ("error", "warning") and problems.append(f"console: {m.text}")
        ),
        "pageerror": lambda error: problems.append(f"script: {error}"),
        "request": asked,
        "requestfailed": lambda request: problems.append(f"not loaded: {request.url}"),
        "response": lambda r: r.status >= 400 and problems.append(f"{r.status}: {r.url}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.goto(url, wait_until="load")
    page.wait_for_load_state("networkidle")
    page.evaluate(
        "document.querySelectorAll('img[loading=lazy]').forEach(i => { i.loading = 'eager' })"
    )
    page.wait_for_function("[...document.images].every(i => i.complete)")
    broken = page.evaluate("[...document.images].filter(i => i.naturalWidth === 0).map(i => i.src)")
    problems += [f"broken image: {source}" for source in broken]
    problems += [f"TeX in the text: {command}" for command in page.evaluate(TEX)]
    size = page.viewport_size
    page.set_viewport_size(PHONE)
    problems += [f"too wide for a phone: {box}" for box in page.evaluate(TOO_WIDE)]
    page.set_viewport_size(size)
    links = set(page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"))
    places = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return problems, links, places


def search(page, root: str) -> list[str]:
    page.goto(f"{root}/search.html?q=missing", wait_until="load")
    try:
        page.wait_for_selector("#search-results li a", timeout=20_000)
    except Exception as error:
        return [f"search for 'missing' finds nothing: {error}"]
    return []


def check(folder: Path) -> int:
    """Print what is wrong with a site, and count it."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))
    pages = [name for name in pages if not name.startswith(("_static", "_modules"))]
    problems, links, places = {}, {}, {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page()
        for name in pages:
            problems[name], links[name], places[name] = look_at(page, f"{root}/{name}")
        problems["search.html"] = problems.get("search.html", []) + search(page, root)
        browser.close()
    server.shutdown()
    n_links, n_pictures = 0, sum("sphx_glr" in path.name for path in folder.rglob("*.png"))
    for name, targets in links.items():
        for target in sorted(targets):
            address, place = urldefrag(target)
            if not address.startswith(root):
                continue
            n_links += 1
            path = unquote(address.removeprefix(root)).lstrip("/") or "index.html"
            if not (folder / path).is_file():
                problems[name].append(f"link to what is not there: {path}")
            elif place and path in places and unquote(place) not in places[path]:
                problems[name].append(f"link to a place that is not there: {path}#{place}")
    if not n_pictures:
        problems["index.html"].append("the gallery has no pictures")
    for name, found in problems.items():
        for problem in dict.fromkeys(found):
            print(f"{name}: {problem}")
    n_problems = sum(map(len, problems.values()))
    print(
        f"{len(pages)} pages, {n_links} internal links, {n_pictures} gallery pictures: {n_problems} problem(s)"
    )
    return n_problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not (folder / "index.html").is_file():
        sys.exit(f"{folder} holds no index.html. Build the documentation first.")
    sys.exit(1 if check(folder) else 0)
