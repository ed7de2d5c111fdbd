// What each part of the page shows of what the endpoints answer.

import { around, bar, bytes, count, duration, el, estimate, place, processorTime, signed, where } from './text.js';
import { table } from './tables.js';

const $ = (id) => document.getElementById(id);
const NAMES = ['young', 'middle', 'old'];
export const blocks = (n) => `${count(n)} blocks`;
const percent = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(0)} %` : '–');
/** Of an estimate or a plain number. */
const value = (of) => of?.value ?? of ?? 0;

// ---- Head and tiles -------------------------------------------------------------------------------------------------

function modeText({ mode, exact_ends_in_s: left }) {
  const mean = mode?.sampled?.mean ?? mode?.mean;
  if (mode === 'exact' || mode?.mode === 'exact') return left != null ? `exact, ${Math.ceil(left)} s left` : 'exact: every block is tracked';
  if (mean) return `sampled, once in ${bytes(mean)}`;
  return 'tracks nothing';
}

export function header(live) {
  const pid = live.pid == null ? '' : `pid ${live.pid} · `;
  $('process').textContent = `${pid}up ${duration((live.time_ms - live.began_ms) / 1000)} · ${count(live.stats.threads)} threads`;
  $('mode').textContent = modeText(live);
  $('mode').classList.toggle('exact', live.exact_ends_in_s != null);
  if ($('links').childElementCount !== live.links.length) {
    const links = live.links.map(({ name, path }) => Object.assign(document.createElement('a'), { href: path, textContent: name }));
    $('links').replaceChildren(...links);
  }
}

/** Bytes and blocks allocated a second, over the last few readings. */
export function rate() {
  const past = [];
  return ({ time_ms: at, stats }) => {
    const small = stats.classes.reduce((sum, c) => sum + c.allocated_blocks * c.block_size, 0);
    past.push({ at, small, blocks: stats.allocated_blocks });
    while (past.length > 6) past.shift();
    const seconds = (at - past[0].at) / 1000;
    if (seconds <= 0) return null;
    const a_second = (of) => Math.max(0, (past.at(-1)[of] - past[0][of]) / seconds);
    return { bytes: a_second('small'), blocks: a_second('blocks') };
  };
}

export function tiles({ stats }, allocating) {
  const all = [
    ['Live', bytes(stats.live), `${count(stats.live_blocks)} blocks`, 'What the program holds.'],
    ['Committed', bytes(stats.committed), `at most ${bytes(stats.peak_committed)}`, 'What the allocator has of the system.'],
    ['Resident', bytes(stats.resident), 'the whole process', 'As the system counts it.'],
    ['Due', bytes(stats.due), `${bytes(stats.purged)} given back so far`, 'Free, and about to be given back.'],
    ['Fragmentation', bytes(stats.fragmentation), `${percent(stats.fragmentation, stats.committed)} of committed`,
      'Committed less live.'],
    ['Allocating', allocating ? `${bytes(allocating.bytes)}/s` : '–',
      allocating ? `in blocks up to 64 KiB; ${count(allocating.blocks)} blocks/s of any size` : 'in blocks up to 64 KiB',
      'Larger blocks are counted as blocks only.'],
  ];
  if ($('tiles').children.length === 0) {
    $('tiles').append(...all.map(([name, , , about]) => el('div', { title: about }, el('dt', {}, name), el('dd'), el('dd', { class: 'note' }))));
  }
  all.forEach(([, figure, note], i) => {
    const [, first, second] = $('tiles').children[i].children;
    first.textContent = figure;
    second.textContent = note;
  });
}

// ---- Generations ----------------------------------------------------------------------------------------------------

let tenured = null;
let showClock = null;

export function tenuring(answer) {
  tenured = answer;
}

export function clock({ generations: { counts, stats, thresholds }, time_ms: now, began_ms: began }) {
  showClock ??= table($('clock-table'), 'Generations: what lives, and what collections did', [
    { label: 'Generation', cell: (g) => g.name },
    { label: 'Live', number: true, cell: (g) => (g.live ? estimate(g.live) : '–') },
    { label: 'To the next', number: true, about: 'How far the next collection is, and its threshold.', cell: (g) => g.next },
    { label: 'Collections', number: true, cell: (g) => count(g.collections) },
    { label: 'Last', number: true, cell: (g) => (g.last ? `${duration((now2 - g.last.began_ns / 1e6) / 1000)} ago` : 'never') },
    { label: 'Processor time', number: true, about: 'Of the last one, all steps together.',
      cell: (g) => (g.last ? processorTime(g.last.pause_ns) : '–') },
    { label: 'Longest step', number: true, about: 'What a thread was kept from its work at once.', cell: (g) => processorTime(g.longest_pause_ns) },
    { label: 'Purged', number: true, cell: (g) => bytes(g.reclaimed.purged) },
    { label: 'Pinned', number: true, about: 'Free memory that survivors keep, at the last one.', cell: (g) => (g.last ? bytes(g.last.pinned) : '–') },
  ]);
  now2 = now - began;
  const next = [
    `${bytes(counts.young_bytes)} of ${bytes(thresholds.young_bytes)}`,
    `${counts.young} of ${thresholds.young_per_middle} young`,
    `${counts.middle} of ${thresholds.middle_per_old} middle`,
  ];
  showClock(stats.map((of, i) => ({ ...of, name: NAMES[i], next: next[i], live: liveOf(tenured?.[NAMES[i]]) })));
}

/** Milliseconds since the process began. */
let now2 = 0;

/** What lives of a generation: a sum with its variance. */
function liveOf(generation) {
  const sum = generation?.live;
  if (!sum || typeof sum.value === 'number') return sum;
  return around(sum.bytes, Math.sqrt(Math.max(0, sum.bytes_variance ?? 0)));
}

// ---- Suspects -------------------------------------------------------------------------------------------------------

const FRAMES = 8;

/** The cards that are shown, by what they say besides figures: who reads in one keeps it. */
let cards = new Map();

/** Returns the names of suspects that were not there before. */
export function suspects({ suspects: all, waits, notes = [], left_out: leftOut }) {
  $('suspects').classList.toggle('found', all.length > 0);
  $('suspects-none').textContent = all.length > 0 ? '' : waits || notes[0] || 'None: no old generation of any line keeps growing.';
  // A line says more than the tag that its blocks have.
  const lines = all.filter((suspect) => suspect.kind !== 'tag');
  const before = cards;
  const news = [];
  cards = new Map();
  for (const suspect of [...lines, ...all.filter(({ kind }) => kind === 'tag')]) {
    const { name, location, kind, stack = [] } = suspect;
    let key = JSON.stringify([kind, name, location, stack]);
    while (cards.has(key)) key += '+';
    if (!before.has(key)) news.push(name);
    const shown = before.get(key) ?? card(suspect);
    shown.querySelector('.evidence').replaceChildren(...evidence(suspect));
    cards.set(key, shown);
  }
  const list = $('suspects-list');
  const same = [...cards.values()].every((shown, i) => shown === list.children[i]) && list.childElementCount === cards.size + 1;
  const rest = leftOut ? `And ${count(leftOut)} more that there was no room for.` : '';
  if (same) list.lastChild.textContent = rest;
  else list.replaceChildren(...cards.values(), el('p', { class: 'quiet' }, rest));
  return news;
}

function evidence({ old_bytes: old, old_bytes_error: error, per_minute: minute, growing_for_s: since, collections, sure }) {
  return [
    el('li', {}, 'holds ', el('strong', {}, estimate(around(old, error))), ' in its old generation'),
    el('li', {}, 'grows by ', el('strong', {}, `${bytes(value(minute))} a minute`)),
    el('li', {}, 'for ', el('strong', {}, duration(since)), `, over ${count(collections)} old collections`),
    el('li', {}, 'sure to ', el('strong', {}, sure > 0.9999 ? 'more than 99.99 %' : `${(100 * sure).toFixed(2)} %`)),
  ];
}

function card({ name, location, kind, stack = [] }) {
  const frame = (f) => el('li', {}, el('code', {}, f.function), ' ', where(f.location));
  const shown = stack.slice(0, FRAMES).map(frame);
  const rest = stack.slice(FRAMES).map(frame);
  return el('article', { class: 'suspect' },
    el('h3', {}, kind === 'tag' ? 'Tag ' : null, el('code', {}, name)),
    location ? el('p', {}, where(location)) : null,
    el('ul', { class: 'evidence' }),
    shown.length ? el('ol', { class: 'stack', 'aria-label': 'Call stack, innermost first' }, shown) : null,
    rest.length ? el('details', {}, el('summary', {}, `${rest.length} outer frames`), el('ol', { class: 'stack', start: FRAMES + 1 }, rest)) : null);
}

// ---- Sites, comparison ----------------------------------------------------------------------------------------------

let showGroups = null;
let groupedBy = null;
const ages = (g) => bar(['young', 'middle', 'old', 'permanent'].map((age) => [age, value(g[age])]), 'ages');
const heads = { line: 'Line', function: 'Function', module: 'Module', crate: 'Crate', tag: 'Tag', class: 'Size class' };

export function groups(answer, by) {
  if (groupedBy !== by) {
    groupedBy = by;
    showGroups = table($('sites-table'), `What holds memory, by ${by}`, [
      { label: heads[by] ?? by, by: (g) => g.name, cell: (g) => place(g.name, g.location) },
      { label: 'Live', number: true, by: (g) => value(g.live_bytes), cell: (g) => estimate(g.live_bytes) },
      { label: 'Share', number: true, by: (g) => value(g.live_bytes), cell: (g) => percent(value(g.live_bytes), total) },
      { label: 'Blocks', number: true, by: (g) => value(g.live_blocks), cell: (g) => estimate(g.live_blocks, count) },
      { label: 'Ages', about: 'Sorted by the share that is old.', number: true,
        by: (g) => value(g.old) / Math.max(1, value(g.live_bytes)), cell: ages },
      { label: 'Oldest', number: true, about: 'In epochs.', by: (g) => g.age_epochs?.oldest ?? 0, cell: (g) => epochs(g.age_epochs?.oldest) },
      { label: 'Allocated', number: true, about: 'Since the start, whether it lives or not.',
        by: (g) => value(g.allocated_bytes), cell: (g) => (g.allocated_bytes == null ? '–' : bytes(value(g.allocated_bytes))) },
    ], { sorted: 'Live', empty: 'Nothing is tracked yet.' });
  }
  total = value(answer.total.bytes);
  showGroups(answer.groups);
  const sampled = answer.groups.some((g) => g.live_bytes.exact === false);
  const others = answer.others?.groups ? ` ${count(answer.others.groups)} others hold ${bytes(value(answer.others.bytes))}.` : '';
  const counted = { exact: 'Every block is counted.', off: 'No block is tracked now: this is what was tracked before, and lives.' };
  $('estimates').textContent = (sampled
    ? 'Figures of lines are estimates from samples: ± is half of the 95 % interval, “to” its limits where samples are few.'
    : counted[answer.mode] ?? '') + others;
}

let total = 0;
const epochs = (n) => (n == null ? '–' : `${count(n)}`);

let showComparison = null;

export function comparison(answer) {
  showComparison ??= table($('comparison-table'), 'What changed since the baseline', [
    { label: 'Who', by: (g) => g.name, cell: (g) => place(g.name, g.location) },
    { label: 'Change', number: true, by: (g) => Math.abs(value(g.change_bytes)), cell: (g) => estimate(g.change_bytes, signed(bytes), bytes) },
    { label: 'Blocks', number: true, by: (g) => Math.abs(value(g.change_blocks)), cell: (g) => estimate(g.change_blocks, signed(count), count) },
    { label: 'Now', number: true, by: (g) => value(g.to), cell: (g) => estimate(g.to) },
  ], { sorted: 'Change', empty: 'Nothing changed.' });
  showComparison(answer.groups);
}

// ---- Routes, figures, retention -------------------------------------------------------------------------------------

let showRoutes = null;

export function routes(answer) {
  const all = answer.routes ?? [];
  $('routes').hidden = all.length === 0;
  if (all.length === 0) return;
  const figure = (label, about, of) => ({ label, about, number: true, by: (r) => (r.exact ? of(r) : -1), cell: (r) => (r.exact ? bytes(of(r)) : '–') });
  showRoutes ??= table($('routes-table'), 'Routes: what their requests allocate and leave', [
    { label: 'Route', by: (r) => r.route, cell: (r) => el('code', { class: 'name' }, r.route) },
    { label: 'Requests', number: true, by: (r) => r.requests, cell: (r) => count(r.requests) },
    { label: 'Measured', number: true, about: 'Requests that the figures in bytes are of.', by: (r) => r.exact, cell: (r) => count(r.exact) },
    figure('Allocated', 'Bytes a request allocates, on average.', (r) => r.allocated_bytes.mean),
    figure('At most', 'What the largest of them has allocated.', (r) => r.allocated_bytes.max),
    figure('Peak', 'What a request holds at once at its peak, on average.', (r) => r.peak_bytes.mean),
    figure('Highest peak', 'The most that any of them held at once.', (r) => r.peak_bytes.max),
    figure('Left', 'Still live after the response, on average.', (r) => r.left_bytes.mean),
    { label: 'Live now', number: true, by: (r) => value(r.live_bytes), cell: (r) => estimate(r.live_bytes) },
  ], { sorted: 'Live now' });
  showRoutes(all);
  const exact = answer.one_in ? `One request in ${count(answer.one_in)} is measured exactly; ` : 'No request is measured exactly; ';
  $('routes-note').textContent = `${exact}what is live now is known from tags.`;
}

let showProgram = null;

export function program(answer) {
  const all = answer.figures ?? answer;
  $('program').hidden = all.length === 0;
  if (all.length === 0) return;
  showProgram ??= table($('program-table'), 'The program’s own figures', [
    { label: 'Figure', by: (f) => f.name, cell: (f) => [el('code', { class: 'name' }, f.name), el('small', { class: 'location' }, f.help)] },
    { label: 'Value', number: true, by: (f) => f.value, cell: (f) => (/_bytes(_|$)/.test(f.name) ? bytes(f.value) : number(f.value)) },
  ]);
  showProgram(all);
}

const number = (n) => (Number.isInteger(n) ? count(n) : n.toPrecision(4));

/** What pages consist of: names for people. */
const PARTS = [
  ['live', 'live', 'held by the program'],
  ['beside', 'beside', 'free, in the same OS pages as live blocks'],
  ['room', 'room', 'free in pages that are in use: what is allocated next takes it'],
  ['cached', 'cached', 'free, in magazines and depots: the next collection gives it back'],
  ['idle', 'idle', 'free in half-empty pages: the next collection gives it back'],
];

let showSurvivors = null;

export function retention(answer) {
  const { pages, survivors } = answer;
  const box = $('retention');
  if (!showSurvivors) {
    const table_box = el('div');
    box.replaceChildren(el('div', { id: 'retention-bar' }), el('dl', { id: 'retention-parts', class: 'parts' }), el('p', { id: 'retention-line' }), table_box);
    showSurvivors = table(table_box, 'Survivors that keep mostly empty pages', [
      { label: 'Survivors', by: (s) => s.name, cell: (s) => place(s.name, s.location) },
      { label: 'Their blocks', number: true, by: (s) => s.blocks, cell: (s) => count(s.blocks) },
      { label: 'Keep', number: true, by: (s) => s.keeps, cell: (s) => bytes(s.keeps) },
    ], { sorted: 'Keep', empty: 'Who survives there is known of blocks that were tracked exactly: try exact for a minute.' });
  }
  const parts = PARTS.filter(([key]) => pages[key] > 0);
  $('retention-bar').replaceChildren(bar(parts.map(([key]) => [key, pages[key]]), 'share'));
  $('retention-parts').replaceChildren(...parts.flatMap(([key, name, about]) => [
    el('dt', {}, el('span', { class: `swatch ${key}` }), name), el('dd', { class: 'number' }, bytes(pages[key])), el('dd', {}, about),
  ]));
  const empty = pages.mostly_empty;
  $('retention-line').textContent = empty?.pages
    ? `${count(empty.pages)} of ${count(pages.pages)} pages are mostly empty: ${count(empty.blocks)} blocks with ${bytes(empty.live)} keep `
      + `${bytes(empty.kept)}; ${bytes(empty.pinned)} of that no collection can give back.`
    : 'No page is mostly empty.';
  showSurvivors(survivors.slice(0, 8).map((s) => ({
    name: s.tag ? `${s.name} in ${s.tag}` : s.name, location: s.location, blocks: s.kept.blocks, keeps: s.kept.kept,
  })));
}
