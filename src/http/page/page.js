// The dashboard: asks the endpoints beside it, and writes down what they answer. What each part shows stands in `views.js`.

import { bytes, duration, el, processorTime } from './text.js';
import { Flame } from './flame.js';
import * as views from './views.js';

const $ = (id) => document.getElementById(id);
const SVG_REFUSED = new Set(['script', 'foreignObject', 'a', 'animate', 'set', 'use', 'image', 'style']);

// ---- Asking ---------------------------------------------------------------------------------------------------------

/** What a path answers: JSON, a text of another type, or what `read` makes of it; throws an error with a line for people. */
async function ask(path, { method = 'GET', body, type = 'application/json', seconds = 120, read } = {}) {
  const request = { method, body, cache: 'no-store', headers: { Accept: type }, signal: AbortSignal.timeout(seconds * 1000) };
  if (body) request.headers['Content-Type'] = 'application/json';
  const lost = ({ name }) => {
    const why = name === 'TimeoutError' ? `no answer within ${duration(seconds)}` : 'no answer: is the program still running?';
    throw Object.assign(new Error(why), { gone: true });
  };
  const answer = await fetch(path, request).catch(lost);
  if (answer.ok && read) return read(answer).catch(lost);
  const text = await answer.text().catch(lost);
  if (answer.ok) return type === 'application/json' ? JSON.parse(text) : text;
  const told = answer.headers.get('Content-Type')?.includes('json') ? JSON.parse(text).error : text;
  const wait = Number(answer.headers.get('Retry-After'));
  throw Object.assign(new Error(told || `status ${answer.status}`), { status: answer.status, wait });
}

/** How often each view was asked for. */
const asked = new Map();

/** Asks for a view, and shows the answer, unless the view was asked for again meanwhile. */
async function view(name, path, show, options) {
  const turn = (asked.get(name) ?? 0) + 1;
  asked.set(name, turn);
  const answer = await ask(path, options);
  if (asked.get(name) === turn) show(answer);
}

/** What went wrong, by what was asked: it stays until that is answered again. */
const problems = new Map();
/** What there is to say for a while, by what it is about: a text and its timer. */
const notices = new Map();

function showStatus() {
  const lines = problems.has('live') ? [problems.get('live')] : [...new Set(problems.values())];
  lines.push(...[...notices.values()].map(({ text }) => text));
  const text = lines.join(' · ');
  // It is read out whenever it is written.
  if ($('status').textContent !== text) $('status').textContent = text;
  $('status').classList.toggle('bad', problems.size > 0);
}

function tell(text, about = 'done') {
  clearTimeout(notices.get(about)?.timer);
  notices.set(about, { text, timer: setTimeout(() => { notices.delete(about); showStatus(); }, 10_000) });
  showStatus();
}

const sleep = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
const visible = () => new Promise((resolve) => {
  if (!document.hidden) return resolve();
  document.addEventListener('visibilitychange', function seen() {
    if (document.hidden) return;
    document.removeEventListener('visibilitychange', seen);
    resolve();
  });
});

/** Runs a task; if it fails, says so, and how long to wait before the next time. */
async function attempt(name, task) {
  try {
    await task();
    problems.delete(name);
    showStatus();
    return 0;
  } catch (error) {
    // A function that fails on what it was answered is a fault of this page: the console has its place.
    if (!('status' in error || error.gone)) console.error(error);
    const busy = error.status === 429;
    problems.set(name, busy ? 'the program is at another reading: asked again soon' : `${name}: ${error.message}; asked again soon`);
    showStatus();
    return busy ? error.wait || 1 : 2;
  }
}

/** Does tasks, one after the other, again and again while the page is looked at. `wake` begins the next round at once. */
function repeat(seconds, tasks) {
  let woken = () => {};
  let pending = false;
  (async () => {
    for (;;) {
      await visible();
      pending = false;
      let wait = 0;
      for (const [name, task] of Object.entries(tasks)) wait = Math.max(wait, await attempt(name, task));
      if (!pending) await Promise.race([sleep(Math.max(seconds, wait)), new Promise((resolve) => { woken = resolve; })]);
    }
  })();
  return { wake: () => { pending = true; woken(); } };
}

// ---- Figures --------------------------------------------------------------------------------------------------------

const rate = views.rate();
let live = null;

// It takes microseconds: where it does not come, the program hangs.
const readLive = () => view('live', 'live', showLive, { seconds: 5 });

function showLive(answer) {
  live = answer;
  views.header(live);
  views.tiles(live, rate(live));
  views.clock(live);
  for (const part of document.querySelectorAll('.changes')) part.hidden = !live.may_change;
  $('compare').disabled = live.baseline_ms == null;
  const exact = live.exact_ends_in_s;
  $('exact').disabled = exact != null || live.mode === 'exact';
  $('exact').textContent = exact != null ? `Exact: ${Math.ceil(exact)} s left` : 'Exact for a minute';
  document.title = live.suspects ? `(${live.suspects}) tenure: a suspect` : 'tenure: where the memory goes';
}

async function readCharts() {
  for (const name of ['memory', 'generations']) {
    const box = $(`${name}-chart`);
    const width = Math.round(box.clientWidth);
    const text = await ask(`charts/${name}.svg?seconds=${$('window').value}&width=${width}`, { type: 'image/svg+xml' });
    box.replaceChildren(picture(text));
  }
}

