// What is wrong with a page, as a list of sentences: for a reader of the screen, of a phone, and of what a screen reader says.
(() => {
  const faults = new Set(), root = document.documentElement, phone = innerWidth < 600, screen = matchMedia("screen").matches;
  const name = e => e.tagName.toLowerCase() + (e.getAttribute("class") ? "." + e.getAttribute("class") : "") + ` "${e.textContent.trim().slice(0, 40)}"`;
  const say = (what, e) => faults.add(e ? `${what}: ${name(e)}` : what);
  // Styles do not change while they are looked at.
  const once = f => { const known = new Map(); return e => { if (!known.has(e)) known.set(e, f(e)); return known.get(e); }; };
  const styleOf = once(e => getComputedStyle(e));
  const spoken = once(e => styleOf(e).clipPath === "inset(50%)" || e.parentElement !== null && spoken(e.parentElement)); // for screen readers alone
  const visible = e => !spoken(e) && e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;

  // Colours: text against what lies behind it, by WCAG 2.
  const parse = c => { const v = c.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const over = (f, b) => [0, 1, 2].map(i => f[i] * f[3] + b[i] * (1 - f[3])).concat(1);
  const light = c => c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = once(e => over(parse(styleOf(e).backgroundColor), e.parentElement ? behind(e.parentElement) : [255, 255, 255, 1]));
  const opacity = once(e => Number(styleOf(e).opacity) * (e.parentElement ? opacity(e.parentElement) : 1));
  const contrast = (e, style) => {
    const back = behind(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    ink[3] *= opacity(e);
    const [a, b] = [light(over(ink, back)), light(back)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };

  // Texts: each is seen, large enough, and in no other's place.
  const scrolls = once(e => e !== document.body && (/auto|scroll/.test(styleOf(e).overflowX) || scrolls(e.parentElement)));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.data.trim() || !visible(e)) continue;
    const style = styleOf(e), ratio = contrast(e, style);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, e);
    const scale = e.closest("svg") ? Math.abs(e.getScreenCTM().a) : 1;
    if (screen && phone && parseFloat(style.fontSize) * scale < 12) say(`text of ${(parseFloat(style.fontSize) * scale).toFixed(1)} px`, e);
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if ((box.left < -1 || box.right > root.clientWidth + 1) && !scrolls(e)) say(`text beyond the edge`, e);
    for (let n = e; n && n !== document.body; n = n.parentElement) {
      const s = styleOf(n);
      if (!/hidden|clip/.test(s.overflowX + s.overflowY)) continue;
      const around = n.getBoundingClientRect();
      const cut = /hidden|clip/.test(s.overflowX) && (box.right > around.right + 1 || box.left < around.left - 1) || /hidden|clip/.test(s.overflowY) && (box.bottom > around.bottom + 1 || box.top < around.top - 1);
      if (cut) say("text cut", e);
    }
  }
  if (root.scrollWidth > root.clientWidth || document.body.scrollWidth > root.clientWidth) say(`the page is ${Math.max(root.scrollWidth, document.body.scrollWidth)} px wide, and ${root.clientWidth} are there`);
  for (const e of document.querySelectorAll("svg text")) for (const f of e.ownerSVGElement.querySelectorAll("text")) {
    const a = e.getBoundingClientRect(), b = f.getBoundingClientRect();
    if (e !== f && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) say("texts in one place", e);
  }

  // What a screen reader needs.
  if (!document.title.trim()) say("no title");
  if (!root.lang) say("no language");
  for (const one of ["header", "main", "h1"]) if (document.querySelectorAll(one).length !== 1 && one !== "header" || !document.querySelector(one)) say(`not one ${one}`);
  let level = 0;
  for (const e of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
    const now = Number(e.tagName[1]);
    if (now > level + 1) say(`heading of level ${now} after ${level}`, e);
    if (!e.textContent.trim()) say("empty heading", e);
    level = now;
  }
  for (const e of document.querySelectorAll("section")) if (!document.getElementById(e.getAttribute("aria-labelledby")) && !e.getAttribute("aria-label")) say("section without a name", e);
  for (const e of document.querySelectorAll("table")) {
    const heads = e.querySelectorAll("thead th[scope=col]").length;
    if (!heads) say("table without headers", e);
    if (!e.caption && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) say("table without a name", e);
    for (const r of e.tBodies[0].rows) if (r.cells.length !== heads) { say(`${r.cells.length} cells below ${heads} headers`, r); break; }
  }
  for (const e of document.querySelectorAll("svg")) if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label")) say("chart without words", e);
  for (const e of document.querySelectorAll("a")) if (!e.textContent.trim() || !/^(https:|#)/.test(e.getAttribute("href"))) say("link", e);
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) say("two elements of one id");
  for (const e of document.querySelectorAll("a[href^='#']")) if (!document.getElementById(e.getAttribute("href").slice(1))) say("link to nowhere", e);
  return [...faults].slice(0, 40);
})()
