"""Reports as a browser shows them: on a phone and a desk, light and dark, in print.

They need Playwright for Python and a Chromium: ``pip install playwright``, and ``apt install chromium`` or the path of
one in CHROMIUM.
"""

import importlib.util
import os
import shutil

import pytest

import noisysim

import study_pages

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium, or set CHROMIUM")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
PHONE, DESK = (390, 844), (1280, 900)
CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA
PAGES = ("run", "chips", "hostile", "study")

LOOK = """
() => {
  const shown = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
  const colour = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) return c;
    }
    return [255, 255, 255, 1];
  };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, style = getComputedStyle(e);
    if (!walk.currentNode.data.trim() || !shown(e)) continue;
    const drawn = e.closest('svg');
    const a = light(colour(drawn ? style.fill : style.color)), b = light(behind(e));
    const scale = drawn ? drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width : 1;
    texts.push({
      text: walk.currentNode.data.trim().slice(0, 40), size: parseFloat(style.fontSize) * scale, drawn: Boolean(drawn),
      contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), map: Boolean(drawn && drawn.querySelector('image')),
    });
  }
  const boxed = e => {
    const box = e.closest('.scroll');
    return box && getComputedStyle(box).overflowX === 'auto' && box.getBoundingClientRect().right <= innerWidth;
  };
  const wide = [...document.querySelectorAll('body *')].filter(
    e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5);
  return {
    texts, wide: wide.map(e => e.tagName + ' ' + e.textContent.slice(0, 40)),
    overflow: document.documentElement.scrollWidth - innerWidth,
    tables: [...document.querySelectorAll('table')].map(t => Boolean(boxed(t))),
    images: [...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight, shown(i)]),
    drawings: [...document.querySelectorAll('.card > svg')].map(s => {
      const r = s.getBoundingClientRect(); return [r.width, r.height];
    }),
    cards: [...document.querySelectorAll('.card')].map(c => getComputedStyle(c).backgroundColor),
    headings: [...document.querySelectorAll('h1, h2')].map(h => h.textContent.trim()),
    page: light(colour(getComputedStyle(document.body).backgroundColor)),
  };
}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The pages' files, by name."""
    folder = tmp_path_factory.mktemp("pages")
    given = {"device": "crossbar", "layers": [16], "epochs": 2, "progress": False}
    run = noisysim.run(diagnostics=["angle", "weight_norm"], **given)
    odd = study_pages.HOSTILE
    config = {**run.config, "device": {**run.config["device"], "name": f"{odd}.py", "long" * 30: odd}}
    hostile = noisysim.Result({**run.content, "config": config, "warnings": ["w" * 300, odd]}, None)
    sources = {"run": run, "chips": noisysim.run(chips=3, **given), "hostile": hostile}
    if importlib.util.find_spec("xarray"):
        sources["study"] = study_pages.study_of(study_pages.AXES, study_pages.small)
    return {name: noisysim.report(source, folder / f"{name}.html") for name, source in sources.items()}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def look(browser, written):
    """What a page is like: measures, what it asked for, what it complained of."""

    def see(name, size, scheme, media="screen"):
        if name not in written:
            pytest.skip("xarray is not installed, and a study needs it")
        view = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)), color_scheme=scheme)
        view.emulate_media(media=media, color_scheme=scheme)
        asked, said = [], []
        view.on("request", lambda request: asked.append(request.url))
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("dialog", lambda dialog: said.append(dialog.message))
        view.goto(written[name].as_uri())
        closed = view.evaluate(LOOK)
        view.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = view.evaluate(LOOK)
        view.close()
        assert asked == [written[name].as_uri()]
        assert said == []
        return found, closed

    return see


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_a_browser(look, name, size, scheme):
    found, closed = look(name, size, scheme)
    for state in (closed, found):
        assert state["overflow"] <= 0
        assert state["wide"] == []
    assert len(found["tables"]) >= 5
    assert all(found["tables"])
    assert len(found["drawings"]) >= 3
    assert all(250 < width < size[0] and height > 150 for width, height in found["drawings"])
    assert all(complete and width and height and shown for complete, width, height, shown in found["images"])
    assert set(found["cards"]) == {"rgb(255, 255, 255)"}
    assert "Run it again" in found["headings"]
    assert found["page"] > 0.9 if scheme == "light" else found["page"] < 0.05
    # numbers on a map stand on its colours: tests/reporting/test_report.py looks at those
    texts = [text for text in found["texts"] if not text["map"]]
    assert len(texts) > 100
    assert [text for text in texts if text["contrast"] < CONTRAST] == []
    assert [text for text in texts if text["size"] < (7 if text["drawn"] else 12)] == []


@pytest.mark.parametrize("name", ["run", "study"])
def test_a_page_on_paper(look, name):
    """A sheet of A4 at 96 dots an inch, less its margins: black on white, whatever the reader's screen is like."""
    found, _ = look(name, (718, 1047), "dark", media="print")
    assert found["overflow"] <= 0
    assert found["wide"] == []
    assert found["page"] == 1
    assert [text for text in found["texts"] if not text["map"] and text["contrast"] < CONTRAST] == []


def test_figures_that_are_pictures_are_decoded(look, written, monkeypatch):
    from noisysim.reporting import figures

    monkeypatch.setattr(figures, "LARGEST", 1000)
    run = noisysim.run(device="crossbar", layers=[16], epochs=2, progress=False)
    written["pictures"] = noisysim.report(run, written["run"].with_name("pictures.html"))
    found, _ = look("pictures", PHONE, "light")
    assert len(found["images"]) == 2
    assert all(
        complete and width > 900 and height > 600 and shown for complete, width, height, shown in found["images"]
    )
    assert found["overflow"] <= 0