/** A picture as elements of this page: without anything that could run, or lead elsewhere. */
function picture(text) {
  const root = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
  if (root.localName !== 'svg') throw new Error('no picture came');
  for (const element of [root, ...root.querySelectorAll('*')]) {
    if (SVG_REFUSED.has(element.localName)) {
      element.remove();
      continue;
    }
    for (const { name } of [...element.attributes]) {
      if (name.startsWith('on') || name === 'style' || name.endsWith('href')) element.removeAttribute(name);
    }
  }
  return document.adoptNode(root);
}

async function readSuspects() {
  const news = views.suspects(await ask('suspects'));
  if (news.length) tell(`New ${news.length === 1 ? 'suspect' : 'suspects'}: ${news.join(', ')}.`, 'suspects');
}

async function readGroups() {
  const by = $('by').value;
  await view('sites', `groups?by=${by}&n=20`, (answer) => views.groups(answer, by));
}

let flame = null;
/** Whether somebody is looking around in it. */
const isHeld = () => Boolean(flame?.root) && $('flame').contains(document.activeElement);

async function readFlame() {
  if (isHeld()) return;
  const value = $('flame-value').value;
  await view('flame', `flame.json?value=${value}`, (tree) => {
    flame ??= new Flame($('flame'), ({ zoomed }) => { $('flame-reset').disabled = !zoomed; });
    flame.show(tree, value.endsWith('bytes') ? bytes : views.blocks);
    search();
  });
}

function search() {
  const found = flame?.search($('flame-search').value);
  $('flame-found').textContent = found ? `${found.frames} frames, ${(found.share * 100).toFixed(1)} % of what is shown` : '';
}

async function readComparison() {
  views.comparison(await ask(`diff?by=${$('by').value}&n=20`));
}

repeat(1, { live: readLive });
const charts = repeat(2, { charts: readCharts });
// One after the other: the program does one of these readings at a time.
const tables = repeat(5, {
  suspects: readSuspects,
  ages: async () => views.tenuring(await ask('tenuring')),
  routes: async () => views.routes(await ask('routes')),
  figures: async () => views.program(await ask('figures')),
  sites: readGroups,
  retention: async () => views.retention(await ask('retention')),
  flame: readFlame,
});

// ---- What a person does ---------------------------------------------------------------------------------------------

/** A button, or a link in place of one, that does something, and says what came of it. */
function act(button, task) {
  button.addEventListener('click', async (event) => {
    event.preventDefault();
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    try {
      tell(await task());
    } catch (error) {
      tell(`${button.textContent.trim()}: ${error.message}`);
    }
    button.removeAttribute('aria-busy');
  });
}

act($('snapshot'), async () => {
  // A link by itself would fail without a word when the program is at another reading.
  const { file, name } = await ask('snapshot', {
    read: async (answer) => ({
      file: await answer.blob(),
      name: /filename="([^"]+)"/.exec(answer.headers.get('Content-Disposition'))?.[1] ?? 'tenure.json',
    }),
  });
  const link = el('a', { href: URL.createObjectURL(file), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return `Saved as ${name}: ${bytes(file.size)}.`;
});

act($('keep'), async () => {
  const kept = await ask('baseline', { method: 'POST' });
  await readLive();
  return `Kept as the baseline: ${bytes(kept.tracked_bytes)} tracked.`;
});

act($('compare'), async () => {
  await readComparison();
  $('comparison').hidden = false;
  $('comparison-title').focus();
  return `Compared with the baseline of ${duration((live.time_ms - live.baseline_ms) / 1000)} ago.`;
});

act($('exact'), async () => {
  await ask('mode', { method: 'PUT', body: JSON.stringify({ mode: 'exact', seconds: 60 }) });
  await readLive();
  return 'Every block is tracked for the next minute.';
});

for (const button of document.querySelectorAll('[data-collect]')) {
  act(button, async () => {
    const done = await ask(`collect?generation=${button.dataset.collect}`, { method: 'POST' });
    charts.wake();
    tables.wake();
    await readLive();
    return `Collected ${done.generation} in ${processorTime(done.pause_ns)} of processor time: ${bytes(done.reclaimed.purged)} purged, `
      + `${bytes(done.pinned)} pinned.`;
  });
}

$('comparison-close').addEventListener('click', () => {
  $('comparison').hidden = true;
  $('compare').focus();
});
$('by').addEventListener('change', () => attempt('sites', readGroups));
$('window').addEventListener('change', () => charts.wake());
$('flame-value').addEventListener('change', () => {
  $('flame-keep').href = `flame.svg?value=${$('flame-value').value}`;
  attempt('flame', readFlame);
});
for (const event of ['focusin', 'focusout']) {
  // What has the focus is known when the event is over.
  $('flame').addEventListener(event, () => setTimeout(() => { $('flame-paused').hidden = !isHeld(); }));
}
$('flame-search').addEventListener('input', search);
$('flame-reset').addEventListener('click', () => flame?.reset());

let resized = 0;
addEventListener('resize', () => {
  clearTimeout(resized);
  resized = setTimeout(() => charts.wake(), 200);
});
